"""From a notice to its readers: who gets it, over which channel, and when."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from billing.errors import InvalidRequest
from billing.models import Customer, Notice, NoticeDelivery, NoticePreference
from billing.services import notices
from billing.services.ledger import bulk
from billing.services.notices import Told
from billing.services.notices.addressing import after_quiet
from billing.services.notices.texts import amount
from tests.billing.services.ledger.test_races import together
from tests.builders import Shop
from tests.payments import Bank, Payer

LOW = {"asset": "usd", "available": "4.5", "threshold": "5"}


def tell(customer: Customer, kind: str = "wallet.balance_low", facts: Any = None) -> None:
    with transaction.atomic():
        bulk.run(notices.publication([Told(customer.pk, kind, facts or LOW)], now=timezone.now()))


def deliveries() -> list[tuple[str | None, str, str]]:
    found = NoticeDelivery.objects.select_related("user")
    return sorted((row.user.email if row.user else None, row.channel, row.state) for row in found)


def test_everybody_finds_it_in_the_inbox_and_those_who_may_do_something_get_mail(shop: Shop) -> None:
    acme = shop.customer(name="Acme <Robotics>")
    shop.member(acme, "owner@acme.test", "owner")
    shop.member(acme, "viewer@acme.test", "viewer")
    gone = shop.member(acme, "gone@acme.test", "owner")
    gone.is_active = False
    gone.save()
    tell(acme)

    assert [notices.address(), notices.address()] == [1, 0]
    assert [notices.send_due(), notices.send_due()] == [1, 0]

    assert deliveries() == [
        ("owner@acme.test", "email", "sent"),
        ("owner@acme.test", "inbox", "sent"),
        ("viewer@acme.test", "inbox", "sent"),
    ]
    (letter,) = mail.outbox
    assert letter.to == ["owner@acme.test"]
    assert letter.subject == "Your AI Agent balance is low · Acme <Robotics>"
    assert "Your AI Agent balance is low. $4.50 left, below $5.00." in letter.body
    html = letter.alternatives[0][0]
    assert "Acme &lt;Robotics&gt;" in html
    assert letter.extra_headers["Message-ID"].endswith("@ante>")


def test_times_are_written_as_the_reader_reads_them(shop: Shop) -> None:
    acme = shop.customer()
    acme.timezone = "America/New_York"
    acme.save()
    shop.member(acme, "anna@acme.test", "owner")
    hans = shop.member(acme, "hans@acme.test", "owner")
    hans.language, hans.timezone = "de", "Europe/Berlin"
    hans.save()
    ends = {"remaining": "5", "name": "Gift", "expires_at": "2026-11-28 10:00 UTC", "threshold": "7"}
    tell(acme, "grant.expiring", LOW | ends)

    notices.address()
    notices.send_due()

    told = {letter.to[0]: letter.body for letter in mail.outbox}
    assert "will expire on Nov 28, 2026 05:00 EST." in told["anna@acme.test"]
    assert "verfallen am 28.11.2026 11:00 CET." in told["hans@acme.test"]
    assert "UTC" not in "".join(told.values())


def test_a_customer_for_whom_nobody_acts_gets_mail_at_its_own_address(shop: Shop) -> None:
    tell(shop.customer(email="billing@acme.test"))
    tell(shop.customer("globex"))

    notices.address()
    notices.send_due()

    assert [letter.to for letter in mail.outbox] == [["billing@acme.test"]]
    assert deliveries() == [(None, "email", "sent")]


def test_people_choose_their_topics_and_quiet_hours(shop: Shop) -> None:
    acme = shop.customer(timezone="America/Chicago")
    owner = shop.member(acme)
    now = timezone.now().astimezone(ZoneInfo("America/Chicago"))
    begin, end = (now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time()
    notices.prefer(user=owner, customer=acme, email_topics=["balance"], quiet_from=begin, quiet_until=end)
    tell(acme)
    facts = {"name": "x", "unit": "usd", "limit": "5", "spent": "4", "threshold": "0.8", "hard": True}
    tell(acme, "budget.threshold_reached", facts)

    notices.address()

    assert notices.send_due() == 0
    waiting = NoticeDelivery.objects.get(channel="email")
    assert waiting.notice.kind == "wallet.balance_low"
    assert timedelta(minutes=50) < waiting.due_at - timezone.now() <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("local", "until"),
    [("21:59", None), ("22:00", "07:30"), ("23:59", "07:30"), ("00:30", "07:30"), ("07:29", "07:30"), ("07:30", None)],
)
def test_quiet_hours_may_go_over_midnight(local: str, until: str | None) -> None:
    zone = ZoneInfo("Europe/Berlin")
    wish = NoticePreference(quiet_from=time(22), quiet_until=time(7, 30))
    now = datetime.combine(datetime(2026, 3, 10, tzinfo=UTC).date(), time.fromisoformat(local), tzinfo=zone)

    due = after_quiet(now, wish, zone)

    assert (None if due == now else f"{due.astimezone(zone):%H:%M}") == until
    assert due - now < timedelta(hours=10)


def test_what_cannot_be_sent_is_tried_again_and_given_up_in_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = shop.customer(email="billing@acme.test")
    tell(acme)
    notices.address()

    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", refuse)
    for attempt in range(1, 13):
        assert notices.send_due() == 0
        delivery = NoticeDelivery.objects.get()
        assert (delivery.attempts, delivery.last_error) == (attempt, "ConnectionRefusedError")
        assert delivery.due_at > timezone.now()
        NoticeDelivery.objects.update(due_at=timezone.now())
    assert delivery.state == "failed"
    assert notices.send_due() == 0


def test_two_workers_send_it_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(email="billing@acme.test")
    for _ in range(3):
        tell(acme)

    assert sum(together(*[notices.address] * 4)) == 3
    assert sum(together(*[notices.send_due] * 4)) == 3
    assert len(mail.outbox) == NoticeDelivery.objects.count() == 3


def test_the_inbox_is_read_by_each_for_themselves(shop: Shop) -> None:
    acme = shop.customer()
    one, two = shop.member(acme, "one@acme.test"), shop.member(acme, "two@acme.test")
    tell(acme)
    notices.address()

    assert [notices.read(user=one, customer=acme), notices.read(user=one, customer=acme)] == [1, 0]
    assert NoticeDelivery.objects.get(user=two, channel="inbox").read_at is None


def test_wishes_that_make_no_sense_are_refused(shop: Shop) -> None:
    acme = shop.customer()
    owner = shop.member(acme)
    for wish in (
        {"email_topics": ["gossip"]},
        {"email_topics": [], "quiet_from": time(22)},
        {"email_topics": [], "quiet_from": time(22), "quiet_until": time(22)},
    ):
        with pytest.raises(InvalidRequest):
            notices.prefer(user=owner, customer=acme, **wish)  # type: ignore[arg-type]
    assert not NoticePreference.objects.exists()


def test_a_notice_that_is_rolled_back_is_never_told(shop: Shop) -> None:
    acme = shop.customer()
    with transaction.atomic():
        tell(acme)
        transaction.set_rollback(True)

    assert notices.address() == Notice.objects.count() == 0


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [
        ("5", "usd", "$5.00"),
        ("0.0012", "usd", "$0.0012"),
        ("-3.5", "eur", "-€3.50"),
        ("1234567.899", "usd", "$1,234,567.89"),
        ("1200", "image_credits", "1,200 image credits"),
    ],
)
def test_amounts_in_words(number: str, unit: str, shown: str) -> None:
    assert amount(number, unit) == shown


def test_receipts_are_for_those_who_see_invoices(shop: Shop, bank: Bank) -> None:
    payer = Payer(shop, bank)
    for role in ("owner", "developer"):
        user = shop.member(payer.customer, f"{role}@acme.test", role)
        notices.prefer(user=user, customer=payer.customer, email_topics=["receipts", "balance"])
    payer.paid()
    tell(payer.customer)

    notices.address()
    notices.send_due()

    assert {letter.to[0] for letter in mail.outbox if letter.attachments} == {"owner@acme.test"}
    developers = NoticeDelivery.objects.filter(user__email="developer@acme.test")
    assert {(row.channel, row.notice.kind) for row in developers} == {
        ("email", "wallet.balance_low"),
        ("inbox", "wallet.balance_low"),
    }


@pytest.mark.parametrize("what", ["left", "developer", "switched off", "control"])
def test_what_waited_is_not_sent_to_who_may_not_see_it_any_more(shop: Shop, bank: Bank, what: str) -> None:
    payer = Payer(shop, bank)
    person = shop.member(payer.customer, "billing@acme.test", "billing")
    payer.paid()
    notices.address()
    assert NoticeDelivery.objects.filter(user=person, state="due").count() == 1
    match what:
        case "left":
            person.memberships.all().delete()
        case "developer":
            person.memberships.update(role="developer")
        case "switched off":
            User.objects.filter(pk=person.pk).update(is_active=False)

    assert notices.send_due() == len(mail.outbox) == (1 if what == "control" else 0)
    assert not NoticeDelivery.objects.filter(state="due").exists()
