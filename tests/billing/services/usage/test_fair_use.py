"""Fair use: a plan says how much a period may have, and beyond it nothing passes, whatever comes at the same moment."""

import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing import locks, pipeline
from billing.errors import BudgetExceeded, InvalidRequest
from billing.models import Customer, FairUse, FairUseCounter, Meter, PlanVersion, SubscriptionPeriod, UsageEvent
from billing.services import authorizations, subscriptions, usage
from billing.services.catalog import plans
from billing.services.catalog.plans import FairUseTerms
from billing.services.usage import recording
from billing.services.wallet import corrections
from tests.billing.services.conftest import Clock
from tests.billing.services.ledger.test_races import together, workers
from tests.billing.services.subscriptions.test_subscriptions import moment, start, sweep
from tests.builders import Shop

D = Decimal


def bundle(shop: Shop, code: str = "bundle", *, price: str = "0", limits: Any = None, **terms: Any) -> PlanVersion:
    """Tokens at no charge, as many as ten a month, unless other ``limits`` are given."""
    tokens = shop.meter("tokens", "tokens")
    return plans.create(
        actor=SYSTEM,
        code=code,
        name=code.title(),
        currency=shop.usd,
        interval="month",
        prices=[shop.price(tokens, price)],
        fair_use=[FairUseTerms(D(10), meter=tokens)] if limits is None else limits,
        **terms,
    )


@pytest.fixture
def acme(shop: Shop, clock: Clock) -> Customer:
    """On the bundle since the first of June."""
    clock.stop(moment("2026-06-01"))
    customer = shop.customer(plan=None, usd="100")
    start(customer, bundle(shop))
    return customer


def use(shop: Shop, customer: Customer, tokens: str, **fields: Any) -> str:
    return shop.record(customer, tokens=tokens, **fields).status


def used() -> Decimal:
    return FairUseCounter.objects.latest("pk").used


def test_what_is_beyond_it_is_refused_and_says_which_limit_how_much_is_left_and_until_when(
    shop: Shop, acme: Customer
) -> None:
    assert use(shop, acme, "7.5") == "charged"
    refused = shop.record(acme, id="more", tokens=3)

    assert isinstance(refused.error, BudgetExceeded)
    assert refused.error.figures == {
        "name": "Fair use of bundle",
        "plan": "bundle",
        "unit": "tokens",
        "limit": 10,
        "left": D("2.5"),
        "required": 3,
        "period": "month",
        "resets_at": "2026-07-01T00:00:00Z",
    }
    assert use(shop, acme, "2.5") == "charged"
    assert use(shop, acme, "0.000000000001") == "rejected"
    again = shop.record(acme, id="more", tokens=3)
    assert again.replayed
    assert isinstance(again.error, BudgetExceeded)
    assert (again.error.figures["left"], used()) == (D("2.5"), 10)


def test_each_period_has_it_anew(shop: Shop, acme: Customer, clock: Clock) -> None:
    assert use(shop, acme, "10") == "charged"
    clock.stop(moment("2026-07-01"))
    assert use(shop, acme, "4") == "charged"
    assert SubscriptionPeriod.objects.count() == 2
    # What June still reports counts for June.
    assert use(shop, acme, "1", time=moment("2026-06-30T23:59:59")) == "rejected"
    assert use(shop, acme, "6") == "charged"


def test_events_of_one_batch_share_it(shop: Shop, acme: Customer) -> None:
    outcomes = usage.record([shop.event(acme, id=f"e{n}", tokens=4) for n in range(4)])
    assert [outcome.status for outcome in outcomes] == ["charged", "charged", "rejected", "rejected"]
    assert used() == 8


