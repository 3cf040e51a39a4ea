"""``manage.py reconcile_payments``: our books against the payment provider's."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.engine.money import amount_string
from billing.errors import BillingError
from billing.gateways.payments import Refused, Unreachable
from billing.models import Discrepancy
from billing.services.funding import reconciliation


class Command(BaseCommand):
    help = "Compare our books with the payment provider's, put right what is safe, and list the rest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=3, help="How many days to look back on. Default: 3.")

    def handle(self, *args: Any, days: int, **options: Any) -> None:
        if days < 1:
            raise CommandError("--days must be at least 1.")
        until = timezone.now()
        try:
            done = reconciliation.run(since=until - timedelta(days=days), until=until)
        except (BillingError, Unreachable, Refused) as trouble:
            raise CommandError(f"The provider could not be asked: {trouble}") from trouble
        for currency, sums in done.totals.items():
            self.stdout.write(f"{currency}: " + ", ".join(f"{name} {amount}" for name, amount in sums.items()))
        rows = list(Discrepancy.objects.filter(last_run=done).select_related("customer").order_by("pk"))
        for row in rows:
            whose = "" if row.customer is None else f" of {row.customer.external_id}"
            much = "" if row.amount is None else f", {amount_string(row.amount)} {row.currency.upper()}"
            self.stdout.write(f"{row.get_state_display()}: {row}{whose}{much}. {row.words}")
        left = sum(row.state == Discrepancy.State.OPEN for row in rows)
        self.stdout.write(f"{len(rows)} differences, {done.repaired} put right, {left} to be looked at.")
        if left:
            raise SystemExit(1)
