"""What a draft comes to, as the page shows it: each price in a sentence, a table and a curve, and what would change."""

from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string

from billing.admin import display
from billing.admin.plan_editor.editor import Editor
from billing.engine.currencies import written
from billing.engine.money import ZERO, amount_string
from billing.engine.prices import Share, terms
from billing.models import PlanVersion
from billing.services.catalog import plan_sheets, plans, price_previews
from billing.services.catalog.prices import PriceTerms

_BASES = {
    "flat": "events",
    "event": "amount that the event names",
    "cost_plus": "cost of the provider",
    "percentage": "metered amount",
    "graduated_percentage": "metered amount",
}
_SCALES = ((10**15, "P"), (10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_AVERAGE_DECIMALS = Decimal(10) ** -12


def of_price(price: PriceTerms) -> dict[str, Any]:
    """For a price that makes sense by itself."""
    found = price_previews.preview(price)
    asset = price.asset.code
    what, said = plan_sheets.of_price(price)
    return {
        "what": what,
        "said": said,
        "unit": _unit(price),
        "rows": [
            {
                "quantity": display.quantity(point.quantity),
                "amount": display.NOTHING if point.amount is None else display.amount(point.amount, asset),
                "average": "" if point.amount is None else written(_average(point.amount, point.quantity), asset),
            }
            for point in found.rows
        ],
        "chart": {
            "lines": True,
            "labels": [_short(point.quantity) for point in found.curve],
            "every": price_previews.STEPS // 6,
            "symbol": display.symbol(asset),
            "places": display.places(asset),
            "series": [
                {
                    "name": "Costs",
                    "tone": 1,
                    "values": [None if point.amount is None else float(point.amount) for point in found.curve],
                    "texts": [
                        "" if point.amount is None else display.written(point.amount, asset).exact
                        for point in found.curve
                    ],
                }
            ],
            "totals": [],
        },
    }


def of_editor(editor: Editor) -> dict[str, str]:
    """The previews of all prices that make sense, as HTML by their forms' prefixes."""
    shown: dict[str, str] = {}
    for form in editor.kept_prices():
        if form.is_valid():
            context = {"preview": of_price(editor.price_of(form)), "chart_id": f"{form.prefix}-curve"}
            shown[str(form.prefix)] = render_to_string("admin/ante/editor/preview.html", context)
    return shown


def changes(wanted: plans.Terms, published: PlanVersion | None, *, currency: str) -> list[plan_sheets.Difference]:
    """What would be other than in the published version; all of it where there is none."""
    before = {} if published is None else plan_sheets.of_version(published)
    return plan_sheets.differences(before, plan_sheets.of_terms(wanted, currency))


def _unit(price: PriceTerms) -> str:
    """What the quantities are of."""
    if isinstance(terms.measure(price), Share):
        return "amount of one event"
    return _BASES.get(price.model) or f"{price.meter.unit or 'unit'}s"


def _average(amount: Decimal, quantity: Decimal) -> Decimal:
    return (amount / quantity).quantize(_AVERAGE_DECIMALS).normalize() if quantity else ZERO


def _short(quantity: Decimal) -> str:
    """``1.5M``"""
    for scale, letter in _SCALES:
        if quantity >= scale:
            return f"{amount_string(quantity / scale)}{letter}"
    return amount_string(quantity)
