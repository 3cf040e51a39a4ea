from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services.audit import SYSTEM
from billing.engine.currencies import written
from billing.errors import BillingError
from billing.management.progress import Progress
from billing.models import Plan
from billing.services import subscriptions


class Command(BaseCommand):
    help = "Move every subscription of a plan to one of its versions, at the end of its period. Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--plan", required=True, metavar="CODE")
        parser.add_argument("--to", type=int, metavar="VERSION", help="The version; the latest where none is named.")
        parser.add_argument("--now", action="store_true", help="Now, with proration, instead of at the period's end.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what it would come to.")

    def handle(self, *args: Any, **options: Any) -> None:
        plan = Plan.objects.filter(code=options["plan"]).first()
        if plan is None:
            raise CommandError(f"There is no plan {options['plan']}.")
        try:
            found = subscriptions.preview_move(plan=plan, version=options["to"])
        except BillingError as refusal:
            raise CommandError(refusal.detail) from refusal
        self._show(found)
        if options["dry_run"] or not found.total:
            return
        when = "now" if options["now"] else "period_end"
        refused = 0
        with Progress(self.stderr, total=found.total, unit="subscriptions") as progress:
            for moved in subscriptions.move(actor=SYSTEM, plan=plan, version=found.target.number, when=when):
                progress.advance(1)
                if moved.refusal is not None:
                    refused += 1
                    self.stdout.write(f"Not moved: {moved.customer}: {moved.refusal}")
        self.stdout.write(f"Moved {found.total - refused:,} of {found.total:,}.")
        if refused:
            raise CommandError(f"{refused:,} could not be moved.")

    def _show(self, found: subscriptions.MovePlan) -> None:
        self.stdout.write(f"To {found.target}: {found.total:,} subscriptions, {found.agreed:,} with agreed terms.")
        for number, count in sorted(found.counts.items()):
            self.stdout.write(f"  {count:,} from version {number}")
        for each in found.prices:
            self.stdout.write(
                f"  version {each.version}, {each.what}: {each.before or 'none'} → {each.after or 'none'}"
            )
        before, after = (
            written(amount, found.target.plan.currency_id) for amount in (found.monthly_before, found.monthly_after)
        )
        self.stdout.write(f"Monthly recurring fees: {before} → {after}")
