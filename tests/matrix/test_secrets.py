"""Secrets at rest, all of them: none is in a dump, and all are read once the key that sealed them is gone."""

import base64
import re
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection

from accounts.models import IdentityProvider
from accounts.services import audit, factors, rotation
from billing.models import IdempotencyRecord, WebhookEndpoint
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.builders import Shop
from tests.matrix.conftest import Tenant


def dump() -> str:
    """Every row of every table as text."""
    found = []
    for model in apps.get_models():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT string_agg(t::text, E'\\n') FROM {model._meta.db_table} t")
            found.append(cursor.fetchone()[0] or "")
    return "\n".join(found)


def sealed() -> dict[str, list[str]]:
    """What is sealed, opened, by column."""
    return {
        f"{model._meta.label}.{field.name}": [
            value for value in model._default_manager.order_by("pk").values_list(field.name, flat=True) if value
        ]
        for model, field in rotation.sealed_fields()
    }


def test_no_secret_is_in_a_dump_and_none_needs_the_old_keys(acme: Tenant, shop: Shop, settings: Any) -> None:
    IdentityProvider.objects.update(client_secret="a-secret-of-their-provider")
    endpoints.rotate(actor=audit.SYSTEM, may=anything, endpoint=WebhookEndpoint.objects.get())
    asked = {"principal": "operator", "key": "k", "fingerprint": b"f", "status": 201, "body": {"secret": None}}
    IdempotencyRecord.objects.create(**asked, secret=WebhookEndpoint.objects.get().secret)
    shown = [shop.key(), shop.key(organization=acme.customer.organization)]
    shown += factors.new_recovery_codes(acme.owner, actor=audit.SYSTEM)
    secrets = sealed()
    assert len(secrets) >= 8
    assert [column for column, values in secrets.items() if not values] == []
    # Codes of six digits are in many a number, and whom a letter goes to is beside it.
    words = {word for values in secrets.values() for value in values for word in re.findall(r"[!-~]{16,}", value)}
    words = {word.removeprefix(settings.BASE_URL) for word in words if "@" not in word} - {""}
    assert len(words) >= 6

    written = dump()

    assert [word for word in (*shown, *words) if word in written] == []
    assert str(acme.customer.pk) in written  # The control.

    ring = [f"{name}:{base64.urlsafe_b64encode(name.encode() * 32).decode()}" for name in "ab"]
    for keys in (ring[:1], ring[::-1]):
        settings.ENCRYPTION_KEYS = keys
        call_command("rotate_secrets")
    settings.ENCRYPTION_KEYS, settings.SECRET_KEY = ring[1:], "another secret key, long enough for anything"
    assert sum(column.unreadable for column in rotation.rotate(dry_run=True)) == 0
    assert sealed() == secrets
