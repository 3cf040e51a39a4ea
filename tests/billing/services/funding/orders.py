"""Standing orders to top up, and what becomes of them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from accounts.services.audit import SYSTEM
from billing.models import AutoTopUp, OutboxEvent
from billing.services.funding import rules
from tests.payments import Bank, Payer

Later = Callable[..., None]


def order(payer: Payer, **fields: Any) -> AutoTopUp:
    """$100 below $20, unless ``fields`` say otherwise."""
    terms: dict[str, Any] = {"asset": payer.shop.usd, "threshold": Decimal(20), "amount": Decimal(100)}
    terms |= {"cooldown_seconds": 0} | fields
    return rules.put(actor=SYSTEM, customer=payer.customer, order=rules.Order(**terms))


def now(rule: AutoTopUp) -> AutoTopUp:
    rule.refresh_from_db()
    return rule


def cents(bank: Bank) -> list[int]:
    return [charge["amount"] for charge in bank.charges()][::-1]


def told() -> list[str]:
    return list(
        OutboxEvent.objects.filter(type__startswith="auto_top_up.").order_by("id").values_list("type", flat=True)
    )


def spend(payer: Payer, dollars: str) -> None:
    outcome = payer.shop.record(payer.customer, output_tokens=int(Decimal(dollars) * 100_000))
    assert outcome.error is None
