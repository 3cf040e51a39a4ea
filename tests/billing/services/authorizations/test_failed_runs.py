"""A run that dies midway costs what each price asks of such runs; what is waived moves nothing but is written down."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from billing.errors import InvalidRequest
from billing.models import Charge, UsageCounter
from billing.services import authorizations, usage
from tests.builders import Shop

FAILED = {"outcome": "failed"}
DATA = {"input_tokens": Decimal(1000), "output_tokens": Decimal(300)}


def plan(shop: Shop, policy_in: str, policy_out: str, *, phases: bool = True) -> None:
    """A cent for a token in, ten cents for a token out."""
    into = shop.meter("into", "input_tokens", phase="input" if phases else "")
    out = shop.meter("out", "output_tokens", phase="output" if phases else "")
    terms = [shop.price(into, "0.01"), shop.price(out, "0.10")]
    policies = (policy_in, policy_out)
    shop.plan("runs", [plans_with(t, p) for t, p in zip(terms, policies, strict=True)])


def plans_with(terms: Any, policy: str) -> Any:
    return replace(terms, failure_policy=policy)


def failed(shop: Shop, **changes: Any) -> usage.IncomingEvent:
    return replace(shop.event("acme", data=DATA), **{"extensions": FAILED} | changes)


@pytest.mark.parametrize(
    ("policies", "costs"),
    [
        (("portion", "portion"), {"into": "10", "out": "30"}),
        (("prompt_only", "prompt_only"), {"into": "10", "out": "0"}),
        (("none", "none"), {"into": "0", "out": "0"}),
        (("none", "portion"), {"into": "0", "out": "30"}),
    ],
)
def test_each_price_says_what_a_failed_run_costs(
    db: None, shop: Shop, policies: tuple[str, str], costs: dict[str, str]
) -> None:
    plan(shop, *policies)
    acme = shop.customer(plan="runs", usd="100")

    (outcome,) = usage.record([failed(shop)])

    assert outcome.status == "charged"
    assert {line.meter: str(line.amount.normalize()) for line in outcome.charges} == {
        meter: str(Decimal(cost).normalize()) for meter, cost in costs.items()
    }
    for charge in Charge.objects.select_related("meter"):
        used = DATA[charge.meter.value]
        charged = costs[charge.meter.code] != "0"
        assert (charge.quantity, charge.waived) == ((used, None) if charged else (0, used))
    assert shop.balance(acme).available == 100 - sum(map(Decimal, costs.values()))


def test_a_run_that_succeeds_or_does_not_say_is_charged_in_full(db: None, shop: Shop) -> None:
    plan(shop, "none", "none")
    shop.customer(plan="runs", usd="100")

    silent, well = usage.record(
        [failed(shop, extensions={}), failed(shop, id="e2", extensions={"outcome": "succeeded"})]
    )

    assert silent.cost == well.cost == {"usd": 40}


def test_of_an_aborted_stream_what_was_consumed_is_debited_and_the_rest_goes_back(db: None, shop: Shop) -> None:
    plan(shop, "portion", "portion")
    acme = shop.customer(plan="runs", usd="200")
    announced = shop.event("acme", id="", data=DATA | {"output_tokens": Decimal(1000)})
    opened = authorizations.open_for_usage(event=announced)
    assert shop.balance(acme).held == 110

    captured = authorizations.capture_usage(authorization=opened.authorization, event=failed(shop))

    assert (captured.authorization.status, captured.authorization.captured) == ("captured", 40)
    balance = shop.balance(acme)
    assert (balance.available, balance.held) == (160, 0)


def test_a_failed_run_that_costs_nothing_gives_the_whole_hold_back(db: None, shop: Shop) -> None:
    plan(shop, "none", "none")
    acme = shop.customer(plan="runs", usd="200")
    opened = authorizations.open_for_usage(event=shop.event("acme", id="", data=DATA))

    captured = authorizations.capture_usage(authorization=opened.authorization, event=failed(shop))

    assert (captured.authorization.status, captured.authorization.captured) == ("captured", 0)
    balance = shop.balance(acme)
    assert (balance.available, balance.held) == (200, 0)


def test_what_is_waived_is_no_part_of_the_periods_quantity(db: None, shop: Shop) -> None:
    """So that the period's charges still add up to the price of its quantity."""
    into = shop.meter("into", "input_tokens", phase="input")
    shop.plan("runs", [plans_with(shop.price(into, "1", per="3"), "none")])
    shop.customer(plan="runs", usd="100")
    shop.record("acme", input_tokens=1)

    usage.record([failed(shop, data={"input_tokens": Decimal(7)})])
    shop.record("acme", input_tokens=2)

    assert UsageCounter.objects.get().quantity == 3
    assert sum(Charge.objects.values_list("amount", flat=True)) == 1


def test_the_same_event_again_gets_the_same_answer_and_another_outcome_is_a_conflict(db: None, shop: Shop) -> None:
    plan(shop, "portion", "none")
    shop.customer(plan="runs", usd="100")
    event = failed(shop)
    (first,) = usage.record([event])

    (again,) = usage.record([event])
    (other,) = usage.record([failed(shop, id=event.id, extensions={})])

    assert again.replayed
    assert again.charges == first.charges
    assert again.charges[1].waived == 300
    assert other.error is not None
    assert other.error.code == "event_conflict"


def test_what_counts_the_prompt_must_be_said_for_prompt_only(db: None, shop: Shop) -> None:
    with pytest.raises(InvalidRequest, match=r"prices\.1\.failure_policy"):
        plan(shop, "portion", "prompt_only", phases=False)
