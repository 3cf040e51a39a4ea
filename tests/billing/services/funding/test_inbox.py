"""What the provider reports may come in any order, twice, late, and forged."""

import itertools
import json
import time
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.gateways.stripe import Stripe
from billing.models import Grant, ProviderEvent, TopUp
from billing.services.funding import attempts, inbox
from tests.payments import DECLINED, SECRET, Bank, Payer, again, post, work


def story(payer: Payer, bank: Bank, kind: str) -> TopUp:
    """A payment with all that happens on its way; its messages wait at the bank."""
    top_up = payer.open()
    url = top_up.attempt.checkout_url
    match kind:
        case "card":
            bank.pay(url)
        case "declined first":
            bank.pay(url, number=DECLINED)
            bank.pay(url)
        case "debit":
            bank.pay(url, kind="us_bank_account", number="000123456789")
            bank.settle()
        case "debit that fails":
            bank.pay(url, kind="us_bank_account", number="000111111116")
            bank.settle(well=False)
    return top_up


@pytest.mark.parametrize(
    ("kind", "status"),
    [("card", "succeeded"), ("declined first", "succeeded"), ("debit", "succeeded"), ("debit that fails", "failed")],
)
def test_every_order_and_every_repeat_leads_to_the_same_end(
    payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch, kind: str, status: str
) -> None:
    """Every order of its messages, each worked through by itself and all of them again: one credit, or none."""
    top_up = story(payer, bank, kind)
    events = bank.news()
    assert 2 <= len(events) <= 5
    for event in events:
        assert bank.send(event).status_code == 200
    for name in ("session", "payment", "payment_of_charge"):  # Nothing changes at the bank any more.
        monkeypatch.setattr(Stripe, name, cache(getattr(Stripe, name)))
    for order in itertools.permutations(ProviderEvent.objects.all()):
        with transaction.atomic():
            for row in (*order, *order):
                assert inbox._work_one(row)
            assert (again(top_up).status, payer.available) == (status, 25 if status == "succeeded" else 0)
            assert Grant.objects.count() == (status == "succeeded")
            assert ProviderEvent.objects.filter(state="done").count() == len(events)
            transaction.set_rollback(True)


@pytest.mark.parametrize("between", range(4))
def test_a_message_at_any_moment_of_the_payment_finds_the_truth(payer: Payer, bank: Bank, between: int) -> None:
    """The worker reads what is true when it comes by, not what was true when the message was written."""
    top_up = payer.open()
    steps = [
        lambda: bank.pay(top_up.attempt.checkout_url, number=DECLINED),
        lambda: bank.pay(top_up.attempt.checkout_url, kind="us_bank_account", number="000123456789"),
        bank.settle,
    ]
    states = ["requires_action", "requires_action", "processing", "succeeded"]
    kept: list[Any] = []
    for step in steps[:between]:
        step()
        kept += bank.news()
    bank.deliver(kept[::-1])
    assert again(top_up).status == states[between]
    for step in steps[between:]:
        step()
    bank.deliver([*bank.news(), *kept])
    assert (again(top_up).status, payer.available) == ("succeeded", 25)


