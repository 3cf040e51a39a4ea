"""``manage.py what_if``: real usage under another plan version, or with other models."""

import csv
import json
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.utils import timezone

from billing.engine.money import ZERO, amount_string
from billing.engine.spreadsheets import harmless
from billing.errors import BillingError
from billing.management.progress import Progress
from billing.models import Customer, PlanVersion
from billing.services.catalog import what_if
from billing.services.catalog.what_if import Result, Scenario


class Command(BaseCommand):
    help = (
        "Replay real usage, of last month where no time is given, through the same rating under another plan version, "
        "or as if other models had answered. Nothing is written. The same version gives exactly what was charged. Base "
        "fees, allowances and commitments are left out on both sides."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--plan", help="The plan's code.")
        parser.add_argument("--version", dest="number", type=int, help="Its version (default: the latest).")
        parser.add_argument("--customer", help="One customer, by external id (default: all of them).")
        parser.add_argument("--from", dest="start", help="From this day or RFC 3339 time on.")
        parser.add_argument("--to", dest="end", help="Before this day or time.")
        parser.add_argument("--model", action="append", default=[], metavar="FROM=TO", help="TO instead of FROM.")
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")

    # Django's own --version would take the name away.
    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        kwargs["conflict_handler"] = "resolve"
        return super().create_parser(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        scenario = _scenario(options)
        only = None
        if options["customer"]:
            only = Customer.objects.filter(external_id=options["customer"]).first()
            if only is None:
                raise CommandError(f"There is no customer {options['customer']}.")
        try:
            what_if.check(scenario)
            found = what_if.customers(scenario, only=None if only is None else only.pk)
            started = time.monotonic()
            results = []
            with Progress(OutputWrapper(sys.stderr), total=sum(n for _, n in found), unit="events") as bar:
                for customer_id, _ in found:
                    results.append(what_if.replay(scenario, customer_id, advance=bar.advance))
        except BillingError as refusal:
            raise CommandError(refusal.detail) from refusal
        seconds = time.monotonic() - started
        whole = Result("Altogether")
        for result in results:
            whole.add(result)
        {"table": self._table, "csv": self._csv, "json": self._json}[options["format"]](results, whole)
        self.stderr.write(f"{whole.events:,} events of {len(results):,} customers replayed in {seconds:.1f} s.")

    def _table(self, results: list[Result], whole: Result) -> None:
        rows = [("Customer", "Asset", "Events", "Charged", "Would be", "Difference", "Cost", "Would be", "No price")]
        for result in [*results, whole]:
            for asset in sorted({*result.now, *result.then}):
                rows.append(
                    (
                        result.customer,
                        asset,
                        f"{result.events:,}",
                        amount_string(result.now.get(asset, ZERO)),
                        amount_string(result.then.get(asset, ZERO)),
                        amount_string(result.difference(asset)),
                        amount_string(result.cost_now),
                        amount_string(result.cost_then),
                        f"{result.unpriced:,}",
                    )
                )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = (
                cell.ljust(w) if n < 2 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            self.stdout.write("  ".join(cells))
        if whole.unpriced:
            self.stdout.write(
                f"{whole.unpriced:,} events have no price there: they are charged now and not counted then."
            )
        if whole.without_cost:
            self.stdout.write(f"Of {whole.without_cost:,} events the cost is not known for both models.")

    def _csv(self, results: list[Result], whole: Result) -> None:
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(
            [
                "customer",
                "asset",
                "events",
                "now",
                "then",
                "difference",
                "cost_now",
                "cost_then",
                "unpriced",
                "without_cost",
            ]
        )
        for result in results:
            for asset in sorted({*result.now, *result.then}):
                writer.writerow(
                    [
                        harmless(result.customer),
                        asset,
                        result.events,
                        amount_string(result.now.get(asset, ZERO)),
                        amount_string(result.then.get(asset, ZERO)),
                        amount_string(result.difference(asset)),
                        amount_string(result.cost_now),
                        amount_string(result.cost_then),
                        result.unpriced,
                        result.without_cost,
                    ]
                )

    def _json(self, results: list[Result], whole: Result) -> None:
        rows = [result.as_strings() for result in results]
        self.stdout.write(json.dumps({"customers": rows, "total": whole.as_strings()}, indent=2))


def _scenario(options: dict[str, Any]) -> Scenario:
    month = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = _moment("--from", options["start"]) or (month - timedelta(days=1)).replace(day=1)
    end = _moment("--to", options["end"]) or (month if options["start"] is None else timezone.now())
    models = {}
    for pair in options["model"]:
        before, separator, after = pair.partition("=")
        if not (before and separator and after):
            raise CommandError(f"--model {pair}: such as gpt-4o=claude-sonnet-4-5.")
        models[before] = after
    return Scenario(start=start, end=end, version=_version(options), models=models)


def _version(options: dict[str, Any]) -> PlanVersion | None:
    code, number = options["plan"], options["number"]
    if code is None:
        if number is not None:
            raise CommandError("--version needs --plan.")
        return None
    versions = PlanVersion.objects.filter(plan__code=code, derived_from=None).select_related("plan")
    if number is not None:
        versions = versions.filter(number=number)
    found = versions.order_by("-number").first()
    if found is None:
        raise CommandError(f"There is no plan {code}{'' if number is None else f' version {number}'}.")
    return found


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{name} {text}: a day such as 2026-10-01 or an RFC 3339 time is needed.") from error
    return moment if moment.tzinfo is not None else timezone.make_aware(moment)
