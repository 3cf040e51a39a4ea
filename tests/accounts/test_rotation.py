"""After a rotation nothing needs the old key, and nothing was lost."""

import base64
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Authenticator, OutgoingMail, User
from accounts.services import factors, mail


def key(letter: str) -> str:
    return f"{letter}:{base64.urlsafe_b64encode(letter.encode() * 32).decode()}"


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM accounts_authenticator UNION ALL SELECT text FROM accounts_outgoingmail")
        return " ".join(row[0] for row in cursor.fetchall())


def test_old_key_out_and_everything_still_reads(db: None, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [key("a")]
    secrets = {factors.begin(User.objects.create_user(f"{n}@acme.test")).secret for n in range(3)}
    mail.queue("a@acme.test", "Hello", "a text with a link")
    settings.ENCRYPTION_KEYS = [key("b"), key("a")]
    with pytest.raises(CommandError, match="still needed"):
        call_command("rotate_secrets", "--check")
    assert "v1:a:" in stored()

    call_command("rotate_secrets")

    assert "v1:a:" not in stored()
    settings.ENCRYPTION_KEYS = [key("b")]
    call_command("rotate_secrets", "--check")
    assert {device.secret for device in Authenticator.objects.all()} == secrets
    assert "a text with a link" in OutgoingMail.objects.get().text
    assert not any(secret in stored() for secret in secrets)


def test_what_no_key_opens_is_said_and_left_alone(db: None, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [key("a")]
    secret = factors.begin(User.objects.create_user("a@acme.test")).secret
    settings.ENCRYPTION_KEYS = [key("b")]
    with pytest.raises(CommandError, match="is a key missing"):
        call_command("rotate_secrets")
    settings.ENCRYPTION_KEYS = [key("b"), key("a")]
    call_command("rotate_secrets")
    assert Authenticator.objects.get().secret == secret
