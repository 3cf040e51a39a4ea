import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, OutputWrapper

from billing.management.progress import Progress
from billing.models import Charge, Customer
from billing.selectors.usage import rollups as selector
from billing.services.usage import rollups


class Command(BaseCommand):
    help = (
        "Make the sums of usage by hour and day anew from the charges, customer by customer, while everything runs. "
        "After a restore into another PostgreSQL: before usage is let in again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Only compare them, and exit with 1 if they differ.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        with Progress(OutputWrapper(sys.stderr), total=Charge.objects.count(), unit="charges") as bar:
            rollups.rebuild(done=bar.advance)
            rollups.sum_days()
        self.stdout.write("The sums by hour and day are made anew.")

    def _check(self) -> None:
        wrong = 0
        with Progress(OutputWrapper(sys.stderr), total=Customer.objects.count(), unit="customers") as bar:
            for customer in Customer.objects.order_by("id").iterator():
                if not selector.exact(customer.pk):
                    wrong += 1
                    self.stdout.write(f"WRONG  {customer.external_id}")
                bar.advance(1)
        if not selector.exact_totals():
            wrong += 1
            self.stdout.write("WRONG  all customers together")
        if wrong:
            sys.exit(1)
        self.stdout.write("The sums by hour and day are what the charges come to.")
