"""API keys: shown once, stored hashed, scoped, ended at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import ApiKey, AuditEvent, User
from accounts.services import api_keys, audit
from tests.builders import Shop


def test_the_secret_is_not_stored(db: None) -> None:
    key, secret = api_keys.issue(name="gateway", scopes=["events:write"])

    stored = ApiKey.objects.filter(pk=key.pk).values().get()
    assert secret not in str(stored)
    assert secret.startswith(stored["prefix"])
    assert len(secret) - len(stored["prefix"]) > 30
    assert len(bytes(stored["secret_hash"])) == 32


@pytest.mark.parametrize(
    ("customers", "test_mode", "prefix"),
    [(False, False, "sk_live_"), (True, False, "ck_live_"), (False, True, "sk_test_"), (True, True, "ck_test_")],
)
def test_the_prefix_tells_what_a_key_is(
    shop: Shop, settings: Any, customers: bool, test_mode: bool, prefix: str
) -> None:
    settings.TEST_MODE = test_mode
    organization = shop.customer(plan=None).organization if customers else None

    key, secret = api_keys.issue(name="x", scopes=["events:write"], organization=organization)

    assert secret.startswith(prefix)
    assert key.live is not test_mode
    assert api_keys.authenticate(secret) is not None


def test_a_secret_leads_to_its_principal(shop: Shop) -> None:
    organization = shop.customer(plan=None).organization
    key, secret = api_keys.issue(name="gateway", scopes=["events:write", "wallets:read"], organization=organization)

    principal = api_keys.authenticate(secret)

    assert principal is not None
    assert (principal.key_id, principal.organization_id) == (key.pk, organization.pk)
    assert principal.label == f"gateway ({key.prefix}…)"
    assert [principal.may(scope) for scope in ("events:write", "events:read", "*")] == [True, False, False]


def test_a_star_may_everything(db: None) -> None:
    principal = api_keys.authenticate(api_keys.issue(name="x", scopes=["*"])[1])

    assert principal is not None
    assert all(principal.may(scope) for scope in api_keys.OPERATOR_SCOPES)


@pytest.mark.parametrize("secret", ["", "sk_live_", "sk_live_unknown", "x" * 200, "ключ"])
def test_an_unknown_secret_leads_nowhere(db: None, secret: str) -> None:
    assert api_keys.authenticate(secret) is None


def test_a_secret_with_one_character_changed_leads_nowhere(db: None) -> None:
    _, secret = api_keys.issue(name="x", scopes=["*"])

    assert api_keys.authenticate(secret[:-1] + ("a" if secret[-1] != "a" else "b")) is None
    assert api_keys.authenticate(secret.upper()) is None
    assert api_keys.authenticate(f" {secret}") is None


def test_a_revoked_key_is_refused_at_once(db: None) -> None:
    key, secret = api_keys.issue(name="x", scopes=["*"])
    assert api_keys.authenticate(secret) is not None

    api_keys.revoke(key)

    assert api_keys.authenticate(secret) is None
    revoked_at = ApiKey.objects.get().revoked_at
    api_keys.revoke(key)
    assert ApiKey.objects.get().revoked_at == revoked_at


def test_a_key_is_good_until_just_before_its_expiry(db: None) -> None:
    past = api_keys.issue(name="x", scopes=["*"], expires_at=timezone.now() - timedelta(seconds=1))[1]
    future = api_keys.issue(name="x", scopes=["*"], expires_at=timezone.now() + timedelta(minutes=1))[1]

    assert api_keys.authenticate(past) is None
    assert api_keys.authenticate(future) is not None


@pytest.mark.parametrize("scopes", [[], ["fly"], ["events:write", "fly"]])
def test_a_scope_that_is_none_is_refused(db: None, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="Unknown scopes"):
        api_keys.issue(name="x", scopes=scopes)


@pytest.mark.parametrize("scope", sorted(set(api_keys.OPERATOR_SCOPES) - set(api_keys.CUSTOMER_SCOPES)))
def test_a_customers_key_cannot_have_an_operators_scope(shop: Shop, scope: str) -> None:
    organization = shop.customer(plan=None).organization

    with pytest.raises(ValueError, match="Unknown scopes"):
        api_keys.issue(name="x", scopes=[scope], organization=organization)


def test_no_two_secrets_are_alike(db: None) -> None:
    assert len({api_keys.issue(name="x", scopes=["*"])[1] for _ in range(20)}) == 20


def test_the_last_use_is_noted_to_the_minute(db: None, django_assert_num_queries: Callable[[int], Any]) -> None:
    key, secret = api_keys.issue(name="x", scopes=["*"])

    api_keys.authenticate(secret)
    first = ApiKey.objects.get().last_used_at
    api_keys.forget()
    with django_assert_num_queries(1):
        api_keys.authenticate(secret)

    assert first is not None
    assert ApiKey.objects.get(pk=key.pk).last_used_at == first


def test_a_key_is_remembered_for_a_moment_only(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a revoked one ends within a second in every process, also where nobody told it."""
    assert api_keys.REMEMBERED_SECONDS <= 1
    key, secret = api_keys.issue(name="x", scopes=["*"])
    assert api_keys.recently_seen(secret) is None
    api_keys.authenticate(secret)
    assert api_keys.recently_seen(secret) is not None

    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())  # As another process would.
    monkeypatch.setattr(api_keys.time, "monotonic", lambda: 10**9)

    assert api_keys.recently_seen(secret) is None
    assert api_keys.authenticate(secret) is None


