"""``renew_api_key`` makes one key anew and prints the secret, alone."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey
from accounts.services import api_keys


def renew(name: str, **options: object) -> str:
    out = io.StringIO()
    call_command("renew_api_key", name, stdout=out, **options)
    return out.getvalue()


def test_both_work_until_the_overlap_is_over(db: None) -> None:
    key, old = api_keys.issue(name="gateway", scopes=["*"])

    new = renew(key.prefix).strip()

    for secret in (old, new):
        principal = api_keys.authenticate(secret)
        assert principal is not None
        assert principal.scopes == {"*"}
    with pytest.raises(CommandError, match="renewed before"):
        renew(str(key.pk))


def test_without_overlap_the_old_one_ends_now(db: None) -> None:
    key, old = api_keys.issue(name="gateway", scopes=["*"])

    assert api_keys.authenticate(renew(key.prefix, hours=0).strip()) is not None

    assert api_keys.authenticate(old) is None


def test_what_cannot_be_renews_nothing(db: None) -> None:
    key, _ = api_keys.issue(name="gateway", scopes=["*"])

    with pytest.raises(CommandError, match="must be from 0 to 720"):
        renew(key.prefix, hours=721)
    with pytest.raises(CommandError, match="There is no key"):
        renew("sk_live_nobody")

    assert ApiKey.objects.count() == 1
