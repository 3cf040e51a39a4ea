"""Each charge bears its part of the event's cost; prices that follow the cost; and none of it refuses usage."""

from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.engine.costs import BEGINNING
from billing.errors import InvalidRequest
from billing.models import Charge, Customer, ProviderCost
from billing.selectors.catalog import costs as selector
from billing.selectors.usage import receipts
from billing.services import authorizations, usage
from billing.services.catalog import costs
from billing.services.catalog.prices import PriceTerms
from tests.builders import Shop

MILLION = 1_000_000


@pytest.fixture
def catalogue(db: None) -> None:
    for unit, amount in (("input", "2"), ("cached_input", "0.5"), ("output", "8")):
        costs.create(
            actor=SYSTEM,
            provider="openai",
            model="gpt-4o",
            unit=unit,
            unit_cost=Decimal(amount),
            per=Decimal(MILLION),
            effective_from=BEGINNING,
        )


def stored() -> list[Decimal | None]:
    return [charge.cost for charge in Charge.objects.order_by("id")]


def cost_plus(shop: Shop, meter: Any, markup: str = "0.40", **fields: Any) -> PriceTerms:
    return PriceTerms(meter=meter, asset=shop.usd, model="cost_plus", markup=Decimal(markup), **fields)


def test_the_parts_of_an_event_add_up_to_its_cost(catalogue: None, shop: Shop):
    acme = shop.customer(usd="100")
    data = {"model": "gpt-4o-2024-08-06", "input_tokens": 1000, "cached_input_tokens": 300, "output_tokens": 77}
    shop.record(acme, data=data)
    # The cached tokens are counted by no meter here: their 0.00015 follow the others in proportion.
    assert sum(part for part in stored() if part is not None) == Decimal("0.002166")
    assert stored() == [Decimal("0.001504166667"), Decimal("0.000661833333")]


@pytest.mark.parametrize("data", [{"model": "mystery"}, {}, {"model": "gpt-4o", "cached_input_tokens": "x"}])
def test_usage_whose_cost_is_not_known_is_charged_all_the_same(catalogue: None, shop: Shop, data: dict[str, Any]):
    acme = shop.customer(usd="100")
    assert shop.record(acme, data={"input_tokens": 1000} | data).status == "charged"
    assert stored() == [None]


def test_what_is_refused_costs_nothing_in_the_books(catalogue: None, shop: Shop):
    shop.record(shop.customer(usd="0"), model="gpt-4o", input_tokens=1000)
    assert stored() == []


def test_a_cost_is_that_of_the_time_of_the_event_and_stays(catalogue: None, shop: Shop):
    acme = shop.customer(usd="100")
    shop.record(acme, model="gpt-4o", input_tokens=MILLION)
    for cost in ProviderCost.objects.all():
        costs.end(actor=SYSTEM, cost=cost)
    shop.record(acme, model="gpt-4o", input_tokens=MILLION)
    assert stored() == [2, None]


def test_a_price_can_follow_the_cost(catalogue: None, shop: Shop):
    shop.plan("agent", [cost_plus(shop, shop.meter("runs"))])
    acme = shop.customer(plan="agent", usd="100")
    outcome = shop.record(acme, model="gpt-4o", input_tokens=MILLION, output_tokens=MILLION)
    assert outcome.cost == {"usd": Decimal(14)}
    assert stored() == [10]
    costs.set_overhead(actor=SYSTEM, fixed_amount=Decimal("0.5"))
    assert shop.record(acme, model="gpt-4o", input_tokens=MILLION).cost == {"usd": Decimal("3.5")}


def test_each_meter_follows_its_own_part_of_the_cost(catalogue: None, shop: Shop):
    shop.plan(
        "split",
        [
            cost_plus(shop, shop.meter("llm_input", "input_tokens")),
            shop.price(shop.meter("llm_output", "output_tokens"), "10", per="1000000"),
        ],
    )
    acme = shop.customer(plan="split", usd="100")
    outcome = shop.record(acme, model="gpt-4o", input_tokens=MILLION, output_tokens=MILLION)
    assert [(line.meter, line.amount) for line in outcome.charges] == [
        ("llm_input", Decimal("2.8")),
        ("llm_output", Decimal(10)),
    ]


def test_without_a_known_cost_such_a_price_is_none(catalogue: None, shop: Shop):
    shop.plan("agent", [cost_plus(shop, shop.meter("runs"))])
    acme = shop.customer(plan="agent", usd="100")
    outcome = shop.record(acme, model="mystery", input_tokens=1)
    assert outcome.error is not None
    assert outcome.error.code == "unpriced_usage"
    assert shop.balance(acme).available == 100


def test_such_a_price_is_in_dollars(shop: Shop):
    tokens = shop.asset("tokens")
    with pytest.raises(InvalidRequest, match="asset"):
        shop.plan(
            "agent",
            [PriceTerms(meter=shop.meter("runs"), asset=tokens, model="cost_plus", markup=Decimal("0.4"))],
        )


def test_recording_asks_for_the_version_with_what_it_reads_anyway(
    catalogue: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    acme: Customer = shop.customer(usd="100")
    shop.record(acme, model="gpt-4o", input_tokens=1)
    monkeypatch.setattr(selector, "CHECKED_SECONDS", 0.0)
    ProviderCost.objects.update(unit_cost=5)
    shop.record(acme, model="gpt-4o", input_tokens=MILLION)
    assert stored()[-1] == 2, "the version has not changed"
    costs.CostVersion.objects.update(number=1000)
    usage.record([shop.event(acme, model="gpt-4o", input_tokens=MILLION)])
    assert stored()[-1] == 5


def test_what_is_affordable_under_such_a_price_can_be_paid(catalogue: None, shop: Shop):
    shop.plan("agent", [cost_plus(shop, shop.meter("llm_output", "output_tokens"))])
    acme = shop.customer(plan="agent", usd="1")
    expected = shop.event(acme, model="gpt-4o", input_tokens=1000, output_tokens=100)
    opened = authorizations.open_for_usage(event=expected)
    # (2 + 0.0112 × n) × 1.4 thousandths of a dollar.
    assert opened.affordable is not None
    most = opened.affordable["output_tokens"]
    assert most == (Decimal(1) / Decimal("1.4") - Decimal("0.002")) // Decimal("0.000008")
    authorizations.void(authorization=opened.authorization)
    assert shop.record(acme, model="gpt-4o", input_tokens=1000, output_tokens=int(most) + 1).status == "rejected"
    assert shop.record(acme, model="gpt-4o", input_tokens=1000, output_tokens=int(most)).status == "charged"


def test_the_receipt_of_such_a_price_adds_up(catalogue: None, shop: Shop):
    shop.plan("agent", [cost_plus(shop, shop.meter("runs"))])
    acme = shop.customer(plan="agent", usd="100")
    shop.record(acme, id="one", model="gpt-4o", input_tokens=1000)
    charge = Charge.objects.get()
    lines = receipts.explain(charge, charge.event)
    assert sum(line.amount for line in lines) == charge.amount == Decimal("0.0028")
    assert [line.kind for line in lines] != ["discount"]
