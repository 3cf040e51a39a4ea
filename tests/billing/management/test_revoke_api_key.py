"""``revoke_api_key`` ends the one key that was named, and says which."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey, AuditEvent
from accounts.services import api_keys


def revoke(name: str) -> str:
    out = io.StringIO()
    call_command("revoke_api_key", name, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("by", ["prefix", "id"])
def test_the_key_that_was_named_is_revoked(db: None, by: str) -> None:
    key, secret = api_keys.issue(name="gateway", scopes=["*"])
    _, other = api_keys.issue(name="other", scopes=["*"])

    assert revoke(str(getattr(key, by))) == f"Revoked {key}.\n"

    assert api_keys.authenticate(secret) is None
    assert api_keys.authenticate(other) is not None
    assert AuditEvent.objects.get(action="api_key.revoked").actor_kind == "system"


def test_a_key_that_was_revoked_is_not_revoked_again(db: None) -> None:
    key, _ = api_keys.issue(name="gateway", scopes=["*"])
    revoke(key.prefix)

    with pytest.raises(CommandError, match="was revoked before"):
        revoke(key.prefix)


@pytest.mark.parametrize("name", ["", "sk_live_", "sk_live_nobody", "0195b7a4-0000-7000-8000-000000000000"])
def test_a_name_that_names_no_key_revokes_none(db: None, name: str) -> None:
    api_keys.issue(name="gateway", scopes=["*"])

    with pytest.raises(CommandError, match="There is no key"):
        revoke(name)

    assert ApiKey.objects.filter(revoked_at__isnull=True).count() == 1


def test_where_several_keys_begin_alike_none_is_guessed(db: None) -> None:
    keys = [api_keys.issue(name=name, scopes=["*"])[0] for name in ("a", "b")]
    ApiKey.objects.update(prefix="sk_live_aaaaaa")

    with pytest.raises(CommandError, match=str(keys[1].pk)):
        revoke("sk_live_aaaaaa")

    assert ApiKey.objects.filter(revoked_at__isnull=True).count() == 2
