"""A charge taken back leaves the wallet as if the usage had not happened; a refund as if it had cost less."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import InsufficientFunds, InvalidRequest, InvalidState
from billing.models import (
    Balance,
    Charge,
    Correction,
    Customer,
    Grant,
    LedgerEntry,
    LedgerTransaction,
    OutboxEvent,
    UsageCounter,
    UsageEvent,
)
from billing.selectors.ledger import balances, statements
from billing.selectors.usage import events, usage
from billing.services import authorizations
from billing.services.usage.unpaid import collect_due
from billing.services.wallet import corrections, grants, wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop

D = Decimal
RUN = "agent.run"


@pytest.fixture
def acme(shop: Shop, clock: Clock) -> Customer:
    """A customer on a plan where a unit of ``work`` costs a dollar, and ``thirds`` a third of one."""
    clock.stop()
    shop.plan(
        "runs",
        [
            shop.price(shop.meter("work", "work", event_type=RUN), "1"),
            shop.price(shop.meter("thirds", "thirds", event_type=RUN), "1", per="3"),
            shop.price(shop.meter("halves", "halves", event_type=RUN), "0.5"),
            shop.price(shop.meter("air", "air", event_type=RUN), "0"),
            shop.price(shop.meter("images", "images", event_type=RUN), "1", asset=shop.asset("images")),
        ],
    )
    return shop.customer(plan="runs")


def use(shop: Shop, customer: Customer, id: str = "one", **data: str | int) -> UsageEvent:
    shop.record(customer, id=id, type=RUN, **{name: D(value) for name, value in data.items()})
    return UsageEvent.objects.get(event_id=id, customer=customer)


def limit(shop: Shop, customer: Customer, amount: str) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=D(amount))


def reverse(event: UsageEvent) -> corrections.Corrected:
    return corrections.reverse(actor=SYSTEM, event=event, reason="The model failed")


def refund(shop: Shop, event: UsageEvent, amount: str, asset: str = "usd") -> corrections.Corrected:
    return corrections.refund(
        actor=SYSTEM, event=event, asset=shop.asset(asset) if asset != "usd" else shop.usd, amount=D(amount), reason="x"
    )


def figures(customer: Customer, asset: str = "usd") -> tuple[Decimal, ...]:
    balance = Balance.objects.get(customer=customer, asset_id=asset)
    return balance.available, balance.owed, balance.lifetime_granted, balance.lifetime_spent


def units(grant: Grant) -> tuple[Decimal, ...]:
    grant.refresh_from_db()
    return grant.remaining, grant.drawn


# --- Reversal ---------------------------------------------------------------------------------------------------------


def test_the_units_go_back_to_the_grants_that_paid(shop: Shop, acme: Customer) -> None:
    gift, bought = shop.fund(acme, "3", kind="promotional"), shop.fund(acme, "10")
    before = figures(acme)
    event = use(shop, acme, work=5)
    assert (units(gift), units(bought)) == ((0, 3), (8, 2))

    done = reverse(event)

    assert (units(gift), units(bought)) == ((3, 0), (10, 0))
    assert figures(acme) == before
    assert (done.amounts, done.balance) == ({"usd": D(5)}, {"usd": D(13)})
    transaction = LedgerTransaction.objects.get(pk=done.transaction_id)
    assert (transaction.template, transaction.reverses_id) == ("usage.reversed", event.pk)
    assert list(
        LedgerEntry.objects.filter(transaction=transaction).order_by("seq").values_list("kind", "grant", "amount")
    ) == [("reversal", bought.pk, 2), ("reversal", gift.pk, 3)]
    assert events.status(event) == "reversed"


def test_each_charge_has_its_opposite_and_the_first_ones_stay(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5, thirds=1)

    reverse(event)

    first = Charge.objects.filter(event=event, reverses=None).order_by("id")
    assert [(c.quantity, c.amount) for c in first] == [(5, 5), (1, D("0.333333333333"))]
    for charge in first:
        opposite = Charge.objects.get(reverses=charge)
        assert (opposite.quantity, opposite.amount) == (-charge.quantity, -charge.amount)
        assert (opposite.occurred_at, opposite.price_id) == (charge.occurred_at, charge.price_id)


def test_a_second_reversal_is_refused(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5)
    reverse(event)
    before = figures(acme)

    with pytest.raises(InvalidState, match="reversed already"):
        reverse(event)
    with pytest.raises(InvalidState, match="reversed already"):
        refund(shop, event, "1")

    assert figures(acme) == before
    assert Correction.objects.count() == 1


def test_the_same_event_again_gets_its_first_answer_and_is_not_charged(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    reverse(use(shop, acme, work=5))

    again = shop.record(acme, id="one", type=RUN, work=D(5))

    assert (again.replayed, again.status, again.cost) == (True, "charged", {"usd": D(5)})
    assert [line.quantity for line in again.charges] == [5]
    assert figures(acme)[0] == 10


def test_the_same_usage_under_a_new_id_costs_the_same(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    use(shop, acme, id="zero", thirds=1)
    event = use(shop, acme, thirds=1)
    counter = UsageCounter.objects.get()
    assert counter.quantity == 2

    reverse(event)

    counter.refresh_from_db()
    assert counter.quantity == 1
    again = shop.record(acme, id="two", type=RUN, thirds=D(1))
    assert again.cost == {"usd": D("0.333333333334")}
    assert Charge.objects.get(event=event, reverses=None).amount == D("0.333333333334")
    shop.record(acme, id="three", type=RUN, thirds=D(1))
    assert figures(acme)[0] == 9


def test_a_counter_that_starts_later_starts_without_what_was_reversed(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    reverse(use(shop, acme, halves=3))
    assert not UsageCounter.objects.exists()

    use(shop, acme, id="two", halves="0.000000000001")

    assert UsageCounter.objects.get().quantity == D("0.000000000001")


def test_what_cost_nothing_is_reversed_without_an_entry(shop: Shop, acme: Customer) -> None:
    event = use(shop, acme, air=7)

    done = reverse(event)

    assert (done.transaction_id, done.amounts) == (None, {})
    assert events.status(event) == "reversed"
    assert Charge.objects.get(reverses__isnull=False).quantity == -7
    with pytest.raises(InvalidState):
        reverse(event)


def test_what_is_unpaid_is_never_to_be_paid(shop: Shop, acme: Customer) -> None:
    Customer.objects.update(on_insufficient_funds="overdraft")
    event = use(shop, acme, work=5)
    assert event.status == "unpaid"
    with pytest.raises(InvalidState, match="unpaid"):
        refund(shop, event, "1")

    reverse(event)
    shop.fund(acme, "10")

    assert collect_due() == 0
    assert events.status(event) == "reversed"
    assert not Charge.objects.exists()


def test_what_was_collected_later_is_reversed_like_any_usage(shop: Shop, acme: Customer) -> None:
    Customer.objects.update(on_insufficient_funds="overdraft")
    event = use(shop, acme, work=5)
    grant = shop.fund(acme, "10")
    assert collect_due() == 1

    reverse(event)

    assert units(grant) == (10, 0)
    assert collect_due() == 0


def test_what_was_refused_cannot_be_reversed(shop: Shop, acme: Customer) -> None:
    event = use(shop, acme, work=5)
    assert event.status == "rejected"

    with pytest.raises(InvalidState, match="rejected"):
        reverse(event)


def test_what_was_taken_beyond_the_grants_lowers_what_is_owed(shop: Shop, acme: Customer) -> None:
    grant = shop.fund(acme, "2")
    limit(shop, acme, "10")
    event = use(shop, acme, work=5)
    assert figures(acme)[:2] == (-3, 3)

    reverse(event)

    assert figures(acme)[:2] == (2, 0)
    assert units(grant) == (2, 0)


def test_a_debt_that_was_settled_meanwhile_gives_the_grant_its_units_back(shop: Shop, acme: Customer) -> None:
    limit(shop, acme, "10")
    event = use(shop, acme, work=5)
    first, second = shop.fund(acme, "2"), shop.fund(acme, "7")
    assert (units(first), units(second)) == ((0, 2), (4, 3))

    reverse(event)

    assert (units(first), units(second)) == ((2, 0), (7, 0))
    assert figures(acme) == (9, 0, 9, 0)


def test_a_debt_that_is_there_is_paid_by_what_comes_back(shop: Shop, acme: Customer) -> None:
    grant = shop.fund(acme, "5")
    event = use(shop, acme, work=5)
    limit(shop, acme, "10")
    use(shop, acme, id="two", work=3)

    reverse(event)

    assert figures(acme)[:2] == (2, 0)
    assert units(grant) == (2, 3)
    assert LedgerEntry.objects.filter(kind="settlement", grant=grant).get().amount == 3


def test_what_may_pay_only_for_some_things_pays_no_debt(shop: Shop, acme: Customer) -> None:
    grant = shop.fund(acme, "5", applies_to={"meters": ["work"]})
    event = use(shop, acme, work=5)
    limit(shop, acme, "10")
    use(shop, acme, id="two", thirds=9)

    reverse(event)

    assert figures(acme)[:2] == (2, 3)
    assert units(grant) == (5, 0)


def test_debts_and_grants_of_one_event_with_several_charges(shop: Shop, acme: Customer) -> None:
    limit(shop, acme, "10")
    paid = shop.fund(acme, "4")
    event = use(shop, acme, work=3, thirds=9)
    settled = shop.fund(acme, "1")
    assert figures(acme)[:2] == (-1, 1)

    reverse(event)

    assert figures(acme) == (5, 0, 5, 0)
    assert (units(paid), units(settled)) == ((4, 0), (1, 0))


def test_several_assets_come_back_each_to_its_own(shop: Shop, acme: Customer) -> None:
    dollars, images = shop.fund(acme, "4"), shop.fund(acme, "4", asset="images", kind="promotional")
    event = use(shop, acme, work=3, images=2)

    done = reverse(event)

    assert done.amounts == {"usd": D(3), "images": D(2)}
    assert (units(dollars), units(images)) == ((4, 0), (4, 0))


def test_what_was_captured_is_reversed_like_any_usage(shop: Shop, acme: Customer) -> None:
    grant = shop.fund(acme, "10")
    opened = authorizations.open_amount(customer=acme, asset=shop.usd, amount=D(4))
    authorizations.capture_usage(
        authorization=opened.authorization, event=shop.event(acme, id="one", type=RUN, work=D(3))
    )

    reverse(UsageEvent.objects.get())

    assert units(grant) == (10, 0)
    assert figures(acme) == (10, 0, 10, 0)


# --- Into the place of a lapsed grant ---------------------------------------------------------------------------------


def test_the_units_of_a_lapsed_grant_go_into_one_replacement(shop: Shop, acme: Customer, clock: Clock) -> None:
    lapsing = shop.fund(
        acme,
        "10",
        priority=7,
        paid_amount=D(5),
        name="Launch",
        applies_to={"meters": ["work"]},
        expires_at=clock.now() + timedelta(days=1),
    )
    first, second = use(shop, acme, work=3), use(shop, acme, id="two", work=4)
    clock.forward(days=2)
    grants.settle_due()

    reverse(first)
    clock.forward(days=1)
    reverse(second)

    replacement = Grant.objects.get(replaces=lapsing)
    assert (replacement.amount, replacement.remaining, replacement.paid_amount) == (7, 7, D("3.5"))
    assert (replacement.kind, replacement.priority, replacement.name) == ("purchase", 7, "Launch")
    assert replacement.applies_to == {"meters": ["work"]}
    assert replacement.expires_at == clock.now() + timedelta(days=30)
    assert units(lapsing) == (0, 7)
    assert figures(acme) == (7, 0, 10, 0)
    assert set(LedgerEntry.objects.filter(grant=replacement).values_list("kind", flat=True)) == {"reinstatement"}


def test_a_grant_that_lapsed_unseen_is_replaced_as_well(shop: Shop, acme: Customer, clock: Clock) -> None:
    lapsing = shop.fund(acme, "10", expires_at=clock.now() + timedelta(days=1))
    event = use(shop, acme, work=3)
    clock.forward(days=2)

    reverse(event)

    lapsing.refresh_from_db()
    assert (lapsing.expired, lapsing.drawn) == (7, 3)
    assert Grant.objects.get(replaces=lapsing).remaining == 3


def test_a_replacement_is_drawn_reversed_and_replaced_like_any_grant(shop: Shop, acme: Customer, clock: Clock) -> None:
    lapsing = shop.fund(acme, "3", expires_at=clock.now() + timedelta(days=1))
    event = use(shop, acme, work=3)
    clock.forward(days=2)
    reverse(event)
    replacement = Grant.objects.get(replaces=lapsing)
    again = use(shop, acme, id="two", work=2)
    last = use(shop, acme, id="three", work=1)
    assert units(replacement) == (0, 3)

    reverse(again)
    assert units(replacement) == (2, 1)
    clock.forward(days=40)
    reverse(last)

    assert Grant.objects.get(replaces=replacement).remaining == 1
    assert figures(acme)[0] == 1


def test_a_voided_grant_is_replaced_until_at_least_its_own_time(shop: Shop, acme: Customer, clock: Clock) -> None:
    ends = clock.now() + timedelta(days=90)
    dated, undated = shop.fund(acme, "1", expires_at=ends), shop.fund(acme, "1")
    event = use(shop, acme, work="1.5")
    for grant in (dated, undated):
        if grant.amount > units(grant)[1]:
            grants.void(actor=SYSTEM, grant=grant, reason="x")

    reverse(event)

    assert units(dated) == (1, 0)
    replacement = Grant.objects.get(replaces=undated)
    assert (replacement.expires_at, replacement.remaining) == (None, D("0.5"))


def test_the_settlement_of_a_lapsed_grant_comes_back_as_its_replacement(
    shop: Shop, acme: Customer, clock: Clock
) -> None:
    limit(shop, acme, "10")
    event, other = use(shop, acme, work=5), use(shop, acme, id="two", work=2)
    grant = shop.fund(acme, "7", expires_at=clock.now() + timedelta(days=1))
    clock.forward(days=2)

    reverse(event)
    reverse(other)

    assert units(grant) == (0, 7)
    assert Grant.objects.get(replaces=grant).remaining == 7
    assert figures(acme) == (7, 0, 7, 0)


# --- Refund -----------------------------------------------------------------------------------------------------------


def test_refunds_add_up_to_the_whole_and_a_reversal_takes_the_rest(shop: Shop, acme: Customer) -> None:
    gift, bought = shop.fund(acme, "3", kind="promotional"), shop.fund(acme, "10")
    event = use(shop, acme, work=5)

    assert refund(shop, event, "1").balance == {"usd": D(9)}
    assert (units(gift), units(bought)) == ((0, 3), (9, 1))
    refund(shop, event, "1.5")
    assert (units(gift), units(bought)) == ((D("0.5"), D("2.5")), (10, 0))
    with pytest.raises(InvalidState, match=r"2\.5 usd can still") as refused:
        refund(shop, event, "2.500000000001")
    assert refused.value.figures["left"] == D("2.5")
    assert events.status(event) == "charged"
    assert reverse(event).amounts == {"usd": D("2.5")}

    assert (units(gift), units(bought)) == ((3, 0), (10, 0))
    assert figures(acme) == (13, 0, 13, 0)
    (row,) = usage.totals(
        customer_id=acme.pk, start=event.occurred_at, end=event.occurred_at + timedelta(seconds=1), group_by=("meter",)
    )
    assert (row.quantity, row.amount, row.events) == (0, 0, 0)


def test_a_refund_leaves_the_quantity_and_the_event(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5)

    refund(shop, event, "2")

    (row,) = usage.totals(
        customer_id=acme.pk, start=event.occurred_at, end=event.occurred_at + timedelta(seconds=1), group_by=("meter",)
    )
    assert (row.quantity, row.amount, row.events) == (5, 3, 1)


def test_a_refund_of_several_charges_begins_with_the_last(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=3, thirds=6)

    refund(shop, event, "4")

    given = {c.meter.code: c.amount for c in Charge.objects.filter(refunds__isnull=False).select_related("meter")}
    order = [c.meter.code for c in Charge.objects.filter(refunds=None).select_related("meter").order_by("id")]
    assert order == ["work", "thirds"]
    assert given == {"work": -2, "thirds": -2}


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_a_refund_must_be_of_something(shop: Shop, acme: Customer, amount: str) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5)

    with pytest.raises(InvalidRequest, match="amount"):
        refund(shop, event, amount)


def test_a_refund_in_an_asset_that_was_not_charged_or_too_fine_is_refused(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5)

    with pytest.raises(InvalidState, match="0 images"):
        refund(shop, event, "1", asset="images")
    with pytest.raises(InvalidRequest, match="decimals"):
        refund(shop, event, "0.5", asset="images")


# --- By hand ----------------------------------------------------------------------------------------------------------


def adjust(shop: Shop, customer: Customer, amount: str, **fields: Any) -> corrections.Adjusted:
    return corrections.adjust(
        actor=SYSTEM, customer=customer, asset=shop.usd, amount=D(amount), reason="Counted again", **fields
    )


def test_a_positive_adjustment_is_a_grant(shop: Shop, acme: Customer) -> None:
    done = adjust(shop, acme, "5")

    assert done.grant is not None
    assert (done.grant.kind, done.available) == ("adjustment", 5)
    assert figures(acme) == (5, 0, 5, 0)


def test_a_negative_one_takes_in_burn_order_and_is_not_spent(shop: Shop, acme: Customer) -> None:
    gift, bought = shop.fund(acme, "3", kind="promotional"), shop.fund(acme, "10")

    done = adjust(shop, acme, "-5")

    assert (units(gift), units(bought)) == ((0, 3), (8, 2))
    assert figures(acme) == (8, 0, 13, 0)
    assert (done.available, done.grant) == (8, None)
    assert set(LedgerEntry.objects.filter(transaction_id=done.transaction_id).values_list("kind", "credit")) == {
        ("adjustment", "adjustment")
    }


def test_no_more_than_is_available_is_taken_unless_debt_is_allowed(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "3")
    limit(shop, acme, "4")

    with pytest.raises(InsufficientFunds) as refused:
        adjust(shop, acme, "-3.5")
    assert (refused.value.figures["available"], refused.value.figures["required"]) == (3, D("3.5"))
    with pytest.raises(InsufficientFunds) as refused:
        adjust(shop, acme, "-7.5", allow_debt=True)
    assert refused.value.figures["available"] == 7
    assert figures(acme)[:2] == (3, 0)

    adjust(shop, acme, "-7", allow_debt=True)

    assert figures(acme) == (-4, 4, 3, 0)


def test_what_may_pay_only_for_some_things_is_not_taken_by_hand(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "3", applies_to={"meters": ["work"]})

    with pytest.raises(InsufficientFunds):
        adjust(shop, acme, "-1")


@pytest.mark.parametrize("amount", ["0", "0.0000000000001"])
def test_an_adjustment_is_of_an_amount_that_the_asset_has(shop: Shop, acme: Customer, amount: str) -> None:
    with pytest.raises(InvalidRequest, match="amount"):
        adjust(shop, acme, amount)


# --- What is told of it -----------------------------------------------------------------------------------------------


def test_each_leaves_a_trail_and_a_message(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5)

    refund(shop, event, "1")
    reverse(event)
    adjust(shop, acme, "-1")

    for action in ("usage.refunded", "usage.reversed", "wallet.adjusted"):
        trail = AuditEvent.objects.get(action=action)
        assert trail.after["reason"]
        assert trail.organization_id == acme.organization_id
        assert OutboxEvent.objects.get(type=action).payload["customer"] == "acme"
    assert OutboxEvent.objects.get(type="usage.reversed").payload["amounts"] == {"usd": "4"}


def test_the_statement_shows_which_event_it_was(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10")
    event = use(shop, acme, work=5)
    reverse(event)

    rows = statements.page(customer_id=acme.pk, search="one").rows

    assert [(row.kind, row.amount, row.event, row.meter) for row in rows] == [
        ("reversal", 5, "one", "Work"),
        ("usage", -5, "one", "Work"),
    ]


def test_the_stored_balance_and_the_one_now_agree_after_all_of_it(shop: Shop, acme: Customer, clock: Clock) -> None:
    shop.fund(acme, "3", expires_at=clock.now() + timedelta(days=1))
    event = use(shop, acme, work=2)
    clock.forward(days=2)
    reverse(event)
    clock.forward(days=31)

    (now,) = (row for row in balances.current([acme.pk]) if row.asset == "usd")

    assert (now.available, now.lifetime_granted, now.lifetime_spent) == (0, 3, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM billing_grant WHERE replaces_id IS NOT NULL AND open")
        assert cursor.fetchone()[0] == 1
