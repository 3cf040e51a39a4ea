"""Whatever goes wrong between us and the provider, or in us: one charge at most, and what was charged is credited."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.errors import InvalidState, PaymentsUnavailable
from billing.gateways.stripe import Stripe
from billing.models import AutoTopUp, PaymentAttempt, TopUp
from billing.services.funding import attempts, automatic, crediting, inbox, rules, top_ups
from tests.billing.services.funding.orders import order
from tests.payments import Bank, Payer, again

FAULTS = [
    "timeout_before",
    "timeout_after",
    "reset_before",
    "reset_after",
    "error_before",
    "error_after",
    "busy",
    "truncated",
]
Later = Callable[..., None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """``later(minutes=1)``: time goes by, and the sweep comes round."""
    real, ahead = timezone.now, [timedelta()]
    monkeypatch.setattr(timezone, "now", lambda: real() + ahead[0])

    def go(**duration: float) -> None:
        ahead[0] += timedelta(**duration)
        attempts.settle_due()

    return go


def consistent(payer: Payer, bank: Bank, top_up: TopUp) -> None:
    """At most one charge for the intent, and credited exactly if there is one."""
    charges = [charge for charge in bank.charges() if charge["amount"] == 2500]
    assert len(charges) <= 1
    assert payer.available == 25 * len(charges)
    assert (again(top_up).status == "succeeded") == bool(charges)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 9])
def test_a_kept_method_is_charged_once_whatever_goes_wrong(
    payer: Payer, bank: Bank, later: Later, fault: str, times: int
) -> None:
    """Once: the repeat, with our key, gets through. Nine times: only a look at the provider tells."""
    method = payer.keep()
    bank.faults(fault, call="POST /v1/payment_intents", times=times)
    top_up = payer.open(method=method)
    bank.faults()
    assert top_up.attempt.status in {"succeeded", "unknown", "failed"}
    if top_up.attempt.status == "unknown":
        assert top_up.status == "processing"
        with pytest.raises(InvalidState, match="under way"):
            payer.create()
    later(minutes=1)
    later(minutes=1)
    later(minutes=10)
    consistent(payer, bank, top_up)
    assert again(top_up).attempt.status in {"succeeded", "failed"}
    bank.deliver()
    consistent(payer, bank, top_up)


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after"])
def test_what_was_not_heard_of_is_sent_again_under_its_key(payer: Payer, bank: Bank, later: Later, fault: str) -> None:
    bank.faults(fault, call="POST /v1/payment_intents", times=2)
    top_up = payer.open(method=payer.keep())
    assert again(top_up).attempt.status == "unknown"
    later(seconds=31)
    consistent(payer, bank, top_up)
    assert again(top_up).status == "succeeded"


def test_what_an_order_bought_is_not_sent_again_once_it_is_off(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    order(payer, amount=Decimal(25))
    bank.faults("timeout_before", call="POST /v1/payment_intents", times=2)
    automatic.run_due()
    rules.switch_off(actor=SYSTEM, rule=AutoTopUp.objects.get())
    later(minutes=1)
    assert (PaymentAttempt.objects.get().status, bank.charges()) == ("unknown", [])
    later(minutes=10)
    assert (PaymentAttempt.objects.get().failure_code, bank.charges()) == ("never_arrived", [])


@pytest.mark.parametrize("fault", ["timeout_after", "reset_after", "error_after", "truncated"])
def test_a_refusal_of_the_repeat_says_nothing_of_the_first_request(payer: Payer, bank: Bank, fault: str) -> None:
    """The first was done and nobody heard of it; the second is refused, because the provider is busy."""
    method = payer.keep()
    bank.faults(fault, "busy", call="POST /v1/payment_intents")
    top_up = payer.open(method=method)
    assert top_up.attempt.status == "unknown"
    with pytest.raises(InvalidState, match="under way"):
        payer.create()
    bank.faults()
    attempts.look_up(top_up.attempt_id)
    consistent(payer, bank, top_up)
    assert again(top_up).status == "succeeded"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_could_not_be_opened_leaves_nothing_open(
    payer: Payer, bank: Bank, later: Later, fault: str
) -> None:
    bank.faults(fault, call="POST /v1/checkout", times=9)
    made = payer.create()
    with suppress(PaymentsUnavailable):
        top_ups.start(made.pk)
    bank.faults()
    later(minutes=1, seconds=1)
    found = again(made)
    if found.attempt.status == "requires_action":  # It was opened after all: here is its address.
        bank.pay(found.attempt.checkout_url)
        bank.deliver()
    later(minutes=2)
    consistent(payer, bank, made)
    assert again(made).status in {"succeeded", "failed"}
    assert payer.open("10").status == "requires_action"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_look_that_fails_changes_nothing_and_is_tried_again(
    payer: Payer, bank: Bank, later: Later, fault: str
) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url)
    bank.faults(fault, call="GET /v1", times=9)
    later(minutes=3)
    assert again(top_up).status == "requires_action"
    bank.faults()
    later(minutes=6)
    consistent(payer, bank, top_up)
    assert again(top_up).status == "succeeded"


def test_money_that_arrives_after_all_is_credited(payer: Payer, bank: Bank, later: Later) -> None:
    """A charge that counted as never sent turns up: the money was taken, so it is the customer's."""
    method = payer.keep()
    bank.faults("timeout_before", call="POST /v1/payment_intents", times=9)
    top_up = payer.open(method=method)
    for _ in range(3):
        later(minutes=6)
    bank.faults()
    assert (again(top_up).attempt.status, again(top_up).attempt.failure_code) == ("failed", "never_arrived")
    attempt = again(top_up).attempt
    with bank.rules.store.changing():
        bank.rules.new_intent(
            {
                "amount": "2500",
                "currency": "usd",
                "customer": attempt.provider_customer_id,
                "payment_method": method.provider_id,
                "confirm": "true",
                "metadata": {"ante_attempt": str(attempt.pk)},
            }
        )
    bank.deliver()
    consistent(payer, bank, top_up)
    assert again(top_up).status == "succeeded"


