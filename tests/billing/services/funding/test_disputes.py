"""What payers' banks want back: frozen, taken or given back; never more than was given, whatever the order."""

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.engine.money import amount_string
from billing.errors import BillingError, InvalidState
from billing.models import Authorization, Dispute, Grant, OutboxEvent, ProviderEvent, TopUp
from billing.services import authorizations
from billing.services.funding import quotes, top_ups
from billing.services.wallet import wallets
from tests.billing.services.funding.test_refunds import account, by_bank_debit, come_through, refund
from tests.payments import Bank, Payer, again

HARMLESS = ("won", "warning_needs_response", "warning_under_review", "warning_closed")


def spend(payer: Payer, dollars: str) -> None:
    outcome = payer.shop.record(payer.customer, output_tokens=int(Decimal(dollars) * 100_000))
    assert outcome.error is None


def test_open_it_is_frozen_and_won_it_is_given_back(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    spend(payer, "10")
    dispute_id = bank.dispute(top_up)
    bank.deliver()
    dispute = Dispute.objects.get()
    assert (dispute.status, dispute.amount, dispute.frozen, dispute.recovered) == ("open", 25, 15, 0)
    assert dispute.answer_by is not None
    assert payer.available == 0
    assert payer.shop.record(payer.customer, output_tokens=1).error is not None

    bank.decide(dispute_id, "under_review")
    bank.deliver()
    assert (Dispute.objects.get().status, payer.available) == ("under_review", 0)

    bank.decide(dispute_id, "won")
    bank.deliver()
    dispute = Dispute.objects.get()
    assert (dispute.status, dispute.frozen, dispute.withdrawn, payer.available) == ("won", 0, 0, 15)
    assert (account("disputed"), account("cash_clearing")) == (0, 25)
    kinds = OutboxEvent.objects.filter(type__startswith="dispute.").order_by("id").values_list("type", flat=True)
    assert list(kinds) == ["dispute.opened", "dispute.updated", "dispute.closed"]


def test_lost_what_was_spent_is_owed_and_the_next_money_pays_it(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    spend(payer, "10")
    dispute_id = bank.dispute(top_up)
    bank.decide(dispute_id, "lost")
    bank.deliver()
    dispute = Dispute.objects.get()
    assert (dispute.status, dispute.frozen, dispute.recovered) == ("lost", 15, 10)
    balance = payer.shop.balance(payer.customer)
    assert (balance.available, balance.owed, balance.dispute_debt, balance.overdraft_limit) == (-10, 10, 10, 0)
    assert (account("disputed"), account("cash_clearing")) == (0, 0)

    payer.shop.fund(payer.customer, "4")
    balance.refresh_from_db()
    assert (balance.available, balance.dispute_debt) == (-6, 6)
    payer.shop.fund(payer.customer, "10")
    balance.refresh_from_db()
    assert (balance.available, balance.owed, balance.dispute_debt) == (4, 0, 0)


def test_lost_what_else_the_wallet_holds_pays_first_and_gets_it_back_when_it_is_won_after_all(
    payer: Payer, bank: Bank
) -> None:
    top_up = payer.paid("25")
    spend(payer, "25")
    other = payer.shop.fund(payer.customer, "7")
    dispute_id = bank.dispute(top_up)
    bank.deliver()
    assert payer.available == 7
    bank.decide(dispute_id, "lost")
    bank.deliver()
    assert (payer.available, Grant.objects.get(pk=other.pk).remaining) == (-18, 0)
    later = payer.shop.fund(payer.customer, "20")
    assert payer.available == 2
    bank.decide(dispute_id, "won")
    bank.deliver()
    assert payer.available == 27
    assert Grant.objects.get(pk=other.pk).remaining == 7
    assert Grant.objects.get(pk=later.pk).remaining == 20
    balance = payer.shop.balance(payer.customer)
    assert (balance.owed, balance.lifetime_spent, account("disputed")) == (0, 25, 0)


def test_a_question_of_the_banks_freezes_nothing(payer: Payer, bank: Bank) -> None:
    dispute_id = bank.dispute(payer.paid("25"), status="warning_needs_response")
    bank.deliver()
    assert (Dispute.objects.get().status, payer.available) == ("inquiry", 25)
    bank.decide(dispute_id, "needs_response")
    bank.deliver()
    assert (Dispute.objects.get().status, payer.available) == ("open", 0)


def test_a_part_takes_a_part_with_fee_tax_and_bonus_in_proportion(payer: Payer, bank: Bank, settings: Any) -> None:
    settings.TOP_UP_FEE_RATE = Decimal("0.10")
    payer.shop.tax("US", "0.20")
    settings.TOP_UP_BONUSES = {"50": "0.10"}
    top_up = payer.paid("100")
    assert (again(top_up).attempt.amount, payer.available) == (132, 110)
    dispute_id = bank.dispute(top_up, amount=3300)
    for cents, left in [(3300, "82.5"), (9900, "27.5"), (6600, "55")]:
        bank.change_dispute(dispute_id, cents)
        bank.deliver()
        assert payer.available == Decimal(left)
    bank.decide(dispute_id, "lost")
    bank.deliver()
    dispute = Dispute.objects.get()
    assert (dispute.frozen, dispute.frozen_bonus, dispute.recovered, payer.available) == (50, 5, 0, 55)
    assert (account("disputed"), account("cash_clearing")) == (0, 66)
    assert (account("tax_payable"), account("payment_fees"), account("promotional_expense")) == (-11, -5, 5)
    with pytest.raises(InvalidState, match="wants this payment back"):
        refund(top_up, "1")


@pytest.mark.parametrize("lost", [False, True], ids=["open", "lost"])
@pytest.mark.parametrize(("cents", "frozen", "recovered"), [(500, 5, 0), (2500, 7, 18)], ids=["less", "more"])
def test_over_another_amount_it_takes_that(
    payer: Payer, bank: Bank, lost: bool, cents: int, frozen: int, recovered: int
) -> None:
    """18 of 25 are spent, and 10 were disputed at first."""
    top_up = payer.paid("25")
    spend(payer, "18")
    dispute_id = bank.dispute(top_up, amount=1000)
    if lost:
        bank.decide(dispute_id, "lost")
    bank.deliver()
    assert payer.available == (-3 if lost else 0)

    bank.change_dispute(dispute_id, cents)
    bank.deliver()

    dispute = Dispute.objects.get()
    recovered = recovered if lost else 0
    assert (dispute.amount, dispute.withdrawn) == (Decimal(cents) / 100, Decimal(cents) / 100)
    assert (dispute.frozen, dispute.recovered, payer.available) == (frozen, recovered, 7 - frozen - recovered)
    assert OutboxEvent.objects.filter(type__startswith="dispute.").order_by("id").last().type == "dispute.updated"
    trail = AuditEvent.objects.filter(action="dispute.updated").latest("id")
    assert (trail.before, trail.after["amount"]) == (
        {"status": dispute.status, "amount": "10"},
        amount_string(dispute.amount),
    )
    bank.decide(dispute_id, "won")
    bank.deliver()
    assert (payer.available, account("disputed"), account("cash_clearing")) == (7, 0, 25)


@pytest.mark.parametrize("cents", [(13_200, 13_200), (9_900, 6_600)], ids=["whole", "overlapping"])
def test_two_take_no_more_than_the_payment(payer: Payer, bank: Bank, settings: Any, cents: tuple[int, int]) -> None:
    settings.TOP_UP_FEE_RATE = Decimal("0.10")
    payer.shop.tax("US", "0.20")
    top_up = payer.paid("100")
    for amount in cents:
        bank.decide(bank.dispute(top_up, amount=amount), "lost")
        bank.deliver()
    assert (payer.available, account("payment_fees"), account("tax_payable")) == (0, 0, 0)
    assert account("disputed") == sum(cents) / Decimal(100) - 132


@pytest.mark.parametrize("spent", ["0", "40"], ids=["unspent", "spent"])
@pytest.mark.parametrize(
    "cents", [(13_200, 13_200), (9_900, 6_600), (6_600, 3_300)], ids=["whole", "overlapping", "parts"]
)
def test_of_two_that_are_lost_one_is_won_later_and_the_other_takes_its_own(
    payer: Payer, bank: Bank, settings: Any, cents: tuple[int, int], spent: str
) -> None:
    settings.TOP_UP_FEE_RATE = Decimal("0.10")
    payer.shop.tax("US", "0.20")
    top_up = payer.paid("100")
    if spent != "0":
        spend(payer, spent)
    before = payer.available
    first, second = [bank.dispute(top_up, amount=amount) for amount in cents]
    for dispute_id in (first, second):
        bank.decide(dispute_id, "lost")
        bank.deliver()

    bank.decide(first, "won")
    bank.deliver()

    share = Decimal(cents[1]) / Decimal(13_200)
    assert payer.available == before - 100 * share
    assert (account("payment_fees"), account("tax_payable")) == (-10 * (1 - share), -22 * (1 - share))
    assert (account("disputed"), account("cash_clearing")) == (0, 132 - Decimal(cents[1]) / 100)
    bank.decide(second, "won")
    bank.deliver()
    assert (payer.available, account("disputed"), account("cash_clearing")) == (before, 0, 132)


def test_what_was_paid_back_is_not_taken_again(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    refund(top_up, "10")
    bank.dispute(top_up, amount=2500)
    bank.deliver()
    assert Dispute.objects.get().frozen == 15
    assert payer.available == 0


@pytest.mark.parametrize("spent", ["0", "6"])
@pytest.mark.parametrize("lost", [False, True], ids=["open", "lost"])
def test_what_a_refund_that_fails_puts_back_is_frozen_or_gone_at_once(
    payer: Payer, bank: Bank, lost: bool, spent: str
) -> None:
    top_up = by_bank_debit(payer, bank)
    if Decimal(spent):
        spend(payer, spent)
    refund(top_up, "10")
    dispute_id = bank.dispute(top_up, amount=2500)
    if lost:
        bank.decide(dispute_id, "lost")
    bank.deliver()
    come_through(bank, well=False)
    dispute = Dispute.objects.get()
    taken = (25 - Decimal(spent), Decimal(spent)) if lost else (25 - Decimal(spent), 0)
    assert (dispute.frozen, dispute.recovered) == taken
    assert payer.available == (-Decimal(spent) if lost else 0)
    if lost:
        assert (account("disputed"), account("cash_clearing")) == (0, 0)
    bank.decide(dispute_id, "won")
    bank.deliver()
    assert (payer.available, account("disputed"), account("cash_clearing")) == (25 - Decimal(spent), 0, 25)


def test_a_pack_is_taken_back_in_its_own_units(payer: Payer, bank: Bank) -> None:
    images = payer.shop.asset("images")
    pack = payer.pack(images)
    quote = quotes.quote_pack(customer=payer.customer, pack=pack)
    top_up = top_ups.create(actor=SYSTEM, customer=payer.customer, quote=quote, plan=payer.plan(method=payer.keep()))
    top_up = top_ups.start(top_up.pk)
    dispute_id = bank.dispute(top_up, amount=1000)
    bank.decide(dispute_id, "lost")
    bank.deliver()
    assert payer.shop.balance(payer.customer, "images").available == 750
    assert (account("disputed"), account("disputed", "images"), account("cash_clearing")) == (0, 0, 30)
    bank.decide(dispute_id, "won")
    bank.deliver()
    assert payer.shop.balance(payer.customer, "images").available == 1000
    assert (account("disputed"), account("disputed", "images"), account("cash_clearing")) == (0, 0, 40)


def test_a_bank_debit_that_fails_after_it_had_settled_comes_as_a_lost_dispute(payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url, kind="us_bank_account")
    bank.settle()
    bank.deliver()
    spend(payer, "5")
    bank.dispute(top_up, status="lost")
    bank.deliver()
    assert (Dispute.objects.get().status, payer.available) == ("lost", -5)


def test_one_about_a_payment_that_was_not_heard_of_yet(payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url)
    bank.news()
    with bank.rules.store.changing():
        bank.rules.dispute(bank.payments()[0])
    bank.deliver()
    assert (again(top_up).status, Dispute.objects.get().frozen, payer.available) == ("succeeded", 25, 0)


def test_one_about_somebody_elses_payment_is_parked(payer: Payer, bank: Bank) -> None:
    with bank.rules.store.changing():
        made = bank.rules.new_intent(
            {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
        )
        bank.rules.dispute(made)
    bank.deliver()
    assert ProviderEvent.objects.get(type="charge.dispute.created").state == "parked"
    assert not Dispute.objects.exists()


@pytest.mark.parametrize("end", ["won", "lost"])
def test_every_order_of_the_messages_twice_gives_one_state(payer: Payer, bank: Bank, end: str) -> None:
    top_up = payer.paid("25")
    spend(payer, "10")
    bank.news()
    dispute_id = bank.dispute(top_up)
    bank.decide(dispute_id, "under_review")
    bank.decide(dispute_id, end)
    messages = bank.news()
    assert len(messages) in {4, 5}
    expected = {"won": (0, 0, 0, 15), "lost": (15, 10, 25, -10)}[end]
    for order in list(permutations(messages))[:: 5 if end == "won" else 1]:
        ProviderEvent.objects.all().delete()
        bank.deliver([*order, order[0]])
        bank.deliver(order[::-1])
        dispute = Dispute.objects.get()
        assert (dispute.frozen, dispute.recovered, dispute.withdrawn, payer.available) == expected


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_what_is_taken_back_is_what_is_reversed(payer: Payer, bank: Bank, seed: int) -> None:
    """After every step: nothing of the payment is twice gone, and what the customer lost is what its bank got."""
    random = Random(seed)
    top_up = payer.paid("40")
    payer.shop.fund(payer.customer, "8")
    dispute_id = ""
    for _ in range(14):
        step = random.choice(["spend", "refund", "withdrawn", "reinstated", "lost", "fund"])
        if step == "spend":
            payer.shop.record(payer.customer, output_tokens=random.randrange(100_000, 900_000))
        elif step == "fund":
            payer.shop.fund(payer.customer, str(random.randrange(1, 6)))
        elif step == "refund":
            try:
                refund(top_up, str(random.randrange(1, 12)))
            except BillingError:
                continue
        elif not dispute_id:
            dispute_id = bank.dispute(top_up)
        else:
            bank.decide(dispute_id, {"withdrawn": "needs_response", "reinstated": "won", "lost": "lost"}[step])
        bank.deliver()
        _taken_is_reversed(bank, top_up)


def _taken_is_reversed(bank: Bank, top_up: TopUp) -> None:
    top_up = again(top_up)
    dispute = Dispute.objects.first()
    taken = withdrawn = Decimal(0)
    if dispute is not None:
        taken, withdrawn = dispute.frozen + dispute.recovered, dispute.withdrawn
        # Paid back while it was won, and lost after all: the wallet gives up no more than it got.
        most = min(dispute.amount, top_up.amount - top_up.refunded)
        assert withdrawn == (0 if dispute.status == "won" else dispute.amount)
        assert (taken == most) if dispute.status == "lost" else (taken == 0 or taken <= most)
    assert taken + top_up.refunded <= top_up.amount
    assert account("disputed") == withdrawn - taken
    bought = sum((grant.paid_amount for grant in Grant.objects.filter(paid_currency_id="usd")), Decimal(0))
    assert account("cash_clearing") == bought - top_up.refunded - withdrawn
    at_the_bank = sum(charge["amount"] - charge["amount_refunded"] for charge in bank.charges())
    assert at_the_bank == (top_up.amount - top_up.refunded) * 100


@pytest.mark.parametrize("ends", ["needs_response", "lost"])
def test_what_one_is_about_no_more_the_other_takes(payer: Payer, bank: Bank, ends: str) -> None:
    top_up = payer.paid("100")
    first, second = bank.dispute(top_up), bank.dispute(top_up, amount=6000)
    for dispute_id in (first, second):
        bank.decide(dispute_id, ends)
        bank.deliver()
    assert payer.available == 0

    bank.change_dispute(first, 3000)
    bank.deliver()

    assert payer.available == 10
    for dispute_id in (first, second):
        bank.decide(dispute_id, "won")
        bank.deliver()
    assert (payer.available, account("disputed"), account("cash_clearing")) == (100, 0, 100)


@pytest.mark.parametrize(
    ("disputed", "status", "after"),
    [
        (0, "", (17, 0, 0, 0)),
        (25, "open", (-8, 8, 25, 0)),
        (25, "lost", (-8, 8, 25, 0)),
        (5, "open", (12, 0, 5, 0)),
    ],
    ids=["not at all", "open", "lost", "in part"],
)
def test_what_a_refund_that_fails_puts_back_pays_debts_as_far_as_nobody_wants_it_back(
    payer: Payer, bank: Bank, disputed: int, status: str, after: tuple[int, int, int, int]
) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=payer.shop.usd, limit=Decimal(10))
    top_up = by_bank_debit(payer, bank)
    refund(top_up)
    spend(payer, "8")
    if disputed:
        dispute_id = bank.dispute(top_up, amount=disputed * 100)
        if status == "lost":
            bank.decide(dispute_id, status)
        bank.deliver()

    come_through(bank, well=False)

    balance = payer.shop.balance(payer.customer)
    frozen = Dispute.objects.get().frozen if disputed else 0
    assert (balance.available, balance.owed, frozen, balance.dispute_debt) == after


def test_a_late_capture_makes_a_debt_of_its_own_where_what_was_held_pays_the_dispute(payer: Payer, bank: Bank) -> None:
    customer, shop = payer.customer, payer.shop
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(40))
    top_up = payer.paid("25")
    held = authorizations.open_amount(customer=customer, asset=shop.usd, amount=Decimal(25)).authorization
    bank.decide(bank.dispute(top_up), "lost")
    bank.deliver()
    balance = shop.balance(customer)
    assert (balance.owed, balance.dispute_debt) == (25, 25)
    a_day_ago = timezone.now() - timedelta(days=1)
    Authorization.objects.filter(pk=held.pk).update(created_at=a_day_ago, expires_at=a_day_ago + timedelta(hours=1))

    late = shop.event(customer, output_tokens=400_000)
    authorizations.capture_usage(authorization=Authorization.objects.get(pk=held.pk), event=late)

    balance = shop.balance(customer)
    assert (balance.available, balance.owed, balance.dispute_debt) == (-4, 4, 0)
