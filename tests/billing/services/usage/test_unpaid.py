"""Usage that could not be paid is charged once the wallet can: oldest first, each event whole, exactly once."""

from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.models import Charge, Customer, LedgerEntry, LedgerTransaction, OutboxEvent, UnpaidUsage, UsageEvent
from billing.selectors.usage import events, receipts
from billing.services import authorizations, usage
from billing.services.catalog import plans
from billing.services.usage import unpaid
from billing.services.wallet import corrections, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.ledger.test_races import together
from tests.billing.services.subscriptions.test_subscriptions import moment, start
from tests.builders import Shop

RUN = "agent.run"


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """A customer whose work counts as done. A unit of work costs a dollar, an image one of its images."""
    images = shop.asset("images")
    shop.plan(
        "runs",
        [
            shop.price(shop.meter("work", "work", event_type=RUN), "1"),
            shop.price(shop.meter("images", "images", event_type=RUN), "1", asset=images),
        ],
    )
    return shop.customer(plan="runs", on_insufficient_funds="overdraft")


def used(shop: Shop, id: str, **data: Any) -> str:
    return str(shop.record("acme", id=id, type=RUN, data=data).status)


def statuses() -> dict[str, str]:
    return {event.event_id: events.status(event) for event in UsageEvent.objects.order_by("id")}


def test_what_was_unpaid_is_charged_when_money_comes(db: None, shop: Shop, acme: Customer) -> None:
    assert used(shop, "a", work=3) == "unpaid"
    assert unpaid.collect_due() == 0
    shop.fund(acme, "5")

    assert unpaid.collect_due() == 1
    assert unpaid.collect_due() == 0

    event = UsageEvent.objects.get()
    assert (event.status, events.status(event)) == ("unpaid", "charged")
    assert shop.balance(acme).available == 2
    receipt = receipts.of(event)
    assert [(charge.amount, [draw.amount for draw in charge.draws]) for charge in receipt.charges] == [(3, [3])]
    transaction = LedgerTransaction.objects.get(template="usage.charged")
    assert (transaction.pk, transaction.occurred_at) == (event.pk, event.occurred_at)
    assert transaction.posted_at > event.received_at
    assert Charge.objects.get().occurred_at == event.occurred_at
    message = OutboxEvent.objects.get(type="usage.collected")
    assert message.payload == {"events": [str(event.pk)]}


def test_the_debt_is_settled_first_then_the_oldest_event(db: None, shop: Shop, acme: Customer) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(2))
    assert used(shop, "owed", work=2) == "charged"
    for name in ("a", "b", "c"):
        assert used(shop, name, work=3) == "unpaid"

    shop.fund(acme, "7")

    # Two settle the debt, three pay the first; the second takes the two that are left and one of the overdraft.
    assert unpaid.collect_due() == 2
    assert statuses() == {"owed": "charged", "a": "charged", "b": "charged", "c": "unpaid"}
    balance = shop.balance(acme)
    assert (balance.available, balance.owed) == (-1, 1)


def test_each_is_charged_whole_and_in_order(db: None, shop: Shop, acme: Customer) -> None:
    for name, work in (("small", 1), ("large", 5), ("tiny", 1)):
        used(shop, name, work=work)
    shop.fund(acme, "4")

    assert unpaid.collect_due() == 1

    assert statuses() == {"small": "charged", "large": "unpaid", "tiny": "unpaid"}
    assert shop.balance(acme).available == 3
    shop.fund(acme, "3")
    assert unpaid.collect_due() == 2
    assert shop.balance(acme).available == 0


def test_who_waits_for_one_asset_does_not_hold_up_another(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "image", images=2)
    used(shop, "both", images=1, work=1)
    used(shop, "work", work=1)
    shop.fund(acme, "5")

    assert unpaid.collect_due() == 1
    assert statuses() == {"image": "unpaid", "both": "unpaid", "work": "charged"}

    shop.fund(acme, "3", asset="images", kind="promotional")
    assert unpaid.collect_due() == 2
    assert set(statuses().values()) == {"charged"}


def test_what_is_set_aside_stays_so(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "a", work=3)
    shop.fund(acme, "5")
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(4))

    assert unpaid.collect_due() == 0
    assert shop.balance(acme).held == 4


def test_the_overdraft_collects_as_well(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "a", work=3)
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(3))

    assert unpaid.collect_due() == 1
    assert shop.balance(acme).owed == 3


def test_money_for_something_else_pays_nothing(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "a", work=3)
    shop.fund(acme, "9", kind="promotional", applies_to={"meters": ["images"]})

    assert unpaid.collect_due() == 0
    assert statuses() == {"a": "unpaid"}


