import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import transaction

from billing.gateways import anchors
from billing.management.progress import Progress
from billing.models import LedgerEntry
from billing.selectors.ledger import books, contents, seals
from billing.selectors.ledger.differences import Difference
from billing.selectors.revenue import revenue_books

LOOKED_AT_AGAIN = 1000
"""Rows that one step of an invariant counts for in the bar, beside the rows of the seals."""


class Command(BaseCommand):
    help = "Prove that the books are right: every invariant, every row. Exits with 1 and the first difference of each."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--quick",
            action="store_true",
            help="Only what is stored as sums, and the rows sealed since the last time that all was right: seconds.",
        )
        parser.add_argument(
            "--anchor", metavar="FILE", help=f"Seals as they were noted outside (default: DATA_DIR/{anchors.FILE})."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        quick: bool = options["quick"]
        notes = _notes(options["anchor"])
        names = [name for name, invariant in books.INVARIANTS.items() if invariant.quick or not quick]
        broken: list[str] = []
        with transaction.atomic():
            # One snapshot for all: usage goes on being recorded meanwhile.
            books.freeze()
            if not quick:
                self.stdout.write(f"{LedgerEntry.objects.count():,} entries")
            verified = anchors.verified() if quick else None
            if verified is not None and seals.not_as_noted([verified]) is not None:
                # It cannot be built upon; the chain is looked at from its beginning.
                verified = None
            after = verified[0] if verified else 0
            slices = books.slices()
            head = seals.newest()
            total = len(names) * len(slices) * LOOKED_AT_AGAIN + seals.sealed_rows(after)
            total += 0 if quick else contents.count()
            with Progress(OutputWrapper(sys.stderr), total=total, unit="steps") as bar:
                for name in names:
                    found = books.differences(name, slices=slices, done=lambda: bar.advance(LOOKED_AT_AGAIN))
                    broken += self._report(books.INVARIANTS[name].statement, found)
                chain = seals.differences(after=after, notes=notes, done=bar.advance)
                broken += self._report(seals.STATEMENT, chain)
                if not quick:
                    broken += self._report(contents.STATEMENT, contents.differences(done=bar.advance))
                    broken += self._report(revenue_books.FILES, revenue_books.changed_files())
        if broken:
            looked_at = len(names) + len(seals.KINDS) + (0 if quick else 2)
            self.stdout.write(self.style.ERROR(f"{len(set(broken))} of {looked_at} invariants do not hold."))
            sys.exit(1)
        if head is not None and not quick:
            anchors.note_verified(head)
        self.stdout.write(self.style.SUCCESS("The books are right."))

    def _report(self, statement: str, differences: Iterator[Difference]) -> list[str]:
        """Say what was found, as soon as it is; the names of what is broken."""
        started = time.monotonic()
        broken = []
        for found in differences:
            broken.append(found.invariant)
            self.stdout.write(f"  {self.style.ERROR('BROKEN')}  {found} ({time.monotonic() - started:.1f} s)")
        if not broken:
            self.stdout.write(f"  {self.style.SUCCESS('holds')}   {statement} ({time.monotonic() - started:.1f} s)")
        return broken


def _notes(file: str | None) -> list[anchors.Note]:
    """What was noted outside. A file that was named must be there."""
    if file is None and not anchors.path().exists():
        return []
    try:
        return anchors.read(Path(file) if file else anchors.path())
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
