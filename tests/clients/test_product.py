"""The client against the product itself: the server that customers get, on the tests' own database."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ante_client import Ante, NotFound, PaymentRequired, calls, new_id
from billing.models import UsageEvent
from billing.services.catalog.prices import PriceTerms
from tests.browser.server import serving
from tests.builders import LLM, Shop

pytestmark = pytest.mark.slow


@pytest.fixture
def ante(committed_db: None, shop: Shop, tmp_path: Path) -> Iterator[Ante]:
    """A client with a spool, of an operator whose customer acme has a hundred dollars.

    The server is a new one: it would remember the catalog of the test before.
    """
    meter = shop.meter("gpt_tokens", "quantity", event_type="gpt_tokens", dimensions=["user"])
    shop.plan("pro", [*_tokens(shop), PriceTerms(meter=meter, asset=shop.usd, model="event", amount_field="amount")])
    shop.customer("acme", usd="100")
    with (
        serving(tmp_path, static_files=False) as server,
        Ante(server.address, shop.key(), spool=tmp_path / "spool") as client,
    ):
        yield client


def _tokens(shop: Shop) -> list[PriceTerms]:
    return [
        shop.price(shop.meter("llm_input", "input_tokens"), "2.50", per="1000000"),
        shop.price(shop.meter("llm_output", "output_tokens"), "10", per="1000000"),
    ]


def test_metered_at_a_price_of_the_applications_own(ante: Ante) -> None:
    ante.usage.record("acme", "gpt_tokens", 8420, unit_price="0.00003", meta={"user": "u_17"})
    ante.usage.record("acme", "gpt_tokens", 142_500 - 8420, unit_price="0.00003")
    assert ante.flush()

    summary = ante.usage.summary("acme")
    assert summary.total == 142_500
    assert summary.amount_due == {"usd": Decimal("4.275")}
    assert summary.start.endswith("-01T00:00:00+00:00")
    assert ante.balance("acme")["usd"].available == Decimal("95.725")


def test_one_id_on_the_hold_the_event_and_the_debit(ante: Ante) -> None:
    name = new_id()
    expected = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 4000, "inference_id": name}
    assert ante.estimate("acme", LLM, expected).cost == {"usd": Decimal("0.0425")}

    held = ante.wallet.authorize("acme", LLM, expected, id=name)
    again = ante.wallet.authorize("acme", LLM, expected, id=name)
    assert again.id == held.id
    assert held.amount == Decimal("0.0425")
    assert ante.balance("acme")["usd"].held == Decimal("0.0425")
    assert held.affordable["output_tokens"] == 9_999_750
    event = calls.event(customer="acme", type=LLM, data={**expected, "output_tokens": 450}, id=name, source="app")
    ante.usage.settle(event, held.id)
    assert ante.flush()

    wallet = ante.balance("acme")["usd"]
    assert (wallet.available, wallet.held) == (Decimal("99.993"), Decimal(0))
    found = UsageEvent.objects.get(event_id=name)
    assert found.data["inference_id"] == name
    # And once more, by the other door: the first answer.
    assert ante.usage.send(event).replayed

    with pytest.raises(PaymentRequired) as raised:
        ante.wallet.authorize("acme", LLM, {"output_tokens": 100_000_000})
    assert raised.value.problem["available"] == "99.993"
    with pytest.raises(NotFound):
        ante.balance("globex")

    unused = ante.wallet.authorize("acme", LLM, {"output_tokens": 1000})
    assert unused.id is not None
    ante.wallet.void(unused.id, reason="The model did not answer")
    assert ante.balance("acme")["usd"].available == Decimal("99.993")
