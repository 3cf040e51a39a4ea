"""Sent at least once under one id, in order as far as possible, whatever the other side does and whoever is killed."""

import multiprocessing
import random
import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail as letters
from django.db import connections, transaction
from django.utils import timezone
from standardwebhooks import Webhook

from accounts.ids import uuid7
from accounts.models import AuditEvent, OutgoingMail
from accounts.services.audit import SYSTEM
from billing.engine.webhooks import DELAYS, TYPES, delay_after
from billing.errors import InvalidRequest, InvalidState
from billing.gateways.webhooks import Answer
from billing.models import OutboxEvent, WebhookDelivery, WebhookEndpoint
from billing.services import outbox
from billing.services.webhooks import endpoints, sending
from billing.services.webhooks.reading import anything
from tests.billing.services.conftest import Clock
from tests.billing.services.webhooks.conftest import Name, messages, relay, states
from tests.builders import Shop
from tests.receiver import Receiver


@pytest.fixture
def shop(committed_db: None, shop: Shop) -> Shop:
    """Commits are real: deliveries are sent by threads."""
    return shop


def ids(receiver: Receiver) -> list[str]:
    return [arrived.headers["webhook-id"] for arrived in receiver.arrived]


def test_messages_arrive_signed_in_order_and_once(shop: Shop, name: Name, receiver: Receiver) -> None:
    acme = shop.customer("acme")
    endpoint = name(acme)
    for amount in ("1", "2", "3"):
        shop.fund(acme, amount)
    relay()

    assert sending.send_due() == 3
    assert sending.send_due() == 0

    assert ids(receiver) == messages("grant.created")
    said = [Webhook(endpoint.secret).verify(one.body, one.headers) for one in receiver.arrived]
    assert [one["data"]["amount"] for one in said] == ["1", "2", "3"]
    assert states() == ["delivered"] * 3


def test_a_failure_is_tried_again_under_the_same_id_and_holds_back_what_comes_after(
    shop: Shop, name: Name, receiver: Receiver, clock: Clock
) -> None:
    acme = shop.customer("acme")
    name(acme)
    receiver.answers = [(500, {})]
    shop.fund(acme, "1")
    shop.fund(acme, "2")
    relay()
    sending.send_due()
    assert states() == ["pending", "pending"]
    assert len(receiver.arrived) == 1

    clock.forward(seconds=(DELAYS[0]).total_seconds())
    sending.send_due()

    first, second = messages("grant.created")
    assert ids(receiver) == [first, first, second]
    assert receiver.arrived[0].body == receiver.arrived[1].body
    assert receiver.arrived[0].headers["webhook-timestamp"] != receiver.arrived[1].headers["webhook-timestamp"]
    log = WebhookDelivery.objects.order_by("id")[0].log
    assert [attempt["status"] for attempt in log] == [500, 200]


def test_one_that_goes_on_failing_is_overtaken_and_given_up_after_three_days(
    shop: Shop, name: Name, receiver: Receiver, clock: Clock
) -> None:
    acme = shop.customer("acme")
    name(acme)
    shop.fund(acme, "1")
    shop.fund(acme, "2")
    relay()
    poison = WebhookDelivery.objects.order_by("id")[0]
    receiver.refuses = str(poison.message)
    began = timezone.now()
    for attempt in range(len(DELAYS) + 1):
        sending.send_due()
        poison.refresh_from_db()
        assert len(poison.log) == attempt + 1
        # What comes after it waits at first, and then goes ahead.
        assert states()[1] == ("pending" if attempt < 3 else "delivered")
        clock.forward(seconds=((delay_after(attempt + 1) or timedelta(0)) + timedelta(seconds=301)).total_seconds())

    assert poison.state == "failed"
    assert timezone.now() - began > timedelta(days=3)


def test_another_customers_messages_do_not_wait(shop: Shop, name: Name, receiver: Receiver) -> None:
    acme, globex = shop.customer("acme"), shop.customer("globex")
    name()
    receiver.answers = [(500, {})]
    shop.fund(acme, "1")
    relay()
    sending.send_due()
    shop.fund(acme, "2")
    shop.fund(globex, "3")
    relay()
    sending.send_due()

    assert states() == ["pending", "pending", "delivered"]


