from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import api_keys
from billing.management.named import api_key

HOURS_MAX = 24 * 30


class Command(BaseCommand):
    help = "Make a key anew, with the same powers and networks, and print it, alone, on standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="PREFIX_OR_ID", help="Such as sk_live_Ab3dE6, or the key's id.")
        parser.add_argument("--hours", type=int, default=24, help="So long the old key still works (24).")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["hours"] <= HOURS_MAX:
            raise CommandError(f"--hours must be from 0 to {HOURS_MAX}.")
        try:
            _, secret = api_keys.rotate(api_key(options["key"]), overlap=timedelta(hours=options["hours"]))
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)
