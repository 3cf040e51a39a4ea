"""What the page's script gets: amounts as exact strings and as the text to show, so that it does no arithmetic."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from billing.engine.money import EXACT, amount_string
from billing.selectors.balances import BalanceNow
from portal import amounts


def balances(rows: Iterable[BalanceNow], *, told: Mapping[str, Decimal] | None = None) -> dict[str, Any]:
    """``told`` is what was available when this listener was last told: the change is the difference to it."""
    return {"balances": [_balance(row, (told or {}).get(row.asset, row.available)) for row in rows]}


def _balance(row: BalanceNow, told: Decimal) -> dict[str, Any]:
    figure = amounts.figure(row.available, row.asset)
    change = EXACT.subtract(row.available, told)
    return {
        "asset": row.asset,
        "seq": row.seq,
        "available": amount_string(row.available),
        "held": amount_string(row.held),
        "available_parts": [figure.whole, figure.fraction, figure.tail],
        "available_exact": figure.exact,
        "available_text": amounts.text(row.available, row.asset),
        "change_text": amounts.text(change, row.asset, signed=True) if change else "",
        "held_text": amounts.text(row.held, row.asset),
        "held_exact": amounts.exact_text(row.held, row.asset),
    }