def test_however_much_waits_for_one_customer_and_however_slow_they_are_others_go_on(
    shop: Shop, name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is under way to the slow ones ends only once everything has arrived at the quick one."""
    acme, globex = shop.customer("acme"), shop.customer("globex")
    slow, quick = [name(acme), name(acme)], name(globex)
    now = timezone.now()
    rows = [
        WebhookDelivery(
            endpoint=slow[number % 2], customer=acme, lane=uuid7(), message=uuid7(), type="x", data={},
            happened_at=now, due_at=now,
        )
        for number in range(150)
    ]  # fmt: skip
    WebhookDelivery.objects.bulk_create(rows)
    for _ in range(3):
        shop.fund(globex, "1")
    relay()
    missing = list(quick.deliveries.values_list("pk", flat=True))
    arrived, in_time, at_once = threading.Event(), [], []

    def send(delivery: WebhookDelivery) -> Answer:
        if delivery.endpoint_id == quick.pk:
            missing.remove(delivery.pk)
            if not missing:
                arrived.set()
        elif not arrived.is_set():
            at_once.append(delivery.pk)
            in_time.append(arrived.wait(30))
        return Answer(200, "", 0.0)

    monkeypatch.setattr(sending, "_send", send)
    sending.send_due()

    assert len(at_once) <= sending.AT_ONCE_TO_ONE
    assert in_time
    assert all(in_time)
    assert set(states()) == {"delivered"}


def test_an_endpoint_that_fails_whatever_it_is_sent_rests_and_is_then_tried_with_one_message(
    shop: Shop, name: Name, receiver: Receiver, clock: Clock
) -> None:
    endpoint = name()
    receiver.failing = True
    for number in range(6):
        shop.customer(f"customer-{number}", plan=None)
    relay()
    sending.send_due()
    assert len(receiver.arrived) == 6
    endpoint.refresh_from_db()
    assert None not in (endpoint.rests_until, endpoint.failing_since)

    clock.forward(minutes=6)
    sending.send_due()
    assert len(receiver.arrived) == 7

    receiver.failing = False
    clock.forward(minutes=6)
    sending.send_due()
    assert states() == ["delivered"] * 6
    endpoint.refresh_from_db()
    assert (endpoint.failures, endpoint.rests_until, endpoint.failing_since) == (0, None, None)


def test_after_three_days_of_nothing_but_failure_it_is_switched_off_and_its_owner_told(
    shop: Shop, name: Name, receiver: Receiver, clock: Clock
) -> None:
    acme = shop.customer("acme")
    owner = shop.member(acme)
    endpoint = name(acme)
    receiver.failing = True
    shop.fund(acme, "1")
    relay()
    for _ in range(len(DELAYS)):
        sending.send_due()
        clock.forward(hours=21)
        shop.fund(acme, "1")
        relay()
        endpoint.refresh_from_db()
        if not endpoint.enabled:
            break

    assert (endpoint.enabled, endpoint.disabled_because) == (False, "It has failed for three days.")
    # Others read these too, and what follows the host may be a secret.
    host = receiver.url.rsplit("/", 1)[0]
    assert OutboxEvent.objects.get(type="webhook_endpoint.disabled", customer=acme).payload["url"] == host
    for line in AuditEvent.objects.filter(object_type="webhook_endpoint"):
        assert (line.after or {})["url"] == host
    assert AuditEvent.objects.filter(action="webhook_endpoint.disabled").count() == 1
    assert OutgoingMail.objects.get().recipient == owner.email
    assert letters.outbox == []
    waiting = states().count("pending")
    assert waiting > 0
    receiver.failing = False
    sending.send_due()
    assert states().count("pending") == waiting

    endpoints.change(actor=SYSTEM, may=anything, endpoint=endpoint, enabled=True)
    sending.send_due()
    assert "pending" not in states()


def test_gone_means_gone(shop: Shop, name: Name, receiver: Receiver) -> None:
    acme = shop.customer("acme")
    endpoint = name(acme)
    receiver.answers = [(410, {})]
    shop.fund(acme, "1")
    relay()
    sending.send_due()

    endpoint.refresh_from_db()
    assert not endpoint.enabled


def test_a_cost_alert_reaches_a_pipeline_signed_and_again_after_a_500(
    shop: Shop, name: Name, receiver: Receiver, clock: Clock
) -> None:
    acme = shop.customer("acme", usd="100")
    endpoint = name(acme, "budget.threshold_reached")
    shop.budget(acme, "1", alert_at=[Decimal("0.8")])
    receiver.answers = [(500, {})]
    shop.record(acme, input_tokens=360_000)
    relay()
    sending.send_due()
    clock.forward(seconds=(DELAYS[0]).total_seconds())
    sending.send_due()

    assert ids(receiver) == messages("budget.threshold_reached") * 2
    said = Webhook(endpoint.secret).verify(receiver.arrived[1].body, receiver.arrived[1].headers)
    assert (said["type"], said["data"]["threshold"]) == ("budget.threshold_reached", "0.8")


def test_a_crm_is_told_in_its_own_shape_signed(shop: Shop, name: Name, receiver: Receiver) -> None:
    acme = shop.customer("acme")
    endpoint = name(acme, "usage.spike")
    endpoints.change(actor=SYSTEM, may=anything, endpoint=endpoint, format="salesforce")
    spike = outbox.Message("usage.spike", acme.pk, TYPES["usage.spike"].example)
    with transaction.atomic():
        outbox.publish([spike], now=timezone.now())
    relay()
    sending.send_due()

    said = Webhook(endpoint.secret).verify(receiver.arrived[0].body, receiver.arrived[0].headers)
    assert (said["Account_External_Id__c"], said["Percent__c"]) == ("acme", "4622.2")
    assert said["Window__c"].startswith("hour from ")


def test_both_secrets_sign_for_a_day(shop: Shop, name: Name, receiver: Receiver, clock: Clock) -> None:
    acme = shop.customer("acme")
    endpoint = name(acme)
    old = endpoint.secret
    new = endpoints.rotate(actor=SYSTEM, may=anything, endpoint=endpoint)
    endpoints.test(endpoint, may=anything)
    with pytest.raises(InvalidState, match="already"):
        endpoints.test(endpoint, may=anything)
    sending.send_due()
    assert len(receiver.arrived[0].headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        Webhook(secret).verify(receiver.arrived[0].body, receiver.arrived[0].headers)

    clock.forward(seconds=(endpoints.OVERLAP).total_seconds())
    endpoints.test(endpoint, may=anything)
    sending.send_due()
    assert len(receiver.arrived[1].headers["webhook-signature"].split()) == 1


def test_what_was_sent_can_be_sent_again_under_the_same_id(shop: Shop, name: Name, receiver: Receiver) -> None:
    acme = shop.customer("acme")
    endpoint = name(acme)
    for amount in ("1", "2"):
        shop.fund(acme, amount)
    relay()
    with pytest.raises(InvalidState):
        endpoints.replay(actor=SYSTEM, may=anything, delivery=endpoint.deliveries.all()[0])
    sending.send_due()
    WebhookDelivery.objects.filter(pk=endpoint.deliveries.order_by("id")[0].pk).update(state="failed")
    long_ago = timezone.now() - timedelta(days=1)

    assert endpoints.replay_all(actor=SYSTEM, may=anything, endpoint=endpoint, since=long_ago) == 1
    sending.send_due()
    assert endpoints.replay_all(actor=SYSTEM, may=anything, endpoint=endpoint, since=long_ago, failed=False) == 2
    sending.send_due()

    first, second = messages("grant.created")
    assert ids(receiver) == [first, second, first, first, second]


def test_what_cannot_be_an_endpoint_is_refused(shop: Shop, name: Name) -> None:
    for url, events, field in [
        ("https://10.0.0.1/", ["*"], "url"),
        ("nonsense", ["*"], "url"),
        ("https://hooks.test/", ["nothing.happened"], "events"),
        ("https://hooks.test/", [], "events"),
    ]:
        with pytest.raises(InvalidRequest) as refused:
            endpoints.create(actor=SYSTEM, may=anything, customer=None, url=url, events=events)
        assert refused.value.errors[0].field == field
    assert not WebhookEndpoint.objects.exists()


def test_the_secret_is_sealed_in_the_database(shop: Shop, name: Name) -> None:
    from django.db import connection

    endpoint = name()
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM billing_webhookendpoint")
        (stored,) = cursor.fetchone()
    assert stored.startswith("v1:")
    assert endpoint.secret.startswith("whsec_")
    assert endpoint.secret not in stored


def _worker(seed: int) -> None:
    """A process that relays and sends until it is killed."""
    connections.close_all()
    random.seed(seed)
    while True:
        relay()
        sending.send_due()
        time.sleep(0.01)


def test_a_sender_that_is_killed_again_and_again_loses_nothing(
    shop: Shop, name: Name, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver fails, hangs and restarts meanwhile, and as much as is committed is rolled back."""
    monkeypatch.setattr(sending, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(sending, "REST_MAX_SECONDS", 0.2)
    monkeypatch.setattr(sending, "delay_after", lambda failures: timedelta(milliseconds=100))
    chance = random.Random(7)
    name()
    customers = [shop.customer(f"customer-{number}", plan=None) for number in range(3)]
    forked: Any = multiprocessing.get_context("fork")
    for blow in range(6):
        receiver.failing, receiver.hanging = chance.random() < 0.3, chance.random() < 0.3
        for customer in customers * 2:
            shop.fund(customer, "1")
            with transaction.atomic():
                shop.fund(customer, "1")
                transaction.set_rollback(True)
        receiver.close()
        connections.close_all()
        worker = forked.Process(target=_worker, args=(blow,), daemon=True)
        worker.start()
        time.sleep(chance.uniform(0.1, 0.4))
        receiver.start()
        time.sleep(chance.uniform(0.1, 0.4))
        worker.kill()
        worker.join(30)
    receiver.failing = receiver.hanging = False

    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        relay()
        sending.send_due()
        if not OutboxEvent.objects.filter(state="new").exists() and "pending" not in states():
            break
        time.sleep(0.2)

    committed = set(messages("grant.created")) | set(messages("customer.created"))
    assert len(committed) == 39
    assert set(ids(receiver)) == committed
    assert states() == ["delivered"] * 39


def test_a_killed_sender_would_lose_what_it_settled_before_it_was_sent(
    shop: Shop, name: Name, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the one above."""
    claim = sending._claim

    def settled_too_early(*args: Any) -> list[WebhookDelivery]:
        claimed = claim(*args)
        WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in claimed]).update(state="delivered")
        return claimed

    monkeypatch.setattr(sending, "_claim", settled_too_early)
    name()
    shop.customer("acme", plan=None)
    receiver.close()
    connections.close_all()
    worker = multiprocessing.get_context("fork").Process(target=_worker, args=(1,), daemon=True)
    worker.start()
    deadline = time.monotonic() + 60
    while "delivered" not in states() and time.monotonic() < deadline:
        time.sleep(0.1)
    worker.kill()
    worker.join(30)
    receiver.start()

    relay()
    sending.send_due()

    assert set(states()) == {"delivered"}
    assert set(ids(receiver)) < set(messages("customer.created"))


def test_what_a_customer_named_never_leads_into_the_operators_networks(
    shop: Shop, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    acme, events = shop.customer("acme"), ["*"]
    operators, _ = endpoints.create(actor=SYSTEM, may=anything, customer=None, url=receiver.url, events=events)
    own, _ = endpoints.create(actor=SYSTEM, may=anything, customer=acme, url="https://hooks.test/", events=events)
    with pytest.raises(InvalidRequest):
        endpoints.create(actor=SYSTEM, may=anything, customer=acme, url=receiver.url, events=events)
    with pytest.raises(InvalidRequest):
        endpoints.change(actor=SYSTEM, may=anything, endpoint=own, url=receiver.url)
    WebhookEndpoint.objects.filter(pk=own.pk).update(url=receiver.url)  # As one that was named otherwise.
    own.refresh_from_db()

    for endpoint in (operators, own):
        endpoints.test(endpoint, may=anything)
    sending.send_due()

    assert [arrived.headers["webhook-id"] for arrived in receiver.arrived] == [
        f"msg_{operators.deliveries.get().message}"
    ]
    assert own.deliveries.get().log[0]["said"] == "It must begin with https://."
