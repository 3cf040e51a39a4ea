"""A bonus goes back with the payment that it came with: once, whoever took it, and never what was not paid for."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.errors import InvalidState
from billing.models import Customer, Dispute, Grant, TopUp, UsageEvent
from billing.services.funding import refunds
from billing.services.wallet import corrections, grants, wallets
from tests.billing.services.funding.test_refunds import account, refund
from tests.payments import Bank, Payer, again


@pytest.fixture(autouse=True)
def fifth(settings: Any) -> None:
    """A fifth comes on top."""
    settings.TOP_UP_BONUSES = {"50": "0.20"}


def void_bonus(top_up: TopUp) -> None:
    grants.void(actor=SYSTEM, grant=Grant.objects.get(pk=top_up.bonus_grant_id), reason="It was a mistake")


def spend(payer: Payer, dollars: str, id: str = "spent") -> None:
    assert payer.shop.record(payer.customer, id=id, output_tokens=int(Decimal(dollars) * 100_000)).error is None


def reverse(id: str = "spent") -> None:
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id=id), reason="The model failed")


def owing(payer: Payer, dollars: str) -> None:
    Customer.objects.filter(pk=payer.customer.pk).update(on_insufficient_funds="overdraft")
    payer.customer.refresh_from_db()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=payer.shop.usd, limit=Decimal(100))
    spend(payer, dollars)


def lose(bank: Bank, top_up: TopUp, cents: int | None = None) -> str:
    dispute_id = bank.dispute(top_up, amount=cents)
    bank.decide(dispute_id, "lost")
    bank.deliver()
    return dispute_id


def test_what_staff_took_back_of_it_is_not_taken_out_of_what_was_paid(payer: Payer) -> None:
    top_up = payer.paid("100")
    void_bonus(top_up)
    assert refunds.refundable(top_up) == 100
    half = refund(top_up, "50")
    assert (half.credit, half.recovered, half.bonus, payer.available) == (50, 0, 0, 50)
    assert (refund(again(top_up)).amount, payer.available) == (50, 0)
    assert (account("refunds"), account("promotional_expense")) == (0, 0)


def test_of_a_part_that_went_back_and_a_part_that_staff_took_nothing_is_taken_twice(payer: Payer) -> None:
    top_up = payer.paid("100")
    assert refund(top_up, "50").bonus == 10
    void_bonus(top_up)
    assert (refund(again(top_up), "1").credit, payer.available) == (1, 49)
    assert (refund(again(top_up)).amount, payer.available) == (49, 0)


def test_what_was_spent_before_staff_took_the_rest_comes_out_of_what_was_paid(payer: Payer) -> None:
    top_up = payer.paid("100")
    spend(payer, "10")
    void_bonus(top_up)
    assert refunds.refundable(top_up) == Decimal("90.90")  # 100 of 110 are left.
    half = refund(top_up, "50")
    assert (half.credit, half.recovered, payer.available) == (55, 5, 45)


def test_what_staff_took_back_of_what_was_paid_is_not_paid_back(payer: Payer) -> None:
    top_up = payer.paid("100")
    grants.void(actor=SYSTEM, grant=Grant.objects.get(pk=top_up.grant_id), reason="Paid back by bank transfer")
    assert (refunds.refundable(top_up), payer.available) == (0, 20)


@pytest.mark.parametrize(("cents", "left"), [(None, 0), (5000, 50)], ids=["whole", "half"])
def test_a_dispute_that_is_lost_does_not_take_what_staff_took(
    payer: Payer, bank: Bank, cents: int | None, left: int
) -> None:
    top_up = payer.paid("100")
    void_bonus(top_up)
    dispute_id = lose(bank, top_up, cents)
    assert (payer.available, Dispute.objects.get().recovered) == (left, 0)
    assert (account("disputed"), account("promotional_expense")) == (0, 0)
    bank.decide(dispute_id, "won")
    bank.deliver()
    assert (payer.available, account("disputed"), account("promotional_expense")) == (100, 0, 0)


def test_a_dispute_keeps_what_it_froze_when_staff_take_the_rest(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("100")
    dispute_id = bank.dispute(top_up, amount=5000)
    bank.deliver()
    void_bonus(top_up)
    bank.decide(dispute_id, "lost")
    bank.deliver()
    assert (payer.available, Dispute.objects.get().recovered, account("disputed")) == (50, 0, 0)


def test_a_debt_that_what_was_paid_has_settled_leaves_the_bonus_to_be_paid_back(payer: Payer, bank: Bank) -> None:
    owing(payer, "60")
    top_up = payer.paid("100")
    assert refunds.refundable(top_up) == 50
    back = refund(top_up)
    assert (back.credit, back.recovered, back.bonus, payer.available) == (40, -10, 20, 0)
    assert (account("refunds"), account("cash_clearing")) == (0, 50)
    lose(bank, top_up, 5000)
    assert (payer.available, account("disputed"), account("cash_clearing")) == (-60, 0, 0)
    assert account("promotional_expense") == 0


def test_what_was_taken_in_place_of_a_bonus_that_comes_back_is_made_good(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("100")
    spend(payer, "20")
    assert refund(top_up, "50").recovered == 10
    reverse()
    assert refunds.refundable(again(top_up)) == 50
    rest = refund(again(top_up))
    assert (rest.amount, rest.credit, rest.bonus, payer.available) == (50, 40, 20, 0)
    assert {name: account(name) for name in ("refunds", "promotional_expense", "cash_clearing", "usage")} == {
        "refunds": 0,
        "promotional_expense": 0,
        "cash_clearing": 0,
        "usage": 0,
    }


@pytest.mark.parametrize("first", [None, "10", "50"])
def test_whatever_went_back_before_a_lost_dispute_takes_all_that_was_given(
    payer: Payer, bank: Bank, first: str | None
) -> None:
    top_up = payer.paid("100")
    spend(payer, "20")
    if first:
        refund(top_up, first)
    dispute_id = lose(bank, top_up)
    ends = [payer.available, account("disputed"), account("promotional_expense"), account("cash_clearing")]
    assert ends == [-20, 0, 0, 0]
    bank.decide(dispute_id, "won")
    bank.deliver()
    assert payer.available == 100 - Decimal(first or 0) * Decimal("1.2")


def test_two_disputes_take_the_spent_bonus_once(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("100")
    spend(payer, "20")
    for _ in range(2):
        lose(bank, top_up, 5000)
    assert (payer.available, account("disputed"), account("promotional_expense")) == (-20, 0, 0)


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_whatever_happens_all_that_can_go_back_can_be_paid_back(payer: Payer, bank: Bank, seed: int) -> None:
    """And the present goes back with the payment, whatever it was used for."""
    random = Random(seed)
    owing(payer, "30")
    top_up = payer.paid("100")
    live = ["spent"]
    voided = False
    steps: dict[str, Callable[[], object]] = {
        "use": lambda: live.append(_use(payer, random)),
        "reverse": lambda: live and reverse(live.pop(random.randrange(len(live)))),
        "refund": lambda: _refund_some(top_up, random),
    }
    for _ in range(12):
        steps[random.choice([*steps])]()
        if not voided and random.random() < 0.05:
            voided = Grant.objects.get(pk=top_up.bonus_grant_id).remaining > 0
            if voided:
                void_bonus(top_up)
    most = refunds.refundable(again(top_up))
    if most:
        assert refund(again(top_up)).amount == most
    found = again(top_up)
    assert bank.charges()[0]["amount_refunded"] == found.refunded * 100
    assert (account("refunds"), account("cash_clearing")) == (0, 100 - found.refunded)
    if not voided:
        # Of the present so much stays as of the payment.
        assert abs(account("promotional_expense") - (20 - found.refunded / 5)) < Decimal("1e-9")


def _use(payer: Payer, random: Random) -> str:
    id = f"use-{random.random()}"
    payer.shop.record(payer.customer, id=id, output_tokens=random.randrange(1, 3_000_000))
    return id


def _refund_some(top_up: TopUp, random: Random) -> None:
    most = refunds.refundable(again(top_up))
    if most:
        refund(again(top_up), f"{Decimal(random.randrange(1, int(most * 100) + 1)) / 100:.2f}")
    else:
        with pytest.raises(InvalidState):
            refund(again(top_up))
