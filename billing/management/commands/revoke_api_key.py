from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import api_keys
from billing.management.named import api_key


class Command(BaseCommand):
    help = "End an API key, named by the first characters that lists show or by its id. It is refused within a second."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="PREFIX_OR_ID", help="Such as sk_live_Ab3dE6, or the key's id.")

    def handle(self, *args: Any, **options: Any) -> None:
        key = api_key(options["key"])
        if not api_keys.revoke(key):
            raise CommandError(f"{key} was revoked before.")
        self.stdout.write(f"Revoked {key}.")