def test_what_is_read_before_somebody_else_wrote_is_read_again(
    payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker reads "processing" and is slow; another reads "succeeded" and is quick: the first must not win."""
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url, kind="us_bank_account", number="000123456789")
    read, reads = Stripe.session, []

    def slow(self: Stripe, session_id: str) -> Any:
        seen = read(self, session_id)
        reads.append(seen.outcome)
        if len(reads) == 1:
            bank.settle()
            attempts.look_up(top_up.attempt_id)
        return seen

    monkeypatch.setattr(Stripe, "session", slow)
    attempts.look_up(top_up.attempt_id)

    assert reads == ["processing", "succeeded", "succeeded"]
    assert (again(top_up).status, payer.available) == ("succeeded", 25)


def test_one_that_comes_twice_is_stored_once(payer: Payer, bank: Bank) -> None:
    story(payer, bank, "card")
    event = bank.news()[0]
    answers = [bank.send(event).json() for _ in range(3)]
    assert [answer["new"] for answer in answers] == [True, False, False]
    assert ProviderEvent.objects.count() == 1


def test_nothing_of_a_person_is_kept_of_a_message(payer: Payer, bank: Bank) -> None:
    story(payer, bank, "card")
    bank.deliver()
    kept = json.dumps(list(ProviderEvent.objects.values()), default=str)
    assert "4242" not in kept
    assert set(ProviderEvent.objects.values_list("customer__external_id", flat=True)) == {"acme"}


def test_what_is_not_ours_is_taken_and_parked(payer: Payer, bank: Bank) -> None:
    with bank.rules.store.changing():
        foreign = bank.rules.new_intent({"amount": "5000", "currency": "usd"})
        bank.rules.store.save(foreign | {"status": "processing", "payment_method": "pm_card_visa"})
        bank.running.webhooks.tell("payment_intent.processing", foreign)
        bank.running.webhooks.tell("invoice.created", bank.rules.store.add("in", "invoice"))
        gone = {"id": "pi_gone", "object": "payment_intent"}
        bank.running.webhooks.tell("payment_intent.succeeded", gone)
    bank.deliver()
    assert set(ProviderEvent.objects.values_list("state", flat=True)) == {"parked"}
    assert payer.available == 0


def test_a_message_waits_while_the_provider_is_away(payer: Payer, bank: Bank) -> None:
    story(payer, bank, "card")
    bank.faults("error_before", call="GET /v1", times=99)
    bank.deliver()
    assert set(ProviderEvent.objects.values_list("state", flat=True)) == {"new"}
    assert payer.available == 0
    bank.faults()
    work()
    assert set(ProviderEvent.objects.values_list("state", flat=True)) == {"done"}
    assert payer.available == 25


def test_a_payment_of_another_amount_credits_nothing_and_is_parked(payer: Payer, bank: Bank) -> None:
    top_up = story(payer, bank, "card")
    session = bank.rules.store.get(top_up.attempt.session_id)
    assert session is not None
    bank.rules.store.save(session | {"amount_total": 1})
    bank.deliver()
    assert payer.available == 0
    assert set(ProviderEvent.objects.filter(type__startswith="checkout").values_list("state", flat=True)) == {"parked"}
    assert "Mismatch" in ProviderEvent.objects.filter(state="parked")[0].note


def test_days_late(payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    top_up = story(payer, bank, "card")
    events = bank.news()
    later = timezone.now() + timedelta(days=3)
    monkeypatch.setattr(timezone, "now", lambda: later)
    bank.deliver(events)
    assert (again(top_up).status, payer.available) == ("succeeded", 25)


def forgeries(bank: Bank) -> dict[str, tuple[bytes, str | None]]:
    event = {
        "id": "evt_forged",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": {"id": "pi_forged", "object": "payment_intent"}},
    }
    body = json.dumps(event).encode()
    hooks = bank.running.webhooks
    right = hooks.sign(body)
    moment, mac = right.split(",")[0][2:], right.split("v1=")[1]
    hooks.secret = "whsec_other"
    other = hooks.sign(body)
    hooks.secret = ""
    empty = hooks.sign(body)
    hooks.secret = SECRET
    return {
        "no signature": (body, None),
        "empty signature": (body, ""),
        "nonsense": (body, "nonsense"),
        "no time": (body, f"v1={mac}"),
        "no mac": (body, f"t={moment}"),
        "an empty mac": (body, f"t={moment},v1="),
        "another secret": (body, other),
        "an empty secret": (body, empty),
        "another version": (body, f"t={moment},v0={mac}"),
        "a time of tomorrow's": (body, f"t={int(moment) + 86400},v1={mac}"),
        "a time that was changed": (body, f"t={int(moment) - 1},v1={mac}"),
        "old, but right then": (body, hooks.sign(body, at=int(time.time()) - 301)),
        "a time that is no number": (body, f"t=soon,v1={mac}"),
        "two equal signs": (body, f"t={moment},v1=={mac}"),
        "another body": (body.replace(b"forged", b"farced"), right),
        "a space more": (body + b" ", right),
        "no body": (b"", right),
        "a body that is not UTF-8": (body + b"\xff", right),
        "capital letters": (body, f"t={moment},v1={mac.upper()}"),
        "cut short": (body, right[:-1]),
        "signed, but no event": (b"[]", hooks.sign(b"[]")),
        "signed, but no JSON": (b"{", hooks.sign(b"{")),
        "signed, and an event of nothing": (b'{"object": "event"}', hooks.sign(b'{"object": "event"}')),
    }


def test_forged_messages_are_refused_and_leave_nothing(payer: Payer, bank: Bank) -> None:
    forged = forgeries(bank)
    assert len(forged) >= 20
    for name, (body, signature) in forged.items():
        answer = post(body, signature)
        assert answer.status_code == 400, name
        assert answer["Content-Type"] == "application/problem+json", name
    assert ProviderEvent.objects.count() == 0


def test_without_a_secret_nothing_is_believed(payer: Payer, bank: Bank, settings: Any) -> None:
    story(payer, bank, "card")
    event = bank.news()[0]
    settings.STRIPE_WEBHOOK_SECRETS = []
    assert bank.send(event).status_code == 400
    settings.STRIPE_SECRET_KEY = ""
    assert bank.send(event).status_code == 503
    assert ProviderEvent.objects.count() == 0


def test_while_a_secret_is_changed_both_are_believed(payer: Payer, bank: Bank, settings: Any) -> None:
    story(payer, bank, "card")
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_next", SECRET]
    assert bank.send(bank.news()[0]).status_code == 200


def test_a_live_event_at_a_test_key_is_parked(payer: Payer, bank: Bank) -> None:
    story(payer, bank, "card")
    bank.deliver([event | {"livemode": True} for event in bank.news()])
    assert set(ProviderEvent.objects.values_list("state", flat=True)) == {"parked"}
    assert payer.available == 0


def test_another_method_than_post_is_not_allowed(client: Any, db: None) -> None:
    assert client.get("/api/v1/webhooks/stripe").status_code == 405


def test_a_parked_message_can_be_tried_again(payer: Payer, bank: Bank) -> None:
    story(payer, bank, "card")
    bank.send(bank.news()[0])
    ProviderEvent.objects.update(state="parked", done_at=timezone.now())
    inbox.retry(ProviderEvent.objects.get(), actor=SYSTEM)
    work()
    assert payer.available == 25
