"""What the chart's script draws: floats to draw by, and texts to show, in the currency's own decimals."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.admin import display
from billing.engine.money import exact_sum


@dataclass(frozen=True, slots=True)
class Series:
    """Amounts, one for each label. ``tone`` is its colour's number."""

    name: str
    tone: int
    amounts: Sequence[Decimal]


def data(labels: Sequence[str], series: Sequence[Series], currency: str) -> dict[str, Any]:
    """Amounts of ``currency``, one series on top of another."""
    totals = [exact_sum(amounts) for amounts in zip(*(each.amounts for each in series), strict=True)]
    return {
        "labels": labels,
        "symbol": display.symbol(currency),
        "places": display.places(currency),
        "unit": "",
        "series": [
            {
                "name": each.name,
                "tone": each.tone,
                "values": [float(amount) for amount in each.amounts],
                "texts": [display.text(amount, currency) for amount in each.amounts],
            }
            for each in series
        ],
        "totals": [display.text(total, currency) for total in totals],
    }
