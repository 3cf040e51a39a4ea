"""Telephones and chats: what may be named, that a code comes first, and what is sent, to whom, over which address."""

from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.services.audit import SYSTEM
from billing.errors import AlreadyExists, InvalidRequest, InvalidState, RateLimited
from billing.gateways import messengers
from billing.models import Customer, NoticeDelivery, NoticeTarget
from billing.services import notices
from billing.services.notices import targets
from tests.billing.services.notices.test_notices import tell
from tests.builders import Shop
from tests.receiver import receiving

SLACK = "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/abcdefgh12345678ABCDEFGH"
DISCORD = "https://discord.com/api/webhooks/123456789012345678/" + "a-B_3" * 13
TEAMS = (
    "https://default0a1b.2c.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/"
    "0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0"
    "&sig=abcdefghijklmnopqrstuvwxyz-_0123456789ABCDEF"
)
PHONE = "+1 (555) 765-4321"
ADDRESSES = {"slack": SLACK, "discord": DISCORD, "teams": TEAMS, "sms": PHONE}
SPIKE = {"asset": "usd", "spent": "40", "usual": "1", "scope": {}}


class Wire:
    """What is sent, in place of the network. ``status`` is what every service answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.status = 200
        self.redirects: list[bool] = []

    def request(self, method: str, url: str, **how: Any) -> requests.Response:
        self.sent.append((url, str(how.get("data") or how.get("json"))))
        self.redirects.append(how.get("allow_redirects", True))
        answer = requests.Response()
        answer.status_code, answer._content = self.status, b"ok"
        return answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Wire:
    found = Wire()
    monkeypatch.setattr(requests, "request", found.request)
    monkeypatch.setattr(requests, "post", lambda url, **how: found.request("POST", url, **how))
    settings.SMS_URL = f"twilio://AC{'a' * 32}:{'b' * 32}@+15551234567"
    return found


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer()


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> User:
    return shop.member(acme)


def added(user: User, customer: Customer, channel: str = "slack", topics: Any = ("balance",)) -> NoticeTarget:
    return targets.add(
        actor=SYSTEM, user=user, customer=customer, channel=channel, address=ADDRESSES[channel], topics=topics
    )


def confirmed(user: User, customer: Customer, channel: str = "slack", **how: Any) -> NoticeTarget:
    target = added(user, customer, channel, **how)
    NoticeTarget.objects.filter(pk=target.pk).update(code_sent_at=timezone.now(), confirmed_at=timezone.now())
    return target


@pytest.mark.parametrize(
    ("channel", "host"),
    [
        ("slack", "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/"),
        ("discord", "https://discord.com/api/webhooks/123456789012345678/"),
        ("teams", "https://default0a1b.2c.environment.api.powerplatform.com:443/powerautomate/"),
        ("sms", "https://api.twilio.com/"),
    ],
)
def test_a_code_goes_there_and_then_what_the_person_wants(
    wire: Wire, acme: Customer, owner: User, channel: str, host: str
) -> None:
    target = added(owner, acme, channel)
    tell(acme)
    notices.address()
    assert not NoticeDelivery.objects.filter(channel=channel).exists()

    assert [notices.send_codes(), notices.send_codes()] == [1, 0]
    assert target.code in wire.sent[0][1]
    assert wire.sent[0][0].startswith(host)
    targets.confirm(actor=SYSTEM, target=target, code=target.code)
    tell(acme)
    tell(acme, "usage.spike", SPIKE)
    notices.address()
    notices.send_due()

    delivery = NoticeDelivery.objects.get(channel=channel)
    assert (delivery.state, delivery.notice.kind, delivery.user) == ("sent", "wallet.balance_low", owner)
    assert "Your AI Agent balance is low" in wire.sent[1][1]
    assert len(wire.sent) == 2
    assert wire.redirects == [False, False]
    trail = AuditEvent.objects.filter(action__startswith="notice_target").order_by("id")
    assert [row.action for row in trail] == ["notice_target.added", "notice_target.confirmed"]
    assert ADDRESSES[channel] not in str([row.after for row in trail])


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("slack", "https://hooks.slack.com.evil.test/services/T01ABCDEF/B01ABCDEF/abcdefgh12345678"),
        ("slack", "https://127.0.0.1/services/T01ABCDEF/B01ABCDEF/abcdefgh12345678"),
        ("slack", "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/../../../abcdefgh"),
        ("slack", "slack://T01ABCDEF/B01ABCDEF/abcdefgh12345678"),
        ("slack", "json://127.0.0.1/"),
        ("slack", SLACK + "\n"),
        ("discord", "https://discord.com@127.0.0.1/api/webhooks/123456789012345678/" + "a" * 60),
        ("teams", TEAMS.replace("api.powerplatform.com", "api.powerplatform.com.evil.test")),
        ("teams", TEAMS.replace("https://default0a1b.2c.environment.api.powerplatform.com:443", "https://10.0.0.1")),
        ("teams", TEAMS.replace(":443", ":8080")),
        ("sms", "5557654321"),
        ("sms", "+15557654321/../x"),
        ("operator", "json://127.0.0.1/"),
        ("email", "somebody@else.test"),
    ],
    ids=range(14),
)
def test_what_is_no_address_of_the_service_is_refused(
    wire: Wire, acme: Customer, owner: User, channel: str, address: str
) -> None:
    if address == SLACK + "\n":
        assert messengers.check(channel, address) == SLACK
        return
    with pytest.raises(InvalidRequest):
        targets.add(actor=SYSTEM, user=owner, customer=acme, channel=channel, address=address, topics=[])
    assert not NoticeTarget.objects.exists()


def test_without_a_gateway_text_messages_are_not_offered(settings: Any, acme: Customer, owner: User) -> None:
    settings.SMS_URL = ""
    assert targets.offered() == ["slack", "teams", "discord"]
    with pytest.raises(InvalidRequest):
        added(owner, acme, "sms")


def test_a_code_holds_for_a_while_and_for_a_few_tries(wire: Wire, acme: Customer, owner: User) -> None:
    target = added(owner, acme)
    with pytest.raises(InvalidState):
        targets.confirm(actor=SYSTEM, target=target, code=target.code)  # It was not sent yet.
    notices.send_codes()
    for _ in range(targets.TRIES_MAX):
        with pytest.raises(InvalidRequest):
            targets.confirm(actor=SYSTEM, target=target, code="no")
    with pytest.raises(InvalidState):
        targets.confirm(actor=SYSTEM, target=target, code=target.code)
    NoticeTarget.objects.update(tries=0, code_sent_at=timezone.now() - timedelta(minutes=16))
    with pytest.raises(InvalidState):
        targets.confirm(actor=SYSTEM, target=target, code=target.code)
    with pytest.raises(AlreadyExists):
        added(owner, acme)


def test_a_person_adds_only_so_many_in_a_day(acme: Customer, owner: User) -> None:
    from accounts.services.audit import Actor

    actor = Actor.of_user(owner, ip_address=None, request_id="")
    for _ in range(targets.ADDED_A_DAY_MAX):
        target = targets.add(actor=actor, user=owner, customer=acme, channel="slack", address=SLACK, topics=[])
        targets.remove(actor=actor, target=target)

    with pytest.raises(RateLimited):
        targets.add(actor=actor, user=owner, customer=acme, channel="slack", address=SLACK, topics=[])


def test_an_organization_and_everybody_add_only_so_many_in_a_day(
    wire: Wire, shop: Shop, acme: Customer, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = shop.member(acme, "second@acme.test")
    monkeypatch.setattr(targets, "ADDED_BY_ALL_MAX", 1)
    added(owner, acme)
    with pytest.raises(RateLimited):
        added(second, acme)

    other = shop.customer("other")
    stranger = shop.member(other, "stranger@other.test")
    monkeypatch.setattr(targets, "TELEPHONES_MAX", 0)
    with pytest.raises(RateLimited):
        added(stranger, other, "sms")
    added(stranger, other)


def test_what_is_not_taken_is_tried_again_and_can_be_sent_again(wire: Wire, acme: Customer, owner: User) -> None:
    confirmed(owner, acme)
    wire.status = 404
    tell(acme)
    notices.address()
    notices.send_due()

    delivery = NoticeDelivery.objects.get(channel="slack")
    assert (delivery.state, delivery.last_error) == ("due", "It was not taken: 404.")
    NoticeDelivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=12)
    wire.status = 200
    notices.retry(actor=SYSTEM, delivery=delivery)
    assert notices.send_due() == 1
    with pytest.raises(InvalidState):
        notices.retry(actor=SYSTEM, delivery=delivery)


def test_who_has_left_or_wants_it_no_more_is_not_told(wire: Wire, acme: Customer, owner: User) -> None:
    target = confirmed(owner, acme)
    tell(acme)
    notices.address()
    targets.remove(actor=SYSTEM, target=target)

    notices.send_due()

    assert wire.sent == []
    assert "any more" in NoticeDelivery.objects.get(channel="slack").last_error
    confirmed(owner, acme)
    owner.is_active = False
    owner.save()
    tell(acme)
    notices.address()
    assert NoticeDelivery.objects.filter(channel="slack").count() == 1


def test_the_operator_is_told_what_may_need_somebody(settings: Any, acme: Customer, owner: User) -> None:
    with receiving() as receiver:
        settings.OPERATOR_NOTIFY_URL = receiver.url.replace("http://", "json://")
        tell(acme)
        tell(acme, "usage.spike", SPIKE)
        notices.address()
        notices.send_due()

        assert NoticeDelivery.objects.get(channel="operator").state == "sent"
        (arrived,) = receiver.arrived
        assert b"Much more is spent than usual" in arrived.body
