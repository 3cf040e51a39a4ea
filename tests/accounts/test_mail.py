"""Letters about accounts: sent, tried again, given up, and then kept until somebody has them sent again."""

from datetime import timedelta
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.utils import timezone

from accounts import working
from accounts.models import AuditEvent, OutgoingMail
from accounts.services import audit, mail

pytestmark = pytest.mark.django_db


@pytest.fixture
def letter() -> OutgoingMail:
    mail.queue("new@acme.test", "An invitation", "Come in: https://a.test/secret")
    return OutgoingMail.objects.get()


def fail(*_: Any, **__: Any) -> None:
    raise SMTPServerDisconnected("the server said something private")


def test_a_letter_that_cannot_be_sent_is_given_up_and_kept(
    letter: OutgoingMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "send_mail", fail)
    for _ in range(OutgoingMail.ATTEMPTS_MAX + 2):
        OutgoingMail.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert mail.send_due() == 0

    letter.refresh_from_db()
    assert (letter.given_up, letter.attempts, letter.last_error) == (True, 12, "SMTPServerDisconnected")


def test_a_server_that_hangs_holds_up_its_worker_for_a_minute_at_most(
    letter: OutgoingMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail.queue("second@acme.test", "Another", "Come in")
    monkeypatch.setattr(working, "WORK_SECONDS", -1)  # The first took it all.

    assert mail.send_due() == 1
    assert mail.send_due() == 1


def test_letters_to_nobody_hold_up_nobodys(letter: OutgoingMail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "BATCH", 1)
    OutgoingMail.objects.update(recipient="")
    mail.queue("second@acme.test", "An invitation", "Come in")

    assert (mail.send_due(), OutgoingMail.objects.count()) == (1, 0)


def test_what_has_gone_out_meanwhile_is_not_sent_again(letter: OutgoingMail) -> None:
    assert mail.send_due() == 1

    mail.retry(actor=audit.SYSTEM, message=letter)

    assert not AuditEvent.objects.filter(action="letter.retried").exists()
