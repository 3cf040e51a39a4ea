"""Why was I charged this? From the event to the ledger, everything."""

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.models import UsageEvent
from billing.selectors.usage import receipts
from billing.services.wallet import wallets
from tests.builders import Shop


def test_a_receipt_shows_price_and_grants_of_every_charge(shop: Shop) -> None:
    shop.plan(
        "pro",
        [
            shop.price(shop.meter("llm_input", "input_tokens"), "2.50", per="1000000"),
            shop.price(shop.meter("llm_output", "output_tokens"), "10", per="1000000", model=["gpt-4o"]),
        ],
    )
    acme = shop.customer()
    first = shop.fund(acme, "0.001", name="Welcome", kind="promotional", expires_at=timezone.now() + timedelta(days=1))
    second = shop.fund(acme, "100")
    shop.record(acme, id="one", input_tokens=1000, output_tokens=450, model="gpt-4o", user="u")

    receipt = receipts.of(UsageEvent.objects.get(event_id="one"))

    assert receipt.cost == {"usd": Decimal("0.007")}
    input_, output = receipt.charges
    assert (input_.meter, input_.quantity, input_.amount, input_.plan, input_.plan_version) == (
        "llm_input",
        Decimal(1000),
        Decimal("0.0025"),
        "pro",
        1,
    )
    assert (output.price.model, output.price.unit_amount, output.price.per, output.price.match) == (
        "per_unit",
        Decimal(10),
        Decimal(1000000),
        {"model": ["gpt-4o"]},
    )
    assert output.dimensions == {"model": "gpt-4o", "user": "u"}
    assert [(d.grant_id, d.name, d.amount) for d in input_.draws] == [
        (first.pk, "Welcome", Decimal("0.001")),
        (second.pk, "Purchase of 100 usd", Decimal("0.0015")),
    ]
    assert [(d.grant_id, d.amount) for d in output.draws] == [(second.pk, Decimal("0.0045"))]
    assert [entry.amount for entry in receipt.entries] == [Decimal("0.001"), Decimal("0.0015"), Decimal("0.0045")]


def test_what_came_from_the_overdraft_is_named_so(shop: Shop) -> None:
    acme = shop.customer()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(1))
    shop.record(acme, id="one", input_tokens=1000)

    (charge,) = receipts.of(UsageEvent.objects.get(event_id="one")).charges

    assert [(d.grant_id, d.name, d.amount) for d in charge.draws] == [(None, "Overdraft", Decimal("0.0025"))]


def test_a_refused_event_has_an_empty_receipt(shop: Shop) -> None:
    shop.record(shop.customer(), id="one", input_tokens=1000)

    receipt = receipts.of(UsageEvent.objects.get(event_id="one"))

    assert (receipt.charges, receipt.entries, receipt.cost) == ([], [], {})


def test_a_charge_of_nothing_is_on_the_receipt_without_a_draw(shop: Shop) -> None:
    shop.record(shop.customer(), id="one", input_tokens=0)

    receipt = receipts.of(UsageEvent.objects.get(event_id="one"))

    assert [(charge.amount, charge.draws) for charge in receipt.charges] == [(Decimal(0), [])]
    assert receipt.cost == {"usd": Decimal(0)}


def test_what_a_call_in_units_comes_to_in_money(shop: Shop) -> None:
    credits = shop.asset("credits")
    shop.plan("pro", [shop.price(shop.meter("images", "images"), "3", asset=credits)])
    acme = shop.customer()
    free = shop.fund(acme, "4", asset="credits", kind="promotional")
    bought = shop.fund(acme, "300", asset="credits", paid_amount=Decimal(10), paid_currency=shop.usd)
    shop.record(acme, id="one", images=3)

    receipt = receipts.of(UsageEvent.objects.get(event_id="one"))

    given, paid = receipt.charges[0].draws
    assert (given.grant_id, given.amount, given.worth) == (free.pk, 4, None)
    assert (paid.grant_id, paid.amount, paid.currency) == (bought.pk, 5, "usd")
    assert (paid.rate, paid.worth) == (Decimal("0.033333333333"), Decimal("0.166666666667"))
    assert (receipt.cost, receipt.in_money) == ({"credits": Decimal(9)}, {"usd": Decimal("0.166666666667")})
