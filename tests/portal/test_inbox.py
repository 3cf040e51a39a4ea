"""The inbox: what one was told, and what of it could not be sent elsewhere."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from billing.models import Customer, Notice, NoticeDelivery
from billing.services import notices
from tests.builders import Shop, browser_of


@pytest.fixture
def letter(shop: Shop) -> NoticeDelivery:
    """A letter to acme's owner that could not be sent once."""
    acme = shop.customer("acme")
    shop.member(acme)
    Notice.objects.create(customer=acme, kind="budget.reset", title="Anew", text="Again.", created_at=timezone.now())
    notices.address()
    letter = NoticeDelivery.objects.get(channel="email")
    NoticeDelivery.objects.filter(pk=letter.pk).update(last_error="ConnectionRefusedError", attempts=3, state="failed")
    return letter


def test_what_could_not_be_sent_is_seen_and_sent_again(letter: NoticeDelivery, mailoutbox: list[Any]) -> None:
    assert letter.user is not None
    client = browser_of(letter.user)
    assert "could not be sent." in client.get("/inbox").content.decode()

    assert client.post(f"/inbox/{letter.pk}/send-again").status_code == 302
    assert "could not be sent yet; it is tried again." in client.get("/inbox").content.decode()
    assert notices.send_due() == 1

    assert [mail.subject for mail in mailoutbox] == ["Anew · Acme"]
    assert "could not be sent" not in client.get("/inbox").content.decode()
    assert client.post(f"/inbox/{letter.pk}/send-again").status_code == 404
    assert AuditEvent.objects.filter(action="notice_delivery.retried").count() == 1


def test_another_persons_letters_are_none_of_ones_own(letter: NoticeDelivery, shop: Shop) -> None:
    other = browser_of(shop.member(Customer.objects.get(), "second@acme.test"))

    assert "could not be sent" not in other.get("/inbox").content.decode()
    assert other.post(f"/inbox/{letter.pk}/send-again").status_code == 404