def test_keys_that_were_used_are_looked_up_along_with_the_first_that_is_again(
    db: None, django_assert_num_queries: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(api_keys.time, "monotonic", lambda: now[0])
    (_, first), (ended, second), (_, unused) = (api_keys.issue(name=name, scopes=["*"]) for name in "abc")
    for secret in (unused, first, second):
        api_keys.authenticate(secret)
    now[0] += 0.5
    assert None not in {api_keys.recently_seen(first), api_keys.recently_seen(second)}
    ApiKey.objects.filter(pk=ended.pk).update(revoked_at=timezone.now())  # As another process would.
    now[0] += 0.6

    with django_assert_num_queries(1):
        assert api_keys.authenticate(first)

    assert api_keys.recently_seen(second) is api_keys.recently_seen(unused) is None
    assert (api_keys.was_seen(second), api_keys.was_seen(unused)) == (False, True)
    now[0] += 1.1
    with django_assert_num_queries(1):
        assert api_keys.authenticate(unused)
    assert api_keys.recently_seen(first), "It was used since, so it came along."
    now[0] += api_keys.LATELY_SECONDS
    api_keys.authenticate(unused)
    assert not api_keys.recently_seen(first), "It was not used lately, and is not said to have been."


@pytest.mark.parametrize("test_mode", [False, True], ids=["live", "test"])
def test_a_key_of_the_other_mode_does_nothing(db: None, settings: Any, test_mode: bool) -> None:
    settings.TEST_MODE = not test_mode
    key, secret = api_keys.issue(name="x", scopes=["*"])
    settings.TEST_MODE = test_mode
    api_keys.forget()

    assert api_keys.authenticate(secret) is None
    assert api_keys.is_of_other_mode(secret)
    assert not api_keys.is_accepted(key)
    assert not api_keys.works(key.pk)
    with pytest.raises(ValueError, match=f"another mode than {api_keys.mode()}"):
        api_keys.rotate(key, overlap=timedelta(0))
    assert api_keys.revoke(key)
    assert not api_keys.is_of_other_mode(api_keys.issue(name="x", scopes=["*"])[1])


def test_who_issued_and_who_revoked_a_key_is_in_the_trail(shop: Shop) -> None:
    organization = shop.customer(plan=None).organization
    actor = audit.Actor.of_user(User.objects.create_user("finance@ante.test"), ip_address="192.0.2.7", request_id="r1")

    key, secret = api_keys.issue(name="gateway", scopes=["events:write"], organization=organization, actor=actor)
    assert api_keys.revoke(key, actor=actor)
    assert not api_keys.revoke(key)

    issued, revoked = AuditEvent.objects.filter(object_type="api_key", object_id=str(key.pk)).order_by("id")
    assert (issued.action, revoked.action) == ("api_key.issued", "api_key.revoked")
    assert {(line.actor_label, line.organization_id) for line in (issued, revoked)} == {
        ("finance@ante.test", organization.pk)
    }
    assert issued.after == {"name": "gateway", "prefix": key.prefix} | {
        "mode": "live",
        "scopes": ["events:write"],
        "expires_at": None,
    }
    assert secret not in str(issued.after)
