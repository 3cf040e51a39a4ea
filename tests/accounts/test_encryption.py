"""Secrets at rest: sealed with one key, opened with any of the ring, bound to their column."""

import base64
from typing import Any

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection

from accounts import encryption
from accounts.models import Authenticator, User
from accounts.services import factors


def key(letter: str) -> str:
    return base64.urlsafe_b64encode(letter.encode() * 32).decode()


def test_what_is_sealed_opens_and_shows_nothing() -> None:
    sealed = encryption.seal("JBSWY3DP", purpose="here")

    assert encryption.unseal(sealed, purpose="here") == "JBSWY3DP"
    assert "JBSWY3DP" not in sealed
    assert sealed != encryption.seal("JBSWY3DP", purpose="here")


def test_it_opens_only_for_its_purpose() -> None:
    with pytest.raises(encryption.CannotOpen):
        encryption.unseal(encryption.seal("x", purpose="here"), purpose="there")


@pytest.mark.parametrize("broken", ["", "plain", "v1:", "v1:a:", "v2:a:AAAA", "v1:a:AAAA"])
def test_what_is_no_sealed_text_is_refused(broken: str) -> None:
    with pytest.raises(encryption.CannotOpen):
        encryption.unseal(broken, purpose="here")


def test_no_character_can_be_changed() -> None:
    sealed = encryption.seal("secret", purpose="here")
    head, body = sealed.rsplit(":", 1)
    for position in range(0, len(body) - 2, 5):
        other = "A" if body[position] != "A" else "B"
        with pytest.raises(encryption.CannotOpen):
            encryption.unseal(f"{head}:{body[:position]}{other}{body[position + 1 :]}", purpose="here")


def test_a_new_key_seals_and_the_old_ones_still_open(settings: Any) -> None:
    derived = encryption.seal("by the secret key", purpose="p")
    settings.ENCRYPTION_KEYS = [f"a:{key('a')}"]
    first = encryption.seal("by a", purpose="p")
    settings.ENCRYPTION_KEYS = [f"b:{key('b')}", f"a:{key('a')}"]

    assert encryption.key_id_of(encryption.seal("x", purpose="p")) == "b" == encryption.sealing_key_id()
    assert encryption.unseal(first, purpose="p") == "by a"
    assert encryption.unseal(derived, purpose="p") == "by the secret key"
    settings.ENCRYPTION_KEYS = [f"b:{key('b')}"]
    with pytest.raises(encryption.CannotOpen, match="The key a is not in the ring"):
        encryption.unseal(first, purpose="p")


def test_after_a_new_secret_key_the_fallback_opens(settings: Any) -> None:
    sealed = encryption.seal("x", purpose="p")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key, long enough for anything"
    with pytest.raises(encryption.CannotOpen):
        encryption.unseal(sealed, purpose="p")
    settings.SECRET_KEY_FALLBACKS = [old]
    assert encryption.unseal(sealed, purpose="p") == "x"


@pytest.mark.parametrize("keys", [["a"], ["a:short"], ["A B:" + key("a")], ["a:" + key("a"), "a:" + key("b")]])
def test_a_ring_that_makes_no_sense_is_refused(settings: Any, keys: list[str]) -> None:
    settings.ENCRYPTION_KEYS = keys
    with pytest.raises(ImproperlyConfigured):
        encryption.seal("x", purpose="p")


def test_the_database_holds_no_seed_in_clear(db: None) -> None:
    device = factors.begin(User.objects.create_user("a@acme.test"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM accounts_authenticator")
        (stored,) = cursor.fetchone()

    assert stored.startswith("v1:")
    assert device.secret not in stored
    assert Authenticator.objects.get().secret == device.secret


def test_a_sealed_field_cannot_be_searched(db: None) -> None:
    with pytest.raises(FieldError, match="sealed"):
        Authenticator.objects.filter(secret="x").exists()
