"""The plan and the customers that the benchmark charges, made by the services like anybody's."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.models import Asset, Meter
from billing.services import subscriptions
from billing.services.catalog import costs, meters, plans
from billing.services.catalog.prices import PriceTerms
from billing.services.customer import customers
from billing.services.wallet import grants

EVENT_TYPE = "llm.completion"
ONE_METER_TYPE = "llm.embedding"
"""Events of this type have one meter and so one charge, where those of ``EVENT_TYPE`` have two."""
DIMENSIONS = ["model", "user", "project", "feature", "session"]
INPUT_PRICE = Decimal("0.0000025")
OUTPUT_PRICE = Decimal("0.00001")
FUNDS = Decimal(1_000_000)
MODEL = "gpt-4o-2024-08-06"
HOT = "bench-hot"
"""The one wallet that everybody wants."""


def make(count: int, *, made: Callable[[int], None]) -> list[str]:
    """A plan with three prices and ``count`` customers on it, and ``HOT``; the external ids of the ``count``."""
    usd = Asset.objects.get(pk="usd")
    for unit, amount in (("input", Decimal("2.5")), ("output", Decimal(10))):
        costs.create(actor=SYSTEM, provider="openai", model=MODEL, unit=unit, unit_cost=amount, per=Decimal(1_000_000))
    prices = [
        PriceTerms(meter=meter, asset=usd, model="per_unit", unit_amount=amount, per=Decimal(1), match={})
        for meter, amount in (
            (_meter("input"), INPUT_PRICE),
            (_meter("output"), OUTPUT_PRICE),
            (_meter("input", event_type=ONE_METER_TYPE), INPUT_PRICE),
        )
    ]
    version = plans.create(actor=SYSTEM, code="bench", name="Bench", currency=usd, interval="month", prices=prices)
    names = [f"bench-{number:05}" for number in range(count)]
    for name in [*names, HOT]:
        customer = customers.create(actor=SYSTEM, external_id=name, name=name, currency=usd)
        subscriptions.start(
            actor=SYSTEM, customer=customer, plan=version.plan, starts_at=timezone.now() - timedelta(days=40)
        )
        grants.create(
            actor=SYSTEM,
            customer=customer,
            asset=usd,
            amount=FUNDS,
            kind="purchase",
            paid_amount=FUNDS,
            paid_currency=usd,
        )
        made(1)
    return names


def key() -> str:
    """The secret of a key that records usage and reads wallets."""
    return api_keys.issue(name="bench", scopes=["events:write", "wallets:read"])[1]


def _meter(kind: str, *, event_type: str = EVENT_TYPE) -> Meter:
    return meters.create(
        actor=SYSTEM,
        code=f"bench_{event_type.removeprefix('llm.')}_{kind}",
        name=f"{kind.title()} tokens of {event_type}",
        event_type=event_type,
        aggregation="sum",
        value=f"{kind}_tokens",
        dimensions=DIMENSIONS,
    )