def test_what_is_lacking_now_is_what_it_waits_for(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "both", images=2, work=3)
    first = UnpaidUsage.objects.get().asset_id
    other = {"images": "usd", "usd": "images"}[first]
    shop.fund(acme, "5", asset=first, kind="promotional")

    assert unpaid.collect_due() == 0

    assert UnpaidUsage.objects.get().asset_id == other
    shop.fund(acme, "5", asset=other, kind="promotional")
    assert unpaid.collect_due() == 1


def test_it_costs_what_it_cost_then(db: None, shop: Shop, acme: Customer, clock: Clock) -> None:
    """The plan of the event's own time, and its place in that period's quantity."""
    clock.stop()
    used(shop, "a", work=3)
    clock.forward(days=40)
    shop.fund(acme, "9")

    assert unpaid.collect_due() == 1

    charge = Charge.objects.get()
    assert (charge.amount, charge.posted_at - charge.occurred_at) == (3, clock.now() - charge.occurred_at)


def test_the_same_event_again_gets_its_first_answer(db: None, shop: Shop, acme: Customer) -> None:
    event = shop.event("acme", id="a", type=RUN, data={"work": 3})
    (first,) = usage.record([event])
    shop.fund(acme, "5")
    unpaid.collect_due()

    (again,) = usage.record([event])

    assert again.replayed
    assert (again.status, again.charges, again.cost, again.balance) == (
        first.status,
        first.charges,
        first.cost,
        first.balance,
    )
    assert again.posted_id is None
    assert shop.balance(acme).available == 2


def test_a_customer_who_is_refused_by_now_still_owes_what_was_done(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "a", work=3)
    used(shop, "b", work=30)
    Customer.objects.update(on_insufficient_funds="reject")
    shop.fund(acme, "5")

    assert unpaid.collect_due() == 1
    assert statuses() == {"a": "charged", "b": "unpaid"}
    assert UsageEvent.objects.count() == 2


def test_who_says_what_is_charged_and_unpaid_now(db: None, shop: Shop, acme: Customer) -> None:
    used(shop, "a", work=3)
    used(shop, "b", work=3)
    shop.fund(acme, "3")
    unpaid.collect_due()

    found = {
        status: [event.event_id for event in events.having_status(UsageEvent.objects.all(), status)]
        for status in UsageEvent.Status.values
    }
    assert found == {"charged": ["a"], "unpaid": ["b"], "rejected": []}


@pytest.mark.parametrize("terms", [{"spend_cap": Decimal(10)}, {}])
@pytest.mark.parametrize("funds", ["0", "100"])
def test_limits_say_the_same_with_money_and_without(
    db: None, shop: Shop, acme: Customer, clock: Clock, funds: str, terms: dict[str, Any]
) -> None:
    """What waits unpaid counts like what is set aside, in its own window and period, until it is taken back."""
    clock.stop(moment("2026-05-02"))
    acme = shop.customer("limited", plan=None, on_insufficient_funds="overdraft")
    work = shop.price(shop.meter("jobs", "jobs", event_type="job"), "1")
    start(
        acme,
        plans.create(actor=SYSTEM, code="jobs", name="Jobs", currency=shop.usd, interval="month", prices=[work]),
        **terms,
    )
    if not terms:
        shop.budget(acme, "10")
    if funds != "0":
        shop.fund(acme, funds)
    passes = "charged" if funds != "0" else "unpaid"

    def jobs(*sizes: int, ids: str = "") -> list[str]:
        wanted = [shop.event(acme, id=f"{ids}{n}", type="job", data={"jobs": n}) for n in sizes]
        return [str(outcome.status) for outcome in usage.record(wanted)]

    assert jobs(6, 50, 5) == [passes, "rejected", "rejected"]
    assert jobs(4, 1) == [passes, "rejected"]
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="6"), reason="by mistake")
    assert jobs(7, 6, ids="again-") == ["rejected", passes]
    clock.stop(moment("2026-06-02T01:00:00"))
    assert jobs(11, 10, ids="next-") == ["rejected", passes]


def test_two_collectors_and_new_usage_charge_everything_once(committed_db: None, shop: Shop) -> None:
    shop.plan("runs", [shop.price(shop.meter("work", "work", event_type=RUN), "1")])
    acme = shop.customer(plan="runs", on_insufficient_funds="overdraft")
    for number in range(40):
        used(shop, f"old-{number}", work=1)
    shop.fund(acme, "50")

    def news() -> int:
        return sum(used(shop, f"new-{number}", work=1) == "charged" for number in range(20))

    first, second, charged = together(unpaid.collect_due, unpaid.collect_due, news)

    assert [type(each) for each in (first, second, charged)] == [int] * 3, (first, second, charged)
    unpaid.collect_due()
    assert Charge.objects.count() == 50 == Charge.objects.values("event_id").distinct().count()
    assert LedgerEntry.objects.filter(kind="usage").count() == 50
    assert UnpaidUsage.objects.filter(open=True).count() == 10
    assert shop.balance(acme).available == 0
