import sys
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from billing.models import LedgerEntry
from billing.selectors import books


class Command(BaseCommand):
    help = "Prove that the books are right: every invariant, every row. Exits with 1 and the first difference of each."

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0
        with transaction.atomic():
            # One snapshot for all: usage goes on being recorded meanwhile.
            books.freeze()
            self.stdout.write(f"{LedgerEntry.objects.count():,} entries")
            for name, invariant in books.INVARIANTS.items():
                started = time.monotonic()
                found = next(books.differences(only=name), None)
                seconds = time.monotonic() - started
                if found is None:
                    self.stdout.write(f"  {self.style.SUCCESS('holds')}   {invariant.statement} ({seconds:.1f} s)")
                else:
                    failed += 1
                    self.stdout.write(f"  {self.style.ERROR('BROKEN')}  {found} ({seconds:.1f} s)")
        if failed:
            self.stdout.write(self.style.ERROR(f"{failed} of {len(books.INVARIANTS)} invariants do not hold."))
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("The books are right."))
