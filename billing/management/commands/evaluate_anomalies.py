import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, OutputWrapper

from billing.bench import anomalies
from billing.bench.anomalies import KINDS, Found
from billing.management.progress import Progress


class Command(BaseCommand):
    help = "Judge a synthetic set with planted anomalies, and print precision and recall."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--customers", type=int, default=20, help="Of each kind (default: 20).")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        customers, seed = options["customers"], options["seed"]
        with Progress(OutputWrapper(sys.stderr), total=2 * customers * len(KINDS), unit="customers") as bar:
            for what, (low, high) in anomalies.TIMES.items():
                found = anomalies.evaluate(what, customers=customers, seed=seed, done=bar.advance)
                times = f"{low}" if low == high else f"{low} to {high}"
                self.stdout.write(f"\n{what}: hours at {times} times what they came to")
                self._show(found)
        self.stdout.write("\nminutes until a loop at 50 times the pace is found, median:")
        for kind, minutes in anomalies.minutes_until_stopped(customers=customers, seed=seed).items():
            self.stdout.write(f"  {kind:<28}{minutes:6.1f}")

    def _show(self, found: dict[str, Found]) -> None:
        total = Found()
        self.stdout.write(f"  {'':<28}{'hours':>8}{'planted':>9}{'found':>7}{'false':>7}  precision  recall")
        for kind, tally in found.items():
            for name in ("hours", "planted", "hit", "false"):
                setattr(total, name, getattr(total, name) + getattr(tally, name))
            self._line(kind, tally)
        self._line("all", total)

    def _line(self, kind: str, tally: Found) -> None:
        self.stdout.write(
            f"  {kind:<28}{tally.hours:>8,}{tally.planted:>9}{tally.hit:>7}{tally.false:>7}"
            f"  {tally.precision:9.1%}  {tally.recall:6.1%}"
        )
