import sys
import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, OutputWrapper

from billing.management.progress import Progress
from billing.models import LedgerEntry
from billing.services import revenue

PAUSE_SECONDS = 2.0


class Command(BaseCommand):
    help = "Close every day of the books that is over, the oldest first, and print the SHA-256 of each day's journal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--wait",
            type=int,
            default=60,
            help="Seconds to wait for what is still being written (default: 60). The worker comes by again anyway.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        until = time.monotonic() + options["wait"]
        closed = []
        with Progress(OutputWrapper(sys.stderr), total=LedgerEntry.objects.count(), unit="entries") as bar:
            while True:
                found = revenue.close_due(grace=timedelta(0), done=bar.advance)
                closed += found
                if not revenue.waiting() or time.monotonic() >= until:
                    break
                time.sleep(PAUSE_SECONDS)
        for day in closed:
            self.stdout.write(f"{day}  {day.sha256}  {day.entries:,} entries, {day.late:,} late")
        if revenue.waiting():
            self.stdout.write("Something that began before is still being written: the worker closes the rest.")
        elif not closed:
            self.stdout.write("No day is left to close.")
