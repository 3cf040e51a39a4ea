"""Recording usage: exactly once, to the last digit."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.errors import EventConflict, InsufficientFunds, InvalidRequest, NotFound, UnpricedUsage
from billing.models import (
    Balance,
    Charge,
    Customer,
    Grant,
    LedgerEntry,
    LedgerTransaction,
    OutboxEvent,
    UsageCounter,
    UsageEvent,
)
from billing.services import subscriptions, usage
from billing.services.catalog import plans
from billing.services.wallet import wallets
from tests.billing.services.conftest import Clock
from tests.builders import LLM, Shop


def snapshot() -> dict[str, Any]:
    """All that may move when value moves."""
    return {
        "balances": list(Balance.objects.order_by("pk").values()),
        "grants": list(Grant.objects.order_by("pk").values()),
        "entries": LedgerEntry.objects.count(),
        "transactions": LedgerTransaction.objects.count(),
        "charges": Charge.objects.count(),
        "counters": list(UsageCounter.objects.order_by("pk").values()),
    }


def paid_by(event_id: str) -> list[tuple[str, Decimal]]:
    """Which grants paid for the event, by name, in the order in which they did."""
    entries = LedgerEntry.objects.filter(charge__event__event_id=event_id).select_related("grant").order_by("seq")
    return [(entry.grant.name if entry.grant else "overdraft", entry.amount) for entry in entries]


# --- Charging ---------------------------------------------------------------------------------------------------------


def test_an_event_is_debited_when_it_is_recorded(shop: Shop) -> None:
    acme = shop.customer(usd="100")

    outcome = shop.record(acme, input_tokens=1000, output_tokens=450)

    assert outcome.status == "charged"
    assert outcome.cost == {"usd": Decimal("0.007")}
    assert outcome.balance == {"usd": Decimal("99.993")}
    assert shop.balance(acme).available == Decimal("99.993")


def test_every_metered_quantity_is_a_charge_with_entries_of_its_own(shop: Shop) -> None:
    acme = shop.customer(usd="100")

    outcome = shop.record(acme, input_tokens=1000, output_tokens=450)

    assert [(c.meter, c.quantity, c.asset, c.amount, c.plan, c.plan_version) for c in outcome.charges] == [
        ("llm_input", Decimal(1000), "usd", Decimal("0.0025"), "pro", 1),
        ("llm_output", Decimal(450), "usd", Decimal("0.0045"), "pro", 1),
    ]
    entries = LedgerEntry.objects.filter(transaction_id=outcome.transaction_id).order_by("seq")
    assert [(e.debit, e.credit, e.amount, e.seq, e.available_after) for e in entries] == [
        ("wallet_available", "usage", Decimal("0.0025"), 2, Decimal("99.9975")),
        ("wallet_available", "usage", Decimal("0.0045"), 3, Decimal("99.993")),
    ]


def test_the_same_event_again_gets_the_first_answer(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    event = shop.event(acme, input_tokens=1000)

    first, second = usage.record([event])[0], usage.record([event])[0]

    assert second.replayed
    assert (second.cost, second.balance, second.transaction_id) == (first.cost, first.balance, first.transaction_id)
    assert second.charges == first.charges
    assert shop.balance(acme).available == Decimal("99.9975")


def test_the_first_answer_is_given_again_when_the_balance_has_moved_on(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    event = shop.event(acme, input_tokens=1000)
    usage.record([event])
    shop.record(acme, input_tokens=1000)

    assert usage.record([event])[0].balance == {"usd": Decimal("99.9975")}
    assert shop.balance(acme).available == Decimal("99.995")


def test_the_same_event_with_other_content_is_a_conflict(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, id="one", input_tokens=1000)

    outcome = shop.record(acme, id="one", input_tokens=1001)

    assert isinstance(outcome.error, EventConflict)
    assert shop.balance(acme).available == Decimal("99.9975")


@pytest.mark.parametrize("change", [{"type": "other"}, {"time": timezone.now()}, {"data": {"input_tokens": "1000"}}])
def test_any_other_content_is_a_conflict(shop: Shop, change: dict[str, Any]) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, id="one", data={"input_tokens": 1000})
    before = snapshot()

    outcome = shop.record(acme, **{"id": "one", "data": {"input_tokens": 1000}} | change)

    assert isinstance(outcome.error, EventConflict)
    assert snapshot() == before
    assert UsageEvent.objects.count() == 1


def test_the_order_of_the_members_is_no_content(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, id="one", data={"input_tokens": 1000, "user": "u"})

    assert shop.record(acme, id="one", data={"user": "u", "input_tokens": 1000}).replayed


def test_an_id_is_unique_for_its_source_and_customer_only(shop: Shop) -> None:
    acme, globex = shop.customer(usd="100"), shop.customer("globex", usd="100")

    outcomes = [
        shop.record(acme, id="one", input_tokens=1000),
        shop.record(acme, id="one", source="another", input_tokens=1000),
        shop.record(globex, id="one", input_tokens=1000),
    ]

    assert [outcome.replayed for outcome in outcomes] == [False, False, False]
    assert shop.balance(acme).available == Decimal("99.995")
    assert shop.balance(globex).available == Decimal("99.9975")


def test_the_event_is_kept_as_it_was_sent(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    key, time = uuid4(), timezone.now() - timedelta(minutes=5)
    data = {
        "input_tokens": Decimal("0.1"),
        "tiny": Decimal("1E-7"),
        "long": Decimal("123456789012345678.123456789012"),
        "whole": 999999999999999999,
        "text": "Grüße 🙂",
        "nested": {"list": [1, None, True]},
    }

    usage.record(
        [
            usage.IncomingEvent(
                id="one",
                source="gateway",
                type=LLM,
                subject="acme",
                time=time,
                data=data,
                extensions={"traceparent": "00-1"},
                api_key_id=key,
            )
        ]
    )

    stored = UsageEvent.objects.get(event_id="one")
    assert stored.data == data
    assert type(stored.data["input_tokens"]) is Decimal
    assert (stored.customer_id, stored.source, stored.type) == (acme.pk, "gateway", LLM)
    assert (stored.occurred_at, stored.extensions, stored.api_key_id) == (time, {"traceparent": "00-1"}, key)
    assert stored.balance_after == {"usd": "99.99999975"}


def test_an_event_without_a_time_happened_when_it_came(shop: Shop, clock: Clock) -> None:
    moment = clock.stop()
    acme = shop.customer(usd="100")

    shop.record(acme, id="one", input_tokens=1000)

    stored = UsageEvent.objects.get(event_id="one")
    assert (stored.occurred_at, stored.received_at) == (moment, moment)


def test_the_world_is_told_in_the_same_transaction(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    OutboxEvent.objects.all().delete()

    outcome = shop.record(acme, input_tokens=1000)

    message = OutboxEvent.objects.get()
    assert (message.type, message.customer_id, message.state) == ("usage.recorded", acme.pk, "new")
    assert message.payload == {"events": [str(outcome.transaction_id)]}


def test_an_event_that_costs_nothing_is_charged_without_an_entry(shop: Shop) -> None:
    acme = shop.customer(usd="100")

    outcome = shop.record(acme, input_tokens=0)

    assert (outcome.status, outcome.cost, outcome.balance) == ("charged", {"usd": Decimal(0)}, {"usd": Decimal(100)})
    assert LedgerEntry.objects.filter(kind="usage").count() == 0
    assert Charge.objects.get().amount == 0


def test_a_meter_at_zero_price_is_priced(shop: Shop) -> None:
    shop.plan("free", [shop.price(shop.meter("llm_input", "input_tokens"), "0")])
    acme = shop.customer(plan="free")

    assert shop.record(acme, input_tokens=10**12).cost == {"usd": Decimal(0)}


# --- Refusing ---------------------------------------------------------------------------------------------------------


def test_a_refused_event_is_kept_and_charges_nothing(shop: Shop) -> None:
    acme = shop.customer(usd="0.001")
    before = snapshot()

    outcome = shop.record(acme, id="big", input_tokens=1000)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures == {"asset": "usd", "available": Decimal("0.001"), "required": Decimal("0.0025")}
    assert UsageEvent.objects.get(event_id="big").status == "rejected"
    assert snapshot() == before


def test_the_last_of_a_wallet_can_be_spent_and_not_a_digit_more(shop: Shop) -> None:
    acme = shop.customer(usd="0.0025")

    assert isinstance(shop.record(acme, input_tokens=Decimal("1000.000001")).error, InsufficientFunds)
    assert shop.record(acme, input_tokens=1000).balance == {"usd": Decimal(0)}
    assert isinstance(shop.record(acme, input_tokens=Decimal("0.000001")).error, InsufficientFunds)


def test_an_event_with_several_charges_is_paid_whole_or_not_at_all(shop: Shop) -> None:
    acme = shop.customer(usd="0.005")
    before = snapshot()

    outcome = shop.record(acme, input_tokens=1000, output_tokens=450)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures == {"asset": "usd", "available": Decimal("0.005"), "required": Decimal("0.007")}
    assert snapshot() == before


def test_a_refusal_stays_a_refusal_for_its_event(shop: Shop) -> None:
    acme = shop.customer()
    event = shop.event(acme, input_tokens=1000)
    first = usage.record([event])[0]
    shop.fund(acme, "1")

    again = usage.record([event])[0]

    assert isinstance(again.error, InsufficientFunds)
    assert isinstance(first.error, InsufficientFunds)
    assert (again.error.figures, again.error.detail) == (first.error.figures, first.error.detail)
    assert again.replayed
    assert shop.record(acme, input_tokens=1000).status == "charged"
    assert shop.balance(acme).available == Decimal("0.9975")


def test_usage_without_a_plan_is_unpriced(shop: Shop) -> None:
    acme = shop.customer(plan=None, usd="100")
    before = snapshot()

    outcome = shop.record(acme, id="one", input_tokens=1000)

    assert isinstance(outcome.error, UnpricedUsage)
    assert UsageEvent.objects.get(event_id="one").refusal == {
        "code": "unpriced_usage",
        "detail": outcome.error.detail,
        "type": LLM,
    }
    assert snapshot() == before


@pytest.mark.parametrize(
    "fields",
    [{"type": "image.generation", "input_tokens": 1}, {"seconds": 3}, {"data": {}}],
    ids=["type", "data", "none"],
)
def test_usage_that_no_meter_counts_is_unpriced(shop: Shop, fields: dict[str, Any]) -> None:
    acme = shop.customer(usd="100")

    assert isinstance(shop.record(acme, **fields).error, UnpricedUsage)
    assert shop.balance(acme).available == 100


def test_one_unpriced_quantity_leaves_the_whole_event_uncharged(shop: Shop) -> None:
    tokens, images = shop.meter("tokens", "tokens"), shop.meter("images", "images")
    shop.plan("mixed", [shop.price(tokens, "1"), shop.price(images, "1", model=["known"])])
    acme = shop.customer(plan="mixed", usd="100")
    before = snapshot()

    outcome = shop.record(acme, tokens=1, images=1, model="unknown")

    assert isinstance(outcome.error, UnpricedUsage)
    assert outcome.error.figures == {"type": LLM, "meter": "images"}
    assert snapshot() == before


def test_usage_before_the_subscription_is_unpriced_and_after_it_priced(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    started = acme.subscriptions.get().starts_at

    before = shop.record(acme, time=started - timedelta.resolution, input_tokens=1000)
    at_start = shop.record(acme, time=started, input_tokens=1000)

    assert isinstance(before.error, UnpricedUsage)
    assert at_start.status == "charged"


def test_an_unknown_customer_is_not_found_and_nothing_is_kept(shop: Shop) -> None:
    outcome = shop.record("nobody", input_tokens=1)

    assert isinstance(outcome.error, NotFound)
    assert UsageEvent.objects.count() == 0


def test_a_customers_key_reaches_no_other_customer(shop: Shop) -> None:
    acme, globex = shop.customer(usd="100"), shop.customer("globex", usd="100")
    before = snapshot()

    outcome = usage.record(
        [
            usage.IncomingEvent(
                id="one",
                source="s",
                type=LLM,
                subject="globex",
                time=None,
                data={"input_tokens": 1},
                organization_id=acme.organization_id,
            )
        ]
    )[0]

    assert isinstance(outcome.error, NotFound)
    assert outcome.error.detail == "There is no customer globex."
    assert snapshot() == before
    assert not UsageEvent.objects.filter(customer=globex).exists()


def test_an_event_may_lie_24_hours_ahead_and_no_more(shop: Shop, clock: Clock) -> None:
    now = clock.stop()
    acme = shop.customer(usd="100")

    beyond = shop.record(acme, id="one", time=now + timedelta(hours=24, microseconds=1), input_tokens=1000)
    within = shop.record(acme, id="one", time=now + timedelta(hours=24), input_tokens=1000)

    assert isinstance(beyond.error, InvalidRequest)
    assert [error.field for error in beyond.error.errors] == ["time"]
    assert within.status == "charged"


@pytest.mark.parametrize("tokens", [-1, "many", True, "NaN", 10**18, "0.0000000000001"])
def test_a_quantity_that_is_none_is_refused_and_not_kept(shop: Shop, tokens: Any) -> None:
    acme = shop.customer(usd="100")
    before = snapshot()

    outcome = shop.record(acme, id="one", input_tokens=tokens)

    assert isinstance(outcome.error, InvalidRequest)
    assert [error.field for error in outcome.error.errors] == ["data.input_tokens"]
    assert snapshot() == before
    assert UsageEvent.objects.count() == 0
    assert shop.record(acme, id="one", input_tokens=1000).status == "charged"


# --- Which price ------------------------------------------------------------------------------------------------------


def test_the_price_that_names_most_dimensions_holds(shop: Shop) -> None:
    tokens = shop.meter("tokens", "tokens")
    shop.plan(
        "models",
        [
            shop.price(tokens, "1"),
            shop.price(tokens, "2", model=["large", "larger"]),
            shop.price(tokens, "3", model=["large"], project=["search"]),
        ],
    )
    acme = shop.customer(plan="models", usd="100")

    costs = [
        shop.record(acme, tokens=1, **dimensions).cost["usd"]
        for dimensions in (
            {},
            {"model": "small"},
            {"model": "larger"},
            {"model": "large", "project": "chat"},
            {"model": "large", "project": "search"},
        )
    ]

    assert costs == [1, 1, 2, 2, 3]


def test_of_several_plans_the_latest_that_meters_the_usage_counts(shop: Shop) -> None:
    tokens = shop.meter("tokens", "tokens")
    images = shop.meter("images", event_type="image")
    shop.plan("old", [shop.price(tokens, "1"), shop.price(images, "7")])
    new = shop.plan("new", [shop.price(tokens, "2")])
    acme = shop.customer(plan="old", usd="100")
    month_ago = timezone.now() - timedelta(days=30)
    subscriptions.start(actor=SYSTEM, customer=acme, plan=new.plan, starts_at=month_ago)

    assert shop.record(acme, tokens=1).cost == {"usd": Decimal(2)}
    assert shop.record(acme, tokens=1, time=month_ago - timedelta.resolution).cost == {"usd": Decimal(1)}
    assert shop.record(acme, type="image").cost == {"usd": Decimal(7)}


def test_a_subscription_stays_on_its_version_when_the_next_is_published(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    version = shop.plan()
    plans.publish_version(
        actor=SYSTEM,
        plan=version.plan,
        interval="month",
        prices=[shop.price(shop.meter("llm_input"), "5", per="1000000")],
    )
    globex = shop.customer("globex", usd="100")

    assert shop.record(acme, input_tokens=1000).charges[0].plan_version == 1
    assert shop.record(globex, input_tokens=1000).charges[0].plan_version == 2
    assert (shop.balance(acme).available, shop.balance(globex).available) == (Decimal("99.9975"), Decimal("99.995"))


def test_a_back_dated_event_keeps_its_own_time_beside_that_of_the_books(shop: Shop, clock: Clock) -> None:
    now = clock.stop()
    acme = shop.customer(usd="100")
    happened = now - timedelta(days=30)

    outcome = shop.record(acme, time=happened, input_tokens=1000)

    transaction = LedgerTransaction.objects.get(pk=outcome.transaction_id)
    assert (transaction.occurred_at, transaction.posted_at) == (happened, now)
    assert (Charge.objects.get().occurred_at, Charge.objects.get().posted_at) == (happened, now)


# --- Several assets ---------------------------------------------------------------------------------------------------


def shop_with_credits(shop: Shop) -> Customer:
    """``both`` takes one image credit for an image and a dollar for a second."""
    images = shop.meter("images", "images")
    seconds = shop.meter("seconds", "seconds")
    shop.plan("both", [shop.price(images, "1", asset=shop.asset("image_credits")), shop.price(seconds, "1")])
    return shop.customer(plan="both")


def test_one_event_can_take_several_assets(shop: Shop) -> None:
    acme = shop_with_credits(shop)
    shop.fund(acme, "10")
    shop.fund(acme, "5", asset="image_credits", kind="promotional")

    outcome = shop.record(acme, images=2, seconds=3)

    assert outcome.cost == {"image_credits": Decimal(2), "usd": Decimal(3)}
    assert outcome.balance == {"image_credits": Decimal(3), "usd": Decimal(7)}


@pytest.mark.parametrize(("usd", "credits_", "short"), [("10", "1", "image_credits"), ("2", "5", "usd")])
def test_no_asset_is_touched_where_another_does_not_suffice(shop: Shop, usd: str, credits_: str, short: str) -> None:
    acme = shop_with_credits(shop)
    shop.fund(acme, usd)
    shop.fund(acme, credits_, asset="image_credits", kind="promotional")
    before = snapshot()

    outcome = shop.record(acme, images=2, seconds=3)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures["asset"] == short
    assert snapshot() == before


def test_a_refusal_names_the_asset_that_is_short_not_one_that_an_overdraft_covers(shop: Shop) -> None:
    acme = shop_with_credits(shop)
    shop.fund(acme, "2")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.asset("image_credits"), limit=Decimal(10))

    outcome = shop.record(acme, images=5, seconds=3)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures == {"asset": "usd", "available": Decimal(2), "required": Decimal(3)}


def test_a_balance_appears_with_the_first_use_of_its_asset(shop: Shop) -> None:
    acme = shop_with_credits(shop)

    outcome = shop.record(acme, images=1)

    assert isinstance(outcome.error, InsufficientFunds)
    assert shop.balance(acme, "image_credits").available == 0


# --- Which grant ------------------------------------------------------------------------------------------------------


def test_grants_burn_in_order_across_kinds(shop: Shop) -> None:
    soon, later = timezone.now() + timedelta(days=1), timezone.now() + timedelta(days=2)
    shop.plan("plain", [shop.price(shop.meter("tokens", "tokens"), "1")])
    acme = shop.customer(plan="plain")
    shop.fund(acme, "1", name="bought", kind="purchase")
    shop.fund(acme, "1", name="bought cheaper", kind="purchase", paid_amount=Decimal("0.5"))
    shop.fund(acme, "1", name="adjusted", kind="adjustment")
    shop.fund(acme, "1", name="given", kind="promotional")
    shop.fund(acme, "1", name="restricted", kind="purchase", applies_to={"meters": ["tokens"]})
    shop.fund(acme, "1", name="for something else", kind="promotional", applies_to={"meters": ["other"]})
    shop.fund(acme, "1", name="expires later", kind="purchase", expires_at=later)
    shop.fund(acme, "1", name="expires soon", kind="purchase", expires_at=soon)
    shop.fund(acme, "1", name="first of all", kind="purchase", priority=0)
    shop.fund(acme, "1", name="last of all", kind="promotional", priority=100, expires_at=soon)

    shop.record(acme, id="one", tokens=Decimal("8.5"))

    assert paid_by("one") == [
        ("first of all", Decimal(1)),
        ("expires soon", Decimal(1)),
        ("expires later", Decimal(1)),
        ("restricted", Decimal(1)),
        ("given", Decimal(1)),
        ("adjusted", Decimal(1)),
        ("bought cheaper", Decimal(1)),
        ("bought", Decimal(1)),
        ("last of all", Decimal("0.5")),
    ]
    assert shop.balance(acme).available == Decimal("1.5")


def test_money_that_may_not_pay_for_it_does_not_count(shop: Shop) -> None:
    acme = shop.customer()
    shop.fund(acme, "10", kind="promotional", applies_to={"meters": ["llm_input"]})
    before = snapshot()

    outcome = shop.record(acme, output_tokens=450)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures == {"asset": "usd", "available": Decimal(0), "required": Decimal("0.0045")}
    assert snapshot() == before
    assert shop.record(acme, input_tokens=1000).balance == {"usd": Decimal("9.9975")}


def test_a_refusal_says_how_much_of_the_event_could_be_paid(shop: Shop) -> None:
    acme = shop.customer()
    shop.fund(acme, "10", kind="promotional", applies_to={"meters": ["llm_input"]})

    outcome = shop.record(acme, input_tokens=1000, output_tokens=450)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures == {"asset": "usd", "available": Decimal("0.0025"), "required": Decimal("0.007")}


def test_a_lapsed_grant_never_pays_even_if_no_worker_came(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    expires_at = clock.stop() + timedelta(hours=1)
    shop.fund(acme, "1", expires_at=expires_at)

    clock.stop(expires_at - timedelta.resolution)
    just_before = shop.record(acme, input_tokens=1000)
    clock.stop(expires_at)
    just_after = shop.record(acme, input_tokens=1000)

    assert just_before.balance == {"usd": Decimal("0.9975")}
    assert isinstance(just_after.error, InsufficientFunds)
    assert just_after.error.figures["available"] == 0
    expiry = LedgerEntry.objects.get(kind="expiry")
    assert (expiry.amount, expiry.debit, expiry.credit) == (Decimal("0.9975"), "wallet_available", "breakage")
    assert (expiry.occurred_at, expiry.available_after) == (expires_at, Decimal(0))
    grant = Grant.objects.get()
    assert (grant.drawn, grant.expired, grant.remaining, grant.open) == (
        Decimal("0.0025"),
        Decimal("0.9975"),
        Decimal(0),
        False,
    )


def test_an_event_of_the_past_is_not_paid_by_what_has_lapsed_since(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    shop.fund(acme, "1", expires_at=clock.now() + timedelta(hours=1))
    then = clock.now()
    clock.forward(hours=2)

    assert isinstance(shop.record(acme, time=then, input_tokens=1000).error, InsufficientFunds)


def test_a_scheduled_grant_pays_from_the_moment_it_starts(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    starts_at = clock.stop() + timedelta(hours=1)
    shop.fund(acme, "1", effective_at=starts_at)

    clock.stop(starts_at - timedelta.resolution)
    just_before = shop.record(acme, input_tokens=1000)
    clock.stop(starts_at)
    just_after = shop.record(acme, input_tokens=1000)

    assert isinstance(just_before.error, InsufficientFunds)
    assert just_after.balance == {"usd": Decimal("0.9975")}


def test_a_scheduled_grant_that_has_come_and_gone_pays_nothing(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    shop.fund(acme, "1", effective_at=clock.now() + timedelta(hours=1), expires_at=clock.now() + timedelta(hours=2))
    clock.forward(hours=3)

    assert isinstance(shop.record(acme, input_tokens=1000).error, InsufficientFunds)
    assert [e.kind for e in LedgerEntry.objects.order_by("seq")] == ["top_up", "expiry"]
    assert shop.balance(acme).available == 0


# --- Overdraft --------------------------------------------------------------------------------------------------------


def overdrawn(shop: Shop, limit: str, **fields: Any) -> Customer:
    shop.plan("plain", [shop.price(shop.meter("tokens", "tokens"), "1")])
    acme = shop.customer(plan="plain", **fields)
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(limit))
    return acme


def test_usage_takes_grants_first_and_then_the_overdraft_up_to_its_limit(shop: Shop) -> None:
    acme = overdrawn(shop, "5", usd="1")

    shop.record(acme, id="one", tokens=3)
    refused = shop.record(acme, tokens=Decimal("3.000000000001"))
    last = shop.record(acme, tokens=3)

    assert paid_by("one") == [("", Decimal(1)), ("overdraft", Decimal(2))]
    assert isinstance(refused.error, InsufficientFunds)
    assert refused.error.figures["available"] == -2
    assert last.balance == {"usd": Decimal(-5)}
    assert (shop.balance(acme).owed, shop.balance(acme).lifetime_spent) == (Decimal(5), Decimal(6))


def test_what_one_event_takes_from_the_overdraft_is_counted_over_all_its_charges(shop: Shop) -> None:
    tokens, images = shop.meter("tokens", "tokens"), shop.meter("images", "images")
    shop.plan("two", [shop.price(tokens, "1"), shop.price(images, "1")])
    acme = shop.customer(plan="two")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(5))
    before = snapshot()

    refused = shop.record(acme, tokens=3, images=3)

    assert isinstance(refused.error, InsufficientFunds)
    assert snapshot() == before
    assert shop.record(acme, tokens=3, images=2).balance == {"usd": Decimal(-5)}


def test_incoming_money_pays_the_debt_first(shop: Shop) -> None:
    acme = overdrawn(shop, "5")
    shop.record(acme, tokens=4)

    part = shop.fund(acme, "3", name="part")
    rest = shop.fund(acme, "3", name="rest")

    assert (part.drawn, part.remaining, part.open) == (Decimal(3), Decimal(0), False)
    assert (rest.drawn, rest.remaining) == (Decimal(1), Decimal(2))
    balance = shop.balance(acme)
    assert (balance.available, balance.owed) == (Decimal(2), Decimal(0))
    assert [(e.kind, e.amount) for e in LedgerEntry.objects.order_by("seq")] == [
        ("usage", Decimal(4)),
        ("top_up", Decimal(3)),
        ("settlement", Decimal(3)),
        ("top_up", Decimal(3)),
        ("settlement", Decimal(1)),
    ]


def test_work_that_counts_as_done_is_kept_as_unpaid_beyond_the_overdraft(shop: Shop) -> None:
    acme = overdrawn(shop, "5", on_insufficient_funds="overdraft")
    event = shop.event(acme, id="one", tokens=6)
    before = snapshot()

    outcome = usage.record([event])[0]

    assert (outcome.status, outcome.error, outcome.cost, outcome.transaction_id) == ("unpaid", None, {}, None)
    assert outcome.balance == {"usd": Decimal(0)}
    stored = UsageEvent.objects.get(event_id="one")
    assert (stored.status, stored.refusal["required"]) == ("unpaid", "6")
    assert snapshot() == before
    again = usage.record([event])[0]
    assert (again.status, again.replayed, again.error) == ("unpaid", True, None)


def test_work_that_counts_as_done_is_charged_while_the_overdraft_lasts(shop: Shop) -> None:
    acme = overdrawn(shop, "5", on_insufficient_funds="overdraft")

    assert shop.record(acme, tokens=5).balance == {"usd": Decimal(-5)}