def test_a_limit_in_money_counts_what_usage_is_charged(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    version = bundle(shop, price="0.5", limits=[FairUseTerms(D(2), asset=shop.usd)], base_fee=D(20))
    customer = shop.customer(plan=None, usd="100")
    start(customer, version)

    assert [use(shop, customer, "3"), use(shop, customer, "1.5"), use(shop, customer, "1")] == [
        "charged",
        "rejected",
        "charged",
    ]
    assert used() == 2


def test_a_meter_with_prices_in_two_assets_counts_once(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    tokens, credits = shop.meter("tokens", "tokens"), shop.asset("credits")
    prices = [shop.price(tokens, "1"), replace(shop.price(tokens, "1", asset=credits))]
    version = shop.plan("both", prices, fair_use=[FairUseTerms(D(10), meter=tokens)])
    customer = shop.customer(plan=None, usd="100")
    shop.fund(customer, "100", asset="credits", kind="promotional")
    start(customer, version)

    assert [use(shop, customer, "6"), use(shop, customer, "4"), use(shop, customer, "1")] == [
        "charged",
        "charged",
        "rejected",
    ]


def test_another_version_goes_on_where_the_period_stands(shop: Shop, acme: Customer, clock: Clock) -> None:
    assert use(shop, acme, "8") == "charged"
    tokens = Meter.objects.get(code="tokens")
    larger = bundle(shop, "larger", limits=[FairUseTerms(D(12), meter=tokens)])
    clock.stop(moment("2026-06-16"))
    subscriptions.change(actor=SYSTEM, subscription=acme.subscriptions.get(), wanted=subscriptions.Wanted(larger.plan))
    assert use(shop, acme, "5") == "rejected"
    assert use(shop, acme, "4") == "charged"


def test_it_holds_in_a_trial_and_for_agreed_terms(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    version = bundle(shop, price="1", trial_days=14)
    customer = shop.customer(plan=None, usd="100")
    start(customer, version, discount=D("0.5"))
    assert [use(shop, customer, "8"), use(shop, customer, "3")] == ["charged", "rejected"]
    clock.stop(moment("2026-06-15"))
    sweep()
    assert [use(shop, customer, "8"), use(shop, customer, "3")] == ["charged", "rejected"]
    assert FairUse.objects.count() == 3


def test_what_is_taken_back_was_not_used(shop: Shop, acme: Customer) -> None:
    assert use(shop, acme, "8", id="mistake") == "charged"
    event = UsageEvent.objects.select_related("customer").get(event_id="mistake")
    corrections.reverse(actor=SYSTEM, event=event, reason="By mistake")
    assert used() == 0
    assert use(shop, acme, "10") == "charged"


# --- Authorizations ---------------------------------------------------------------------------------------------------


def test_what_was_announced_counts_until_it_is_closed_and_its_own_capture_passes(shop: Shop, acme: Customer) -> None:
    opened = authorizations.open_for_usage(event=shop.event(acme, tokens=7))
    assert opened.affordable == {"tokens": 10}
    with pytest.raises(BudgetExceeded):
        authorizations.open_for_usage(event=shop.event(acme, tokens=4))
    assert use(shop, acme, "4") == "rejected"
    second = authorizations.open_for_usage(event=shop.event(acme, tokens=2))
    assert second.affordable == {"tokens": 3}

    captured = authorizations.capture_usage(
        authorization=opened.authorization, event=shop.event(acme, id="run", tokens=6)
    )
    assert captured.outcome is not None
    assert (captured.outcome.status, used()) == ("charged", 6)
    authorizations.void(authorization=second.authorization)
    assert use(shop, acme, "4") == "charged"


def test_what_partial_captures_took_is_no_longer_announced(shop: Shop, acme: Customer) -> None:
    opened = authorizations.open_for_usage(event=shop.event(acme, tokens=7)).authorization
    for name, tokens in (("first", "1.5"), ("second", "1.5")):
        event = shop.event(acme, id=name, tokens=tokens)
        for _ in range(2):
            authorizations.capture_usage(authorization=opened, event=event, final=False)
    assert used() == 3
    assert [use(shop, acme, "3.000000000001"), use(shop, acme, "2")] == ["rejected", "charged"]
    assert authorizations.open_for_usage(event=shop.event(acme, tokens=1)).affordable == {"tokens": 1}

    more = shop.event(acme, id="more", tokens=5)
    authorizations.capture_usage(authorization=opened, event=more, final=False)
    assert (used(), use(shop, acme, "0.000000000001")) == (10, "rejected")
    authorizations.void(authorization=opened)
    assert use(shop, acme, "0.000000000001") == "rejected"


def test_work_that_was_let_pass_is_charged_whatever_it_came_to_and_counts(shop: Shop, acme: Customer) -> None:
    opened = authorizations.open_for_usage(event=shop.event(acme, tokens=7))
    event = shop.event(acme, id="run", tokens=11)
    authorizations.capture_usage(authorization=opened.authorization, event=event)
    assert used() == 11
    assert use(shop, acme, "1") == "rejected"


def test_work_that_comes_when_its_time_is_over_is_like_any_other(shop: Shop, acme: Customer, clock: Clock) -> None:
    opened = authorizations.open_for_usage(event=shop.event(acme, tokens=7))
    clock.forward(hours=1)
    with pytest.raises(BudgetExceeded):
        authorizations.capture_usage(authorization=opened.authorization, event=shop.event(acme, id="a", tokens=11))
    assert use(shop, acme, "10") == "charged"


# --- At the same moment -----------------------------------------------------------------------------------------------


def _spend(shop: Shop, customer: Customer, number: int) -> Any:
    event = shop.event(customer, id=f"e{number}", tokens=1)
    return lambda: usage.record([event])[0]


def test_of_100_parallel_events_exactly_the_ten_pass_that_there_is_room_for(committed_db: None, shop: Shop) -> None:
    customer = shop.customer(plan=None)
    start(customer, bundle(shop))

    outcomes = workers([_spend(shop, customer, n) for n in range(100)])

    assert Counter(outcome.status for outcome in outcomes) == {"charged": 10, "rejected": 90}
    assert used() == 10


@pytest.mark.corrupts_books
def test_that_race_is_real_without_the_lock(committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = shop.customer(plan=None)
    start(customer, bundle(shop))
    assert use(shop, customer, "8") == "charged"
    locked, decide = locks.balances, recording.Recording.decide

    def unlocked(customer_ids: Any, **how: Any) -> pipeline.Query:
        query = locked(customer_ids, **how)
        return pipeline.Query(query.statement.replace("FOR UPDATE", ""), query.parameters)

    def slowly(self: Any) -> Any:
        outcomes = decide(self)
        time.sleep(0.2)
        return outcomes

    monkeypatch.setattr(locks, "balances", unlocked)
    monkeypatch.setattr(recording.Recording, "decide", slowly)
    outcomes = together(*(_spend(shop, customer, n) for n in range(6)))

    assert Counter(getattr(outcome, "status", "") for outcome in outcomes)["charged"] > 2


# --- What a plan may say ----------------------------------------------------------------------------------------------


def test_terms_that_make_no_sense_name_their_field(shop: Shop) -> None:
    tokens, other = shop.meter("tokens", "tokens"), shop.meter("other", "other")
    level = shop.meter("level", "level", aggregation="max")
    prices = [shop.price(tokens, "1"), shop.price(level, "1")]
    for terms, field in [
        (FairUseTerms(D(1)), "fair_use.0"),
        (FairUseTerms(D(1), meter=tokens, asset=shop.usd), "fair_use.0"),
        (FairUseTerms(D(0), meter=tokens), "fair_use.0.limit"),
        (FairUseTerms(D(1), meter=other), "fair_use.0.meter"),
        (FairUseTerms(D(1), meter=level), "fair_use.0.meter"),
        (FairUseTerms(D(1), asset=shop.asset("images")), "fair_use.0.asset"),
        (FairUseTerms(D("0.0000000000001"), asset=shop.usd), "fair_use.0.limit"),
    ]:
        with pytest.raises(InvalidRequest) as refused:
            shop.plan("odd", prices, fair_use=[terms])
        assert [error.field for error in refused.value.errors] == [field]
    twice = [FairUseTerms(D(1), meter=tokens)] * 2
    with pytest.raises(InvalidRequest, match="limit already"):
        shop.plan("odd", prices, fair_use=twice)