def test_a_page_that_nobody_pays_on_ends(payer: Payer, bank: Bank, later: Later) -> None:
    top_up = payer.open()
    later(hours=23, minutes=1)
    assert (again(top_up).status, again(top_up).attempt.checkout_url) == ("expired", "")


def test_a_question_that_nobody_answers_ends(payer: Payer, bank: Bank, later: Later) -> None:
    from tests.payments import ASKS

    top_up = payer.open(method=payer.keep(ASKS))
    later(hours=2)
    assert again(top_up).status == "canceled"
    assert bank.payments()[0]["status"] == "canceled"


# --- Processes that are killed ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here. What was committed stays; nothing more is done."""


def killed_at(monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], *, after: bool) -> None:
    """The next call of this function ends the process, before it does anything or after it has done all."""
    owner, name = where
    real = getattr(owner, name)

    def die(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(owner, name, real)
        if after:
            real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(owner, name, die)


WEB = [
    ((attempts, "send"), False),
    ((Stripe, "create_customer"), False),
    ((Stripe, "create_customer"), True),
    ((attempts, "_claim"), False),
    ((attempts, "_claim"), True),
    ((Stripe, "charge"), False),
    ((Stripe, "charge"), True),
    ((attempts, "apply"), False),
    ((attempts, "_note"), True),
    ((attempts, "_move"), True),
    ((crediting, "_credit"), False),
    ((crediting, "_credit"), True),
    ((attempts, "apply"), True),
]


def names(points: list[tuple[tuple[Any, str], bool]]) -> list[str]:
    return [f"{'after' if after else 'before'} {getattr(o, '__name__', o)}.{n}" for (o, n), after in points]


@pytest.mark.parametrize(("where", "after"), WEB, ids=names(WEB))
def test_a_web_process_killed_at_any_step_leaves_what_a_sweep_settles(
    payer: Payer, bank: Bank, later: Later, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], after: bool
) -> None:
    method = payer.keep()
    if where[1] == "create_customer":
        from billing.models import PaymentProfile

        PaymentProfile.objects.all().delete()
    top_up = payer.create(method=method)
    with monkeypatch.context() as patched:
        killed_at(patched, where, after=after)
        with suppress(Killed):
            top_ups.start(top_up.pk)
    later(minutes=1, seconds=1)
    consistent(payer, bank, top_up)
    left = again(top_up).attempt
    # What the provider never saw is sent again under its key; what was not noted as sent is not (the first ``_move``).
    sent = where[1] not in {"send", "create_customer", "_move"} and (where[1], after) != ("_claim", False)
    assert left.status == ("succeeded" if sent else "failed")


WORKER = [
    ((inbox, "_handle"), False),
    ((Stripe, "session"), False),
    ((Stripe, "session"), True),
    ((attempts, "apply"), False),
    ((attempts, "_move"), True),
    ((crediting, "_credit"), False),
    ((crediting, "_credit"), True),
    ((attempts, "apply"), True),
    ((inbox, "_handle"), True),
]


@pytest.mark.parametrize(("where", "after"), WORKER, ids=names(WORKER))
def test_a_worker_killed_at_any_step_is_made_good_by_the_next(
    payer: Payer, bank: Bank, later: Later, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], after: bool
) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url)
    for event in bank.news():
        bank.send(event)
    with monkeypatch.context() as patched:
        killed_at(patched, where, after=after)
        with pytest.raises(Killed):
            inbox.work()
    assert payer.available in {0, 25}
    later(seconds=61)
    inbox.work()
    consistent(payer, bank, top_up)
    assert again(top_up).status == "succeeded"


def test_an_attempt_of_another_account_of_the_providers_is_left_alone(
    payer: Payer, later: Later, settings: Any
) -> None:
    top_up = payer.open()
    PaymentAttempt.objects.update(mode="live")
    later(hours=2)
    assert again(top_up).status == "requires_action"
