"""Rows that commands are told of by name."""

from uuid import UUID

from django.core.management.base import CommandError

from accounts.models import ApiKey


def api_key(name: str) -> ApiKey:
    """The key that begins so, as lists show it, or has this id. Raises ``CommandError`` for none and for several."""
    name = name.rstrip("…")
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
