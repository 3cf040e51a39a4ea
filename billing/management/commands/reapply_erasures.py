from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.gateways import erasures as noted
from billing.services.customer import erasures


class Command(BaseCommand):
    help = "After a restore from a backup: erase again who was erased since it was made. Before anybody is let in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--file", metavar="FILE", help=f"Who was erased, as noted outside (default: DATA_DIR/{noted.FILE})."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        try:
            for erased, left in erasures.again(Path(options["file"]) if options["file"] else None):
                count += 1
                self.stdout.write(f"{erased.kind} {erased.id}: erased again")
                for words in left:
                    self.stdout.write(f"  still to be looked at: {words}")
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Erased again: {count}.")
