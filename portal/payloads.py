"""What the page's script gets: amounts as exact strings and as the text to show, so that it does no arithmetic."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils import timezone

from billing.engine.money import EXACT, amount_string
from billing.models import UsageEvent
from billing.selectors.ledger.balances import BalanceNow
from billing.selectors.usage.tail import TailEvent
from portal import amounts, refusals


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


def new_events(rows: Sequence[TailEvent], told: Sequence[TailEvent]) -> dict[str, Any] | None:
    """The events that were not told before, the oldest first; None where there are none."""
    known = {row.id for row in told}
    news = [event(row) for row in reversed(rows) if row.id not in known]
    return {"events": news} if news else None


def event(row: TailEvent) -> dict[str, Any]:
    """One event of the live list, in texts. The time is in the zone that is active, or as it stands in UTC."""
    return {
        "id": str(row.id),
        "href": reverse("portal:event", args=[row.id]),
        "event": row.event_id,
        "type": row.type,
        "status": row.status,
        "status_text": str(UsageEvent.Status(row.status).label),
        "refusal": refusals.said(row.refusal),
        "at": row.received_at.isoformat(),
        "time": f"{timezone.localtime(row.received_at):%H:%M:%S}",
        "amount": " + ".join(amounts.text(amount, asset) for asset, amount in row.amounts.items()) or "–",
        "bears": [{"name": name, "value": value} for name, value in sorted(row.dimensions.items())],
    }
