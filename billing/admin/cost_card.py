"""What one event cost us and what is left of its charge: a part of its receipt, for staff who may see costs."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.admin import display
from billing.engine.costs import CURRENCY, Cost
from billing.engine.money import EXACT, amount_string, exact_sum
from billing.models import Charge, ProviderCost, UsageEvent
from billing.selectors.catalog import costs

_WORDS = {"share": "Overhead, share", "fixed": "Overhead, request"}
_DIGITS = Decimal(1).scaleb(-12)


def of(event: UsageEvent, charges: Sequence[Charge]) -> dict[str, Any]:
    """As it was worked out when it was charged; the lines are those of the catalogue as it is now."""
    parts = [charge.cost for charge in charges if charge.cost is not None]
    if not parts:
        return {"known": False}
    total = exact_sum(parts)
    dollars = [charge.amount for charge in charges if charge.asset_id == CURRENCY]
    charged = exact_sum(dollars)
    margin = EXACT.subtract(charged, total) if dollars else None
    found = costs.current().cost(event.data, event.occurred_at)
    return {
        "known": True,
        "total": display.amount(total, CURRENCY),
        "margin": display.amount(margin, CURRENCY),
        "share": display.percent(margin / charged) if margin is not None and charged else display.NOTHING,
        "changed": found is None or found.amount != total,
        "model": found and f"{found.provider} {found.model}",
        "lines": lines(found),
    }


def lines(cost: Cost | None) -> list[dict[str, Any]]:
    """How a cost comes about, line by line."""
    if cost is None:
        return []
    return [
        {
            "unit": _WORDS.get(line.unit) or ProviderCost.Unit(line.unit).label,
            "how": f"{Decimal(amount_string(line.quantity)):,f} × {amount_string(line.unit_cost)}"
            + (f" ÷ {Decimal(amount_string(line.per)):,f}" if line.per != 1 else ""),
            "amount": display.amount(line.amount.quantize(_DIGITS), CURRENCY),
        }
        for line in cost.lines
    ]
