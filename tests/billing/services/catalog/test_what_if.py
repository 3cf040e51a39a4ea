"""Real usage replayed: under the same version to the last digit what was charged, under another what it would be."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine.costs import BEGINNING
from billing.engine.prices import TierTerms
from billing.errors import InvalidRequest
from billing.models import Charge, Customer, LedgerEntry, PlanVersion, UsageEvent
from billing.services import usage
from billing.services.catalog import costs, plans, what_if
from billing.services.catalog.prices import PriceTerms
from billing.services.usage import charged_usage, unpaid
from billing.services.wallet import corrections
from tests.builders import Shop

NOW = timezone.now()
START, END = NOW - timedelta(days=40), NOW + timedelta(hours=1)


def graduated(shop: Shop, meter: Any, asset: Any = None) -> PriceTerms:
    tiers = (
        TierTerms(up_to=Decimal(5000), unit_amount=Decimal("0.0007")),
        TierTerms(up_to=Decimal(20_000), unit_amount=Decimal("0.0005"), flat_amount=Decimal(1)),
        TierTerms(unit_amount=Decimal("0.0003")),
    )
    return PriceTerms(meter=meter, asset=asset or shop.usd, model="graduated", per=Decimal(3), tiers=tiers)


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """Every kind of price that remembers: tiers, thirds, packages, unique users and peaks."""
    shop.plan(
        "busy",
        [
            graduated(shop, shop.meter("llm_input", "input_tokens")),
            shop.price(shop.meter("llm_output", "output_tokens"), "0.01", per="3"),
            PriceTerms(
                meter=shop.meter("runs"), asset=shop.usd, model="package", unit_amount=Decimal(1), per=Decimal(7)
            ),
            PriceTerms(
                meter=shop.meter("seats", "user", aggregation="unique"),
                asset=shop.usd,
                model="per_unit",
                unit_amount=Decimal("0.5"),
            ),
        ],
    )
    return shop.customer(plan="busy", usd="100000")


def use(shop: Shop, customer: Customer, count: int = 120, days: int = 39, seed: int = 1) -> None:
    """Usage in no order of time, in batches, as it comes in."""
    random = Random(seed)
    events = [
        shop.event(
            customer,
            time=NOW - timedelta(days=random.uniform(0, days)),
            model=random.choice(["gpt-4o", "gpt-4o-mini"]),
            user=random.choice(["a", "b", "c", "d"]),
            input_tokens=random.randrange(2000),
            output_tokens=random.randrange(300),
        )
        for _ in range(count)
    ]
    for first in range(0, count, 17):
        assert all(outcome.status == "charged" for outcome in usage.record(events[first : first + 17]))


def version_of(customer: Customer) -> PlanVersion:
    return customer.subscriptions.get().plan_version


def replay(customer: Customer, version: PlanVersion | None = None, **fields: Any) -> what_if.Result:
    scenario = what_if.Scenario(**({"start": START, "end": END, "version": version} | fields))
    return what_if.replay(scenario, customer.pk)


def charged(customer: Customer, start: datetime = START, end: datetime = END) -> dict[str, Decimal]:
    found = Charge.objects.filter(customer=customer, occurred_at__gte=start, occurred_at__lt=end)
    return {row["asset_id"]: row["total"] for row in found.values("asset_id").annotate(total=Sum("amount"))}


def test_the_same_version_gives_exactly_what_was_charged(acme: Customer, shop: Shop):
    use(shop, acme)
    result = replay(acme, version_of(acme))
    assert result.then == result.now == charged(acme)
    assert (result.events, result.unpriced) == (120, 0)


@pytest.mark.parametrize(("first", "last"), [(30, 20), (12, 3), (9, 8)])
def test_a_window_in_the_middle_of_a_period_knows_what_came_before(acme: Customer, shop: Shop, first: int, last: int):
    use(shop, acme)
    start, end = NOW - timedelta(days=first), NOW - timedelta(days=last)
    result = replay(acme, version_of(acme), start=start, end=end)
    assert result.then == result.now == charged(acme, start, end)
    assert 0 < result.events < 120


def test_batches_of_the_replay_make_no_difference(acme: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch):
    use(shop, acme)
    monkeypatch.setattr(charged_usage, "BATCH", 7)
    done: list[int] = []
    scenario = what_if.Scenario(START, END, version_of(acme))
    assert what_if.replay(scenario, acme.pk, advance=done.append).then == charged(acme)
    assert (len(done), sum(done)) == (18, 120)


def test_nothing_is_written(acme: Customer, shop: Shop):
    use(shop, acme, 20)
    before = [model.objects.count() for model in (UsageEvent, Charge, LedgerEntry)]
    balance = shop.balance(acme).available
    replay(acme, version_of(acme))
    assert [model.objects.count() for model in (UsageEvent, Charge, LedgerEntry)] == before
    assert shop.balance(acme).available == balance


def test_another_version_gives_what_it_would_have_charged(acme: Customer, shop: Shop):
    use(shop, acme)
    dearer = plans.publish_version(
        actor=SYSTEM,
        plan=version_of(acme).plan,
        interval="month",
        prices=[shop.price(shop.meter("llm_input"), "0.002")],
    )
    result = replay(acme, dearer)
    tokens = Charge.objects.filter(meter__code="llm_input").aggregate(total=Sum("quantity"))["total"]
    assert result.then == {"usd": tokens * Decimal("0.002")}
    assert result.now == charged(acme)
    assert result.difference("usd") == result.then["usd"] - result.now["usd"]


def test_another_plan_goes_before_the_customers_own(acme: Customer, shop: Shop):
    use(shop, acme, 30)
    shop.record(acme, type="image", n=1)  # Of a type that the other plan does not meter, and nobody prices.
    shop.plan("studio", [shop.price(shop.meter("images", "n", event_type="image"), "0.25")])
    shop.subscribe(acme, "studio")
    shop.record(acme, type="image", n=2)
    other = shop.plan("flat", [shop.price(shop.meter("runs"), "0.1")])
    result = replay(acme, other)
    assert result.then == {"usd": Decimal("3.5")}
    assert (result.events, result.unpriced) == (31, 0)


def test_usage_without_a_price_there_is_counted_and_said(acme: Customer, shop: Shop):
    use(shop, acme, 40)
    only = shop.plan("only", [shop.price(shop.meter("llm_input"), "1", model=["gpt-4o"])])
    result = replay(acme, only)
    assert result.unpriced == UsageEvent.objects.filter(data__model="gpt-4o-mini").count() > 0
    assert (
        result.then["usd"]
        == Charge.objects.filter(meter__code="llm_input", dimensions__model="gpt-4o").aggregate(total=Sum("quantity"))[
            "total"
        ]
    )


def test_another_model_brings_its_own_price_and_cost(shop: Shop):
    for model, amount in (("big", "5"), ("small", "1")):
        costs.create(
            actor=SYSTEM,
            provider="openai",
            model=model,
            unit="input",
            unit_cost=Decimal(amount),
            effective_from=BEGINNING,
        )
    tokens = shop.meter("llm_input", "input_tokens")
    shop.plan("pro", [shop.price(tokens, "8", model=["big"]), shop.price(tokens, "2", model=["small"])])
    acme = shop.customer(usd="1000")
    for model in ("big", "small"):
        shop.record(acme, model=model, input_tokens=10)
    result = replay(acme, models={"big": "small"})
    assert (result.now, result.then) == ({"usd": Decimal(100)}, {"usd": Decimal(40)})
    assert (result.cost_now, result.cost_then, result.without_cost) == (60, 20, 0)
    unknown = replay(acme, models={"big": "unheard-of"})
    assert (unknown.unpriced, unknown.without_cost, unknown.cost_then) == (1, 1, 60)


def test_what_was_paid_later_is_replayed_when_it_was_charged(shop: Shop):
    shop.plan("tiers", [graduated(shop, shop.meter("llm_input", "input_tokens"))])
    acme = shop.customer(plan="tiers", usd="1", on_insufficient_funds="overdraft")
    shop.record(acme, input_tokens=3000)
    assert shop.record(acme, input_tokens=9000).status == "unpaid"
    shop.record(acme, input_tokens=100)

    shop.fund(acme, "1000")
    unpaid.collect_due()
    result = replay(acme, version_of(acme))
    assert result.events == 3
    assert result.then == result.now == charged(acme)


def covered(shop: Shop, code: str, included: str = "", *, rollover: str = "0", price: str = "0.01") -> PlanVersion:
    """Units at a price, of which credits cover the first: those that are ``included``, and those that were bought."""
    credits_ = shop.asset("credits")
    meter = shop.meter("llm_input", "input_tokens")
    terms = PriceTerms(meter=meter, asset=shop.usd, model="per_unit", unit_amount=Decimal(price), covered_by=credits_)
    allowances = [plans.AllowanceTerms(credits_, Decimal(included), Decimal(rollover))] if included else []
    return shop.plan(code, [terms], allowances=allowances)


def test_what_covers_units_is_replayed_with_them(shop: Shop):
    version = covered(shop, "own", "1000", rollover="300")
    dearer, larger, none = (
        covered(shop, "dearer", "1000", rollover="300", price="0.02"),
        covered(shop, "larger", "2500"),
        covered(shop, "none"),
    )
    acme = shop.customer(plan="own", usd="1000")
    shop.fund(acme, "500", asset="credits", kind="promotional")
    random = Random(7)
    sent = [random.randint(1, 700) for _ in range(12)]
    usage.record([shop.event(acme, input_tokens=tokens) for tokens in sent])
    shop.record(acme, id="wrong", input_tokens=444)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="by mistake")

    used = sum(sent)
    rest = used - charged(acme)["credits"]
    assert 0 < charged(acme)["credits"] < used
    expected = {
        version: charged(acme),
        dearer: {"credits": used - rest, "usd": rest * Decimal("0.02")},
        larger: {"credits": Decimal(min(used, 3000)), "usd": max(used - 3000, 0) * Decimal("0.01")},
        none: {"credits": Decimal(500), "usd": (used - 500) * Decimal("0.01")},
    }
    for scenario, amounts in expected.items():
        result = replay(acme, scenario)
        assert (result.unpriced, result.now) == (0, charged(acme))
        assert {asset: amount for asset, amount in result.then.items() if amount} == {
            asset: amount for asset, amount in amounts.items() if amount
        }


@pytest.mark.parametrize(
    "scenario",
    [what_if.Scenario(NOW, NOW, models={"a": "b"}), what_if.Scenario(START, END)],
    ids=["no time", "no change"],
)
def test_a_scenario_that_says_nothing_is_refused(scenario: what_if.Scenario):
    with pytest.raises(InvalidRequest):
        what_if.check(scenario)


def command(*arguments: str) -> Any:
    out = StringIO()
    call_command("what_if", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def window() -> Sequence[str]:
    return ["--from", f"{START:%Y-%m-%d}", "--to", f"{END + timedelta(days=1):%Y-%m-%d}"]


def test_the_command_says_it_as_a_table_csv_and_json(acme: Customer, shop: Shop):
    use(shop, acme, 20)
    total = charged(acme)["usd"]
    found = json.loads(command("--plan", "busy", "--version", "1", *window(), "--format", "json"))
    assert Decimal(found["total"]["now"]["usd"]) == Decimal(found["total"]["then"]["usd"]) == total
    table = command("--plan", "busy", "--customer", "acme", *window())
    assert "Altogether" in table
    rows = command("--plan", "busy", *window(), "--format", "csv").splitlines()
    assert rows[0].startswith("customer,asset,events,now,then,difference")
    assert rows[1].startswith(f"acme,usd,20,{total.normalize():f},{total.normalize():f},0,")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "plan"),
        (["--version", "1"], "needs --plan"),
        (["--plan", "nothing"], "no plan nothing"),
        (["--plan", "busy", "--version", "9"], "version 9"),
        (["--plan", "busy", "--customer", "nobody"], "no customer nobody"),
        (["--plan", "busy", "--from", "soon"], "--from soon"),
        (["--model", "gpt-4o"], "--model gpt-4o"),
        (["--plan", "busy", "--from", "2026-02-01", "--to", "2026-01-01"], "must be before"),
    ],
)
def test_the_command_says_what_is_wrong(acme: Customer, arguments: list[str], why: str):
    with pytest.raises(CommandError, match=why):
        command(*arguments)


def test_last_month_is_what_is_replayed_where_no_time_is_given(acme: Customer, shop: Shop):
    month = NOW.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    shop.record(acme, input_tokens=1, time=month - timedelta(seconds=1))
    shop.record(acme, input_tokens=1, time=month)
    assert json.loads(command("--plan", "busy", "--format", "json"))["total"]["events"] == 1


def test_usage_that_was_taken_back_counted_until_then(shop: Shop):
    shop.plan("tiers", [graduated(shop, shop.meter("llm_input", "input_tokens"))])
    acme = shop.customer(plan="tiers", usd="100")
    for number in range(4):
        shop.record(acme, id=f"e{number}", input_tokens=2500)
        if number == 2:
            reversed_one = UsageEvent.objects.get(event_id="e0")
            corrections.reverse(actor=SYSTEM, event=reversed_one, reason="Never happened")
    refunded = UsageEvent.objects.get(event_id="e3")
    corrections.refund(actor=SYSTEM, event=refunded, asset=shop.usd, amount=Decimal("0.1"), reason="Sorry")
    result = replay(acme, version_of(acme))
    standing = Charge.objects.filter(correction=None).exclude(event=reversed_one)
    assert result.events == 3
    assert result.then == result.now == {"usd": standing.aggregate(total=Sum("amount"))["total"]}
    assert replay(acme, version_of(acme), start=END - timedelta(seconds=1)).then == {}
