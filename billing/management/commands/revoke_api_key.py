from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import ApiKey
from accounts.services import api_keys


class Command(BaseCommand):
    help = "End an API key, named by the first characters that lists show or by its id. It is refused within a second."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="PREFIX_OR_ID", help="Such as sk_live_Ab3dE6, or the key's id.")

    def handle(self, *args: Any, **options: Any) -> None:
        key = _find(options["key"].rstrip("…"))
        if not api_keys.revoke(key):
            raise CommandError(f"{key} was revoked before.")
        self.stdout.write(f"Revoked {key}.")


def _find(name: str) -> ApiKey:
    try:
        found = list(ApiKey.objects.filter(pk=UUID(name)))
    except ValueError:
        found = list(ApiKey.objects.filter(prefix=name))
    if not found:
        raise CommandError(f"There is no key {name[:24]}. Name it by all the characters that lists show, or by its id.")
    if len(found) > 1:
        ids = ", ".join(str(key.pk) for key in found)
        raise CommandError(f"Several keys begin with {name}. Name one by its id: {ids}.")
    return found[0]
