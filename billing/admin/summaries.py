"""What the pages of a customer and of a wallet show together: balances, grants in burn order, the latest entries."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.ids import first_id
from billing.admin import display
from billing.admin.ledger import entry_row
from billing.engine.money import EXACT, ZERO
from billing.models import Balance, Customer, Grant, LedgerEntry, Subscription, UsageEvent
from billing.selectors.ledger import balances
from billing.selectors.usage import events, usage

ENTRIES_SHOWN = 15
REFUSED_SHOWN = 8
REFUSED_WITHIN = timedelta(days=7)
CLOSED_GRANTS_SHOWN = 6

GRANT_TONES = {
    Grant.Status.ACTIVE: "good",
    Grant.Status.SCHEDULED: "info",
    Grant.Status.DEPLETED: "quiet",
    Grant.Status.EXPIRED: "warn",
    Grant.Status.VOIDED: "quiet",
}


def balance_cards(customer: Customer) -> list[dict[str, Any]]:
    """One card for each asset, the customer's own currency first. ``available`` is as of now."""
    now = {row.asset: row for row in balances.current([customer.pk])}
    stored = Balance.objects.filter(customer=customer).select_related("asset")
    ordered = sorted(stored, key=lambda balance: (balance.asset_id != customer.currency_id, balance.asset_id))
    return [
        {
            "name": balance.asset.name,
            "asset": balance.asset_id,
            "available": display.figure(now[balance.asset_id].available, balance.asset_id, cut=True),
            "negative": now[balance.asset_id].available < 0,
            "lines": [
                ("Exactly", display.amount(now[balance.asset_id].available, balance.asset_id)),
                ("Held", display.amount(balance.held, balance.asset_id)),
                ("Owed", display.amount(balance.owed, balance.asset_id)),
                ("Overdraft limit", display.amount(balance.overdraft_limit, balance.asset_id)),
                ("Granted ever", display.amount(balance.lifetime_granted, balance.asset_id)),
                ("Spent ever", display.amount(balance.lifetime_spent, balance.asset_id)),
            ],
            "seq": balance.seq,
        }
        for balance in ordered
    ]


def grant_stack(customer: Customer) -> dict[str, Any]:
    """Open grants of each asset in the order in which they burn, those not yet started, and the latest closed ones."""
    now = timezone.now()
    order = [grant.id for grant in balances.open_grants(customer_id=customer.pk, at=now)]
    open_rows = {
        grant.id: grant
        for grant in Grant.objects.filter(Q(open=True) | Q(id__in=order), customer=customer).order_by("effective_at")
    }
    turns: Counter[str] = Counter()
    burning = []
    for grant in sorted(
        (open_rows[pk] for pk in order), key=lambda g: (g.asset_id != customer.currency_id, g.asset_id)
    ):
        turns[grant.asset_id] += 1
        burning.append(grant_row(grant, now, turn=turns[grant.asset_id]))
    waiting = [grant for pk, grant in open_rows.items() if pk not in set(order)]
    closed = Grant.objects.filter(customer=customer, open=False).order_by("-id")[:CLOSED_GRANTS_SHOWN]
    return {
        "open": burning,
        "waiting": [grant_row(grant, now) for grant in waiting],
        "closed": [grant_row(grant, now) for grant in closed],
    }


def grant_row(grant: Grant, now: datetime, *, turn: int | None = None) -> dict[str, Any]:
    status = grant.status_at(now)
    parts = [
        ("left", "Remaining", grant.remaining),
        ("held", "Held", grant.held),
        ("drawn", "Drawn", grant.drawn),
        ("lapsed", "Expired", grant.expired),
        ("voided", "Voided", grant.voided),
    ]
    return {
        "turn": turn,
        "link": display.link(grant),
        "kind": grant.get_kind_display(),
        "status": display.badge(status.label, GRANT_TONES[status]),
        "remaining": display.amount(grant.remaining, grant.asset_id),
        "amount": display.amount(grant.amount, grant.asset_id),
        "asset": grant.asset_id,
        "expires": expiry(grant.expires_at, now),
        "soon": grant.expires_at is not None and 0 < (grant.expires_at - now).total_seconds() < 7 * 86_400,
        "only": ", ".join(grant.applies_to.get("meters", [])),
        "bar": _bar(grant, parts),
    }


def _bar(grant: Grant, parts: list[tuple[str, str, Decimal]]) -> list[dict[str, str]]:
    """The parts of a grant side by side, as percentages of its amount."""
    bar, start = [], ZERO
    for kind, title, held in parts:
        if held > 0:
            bar.append(
                {
                    "kind": kind,
                    "start": percent(start, grant.amount),
                    "percent": percent(held, grant.amount),
                    "title": f"{title} {display.written(held, grant.asset_id).exact}",
                }
            )
            start = EXACT.add(start, held)
    return bar


def percent(part: Decimal, whole: Decimal) -> str:
    """For widths: two decimals of a percent are finer than any screen."""
    return f"{float(part / whole * 100):.2f}" if whole else "0"


def expiry(moment: datetime | None, now: datetime) -> str:
    """``never``, or the minute with how far away it is: a last day ends at the midnight after it."""
    if moment is None:
        return "never"
    days = (moment - now).days
    if moment <= now:
        distance = "over"
    elif days == 0:
        distance = "within a day"
    else:
        distance = f"in {days} day{'' if days == 1 else 's'}"
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M} ({distance})"


def latest_entries(customer: Customer) -> list[dict[str, Any]]:
    rows = LedgerEntry.objects.filter(customer=customer).select_related("grant").order_by("-id")[:ENTRIES_SHOWN]
    return [entry_row(entry) for entry in rows]


def refused_events(customer: Customer) -> list[dict[str, Any]]:
    """The latest events of this customer that were not charged."""
    rows = events.not_reversed(UsageEvent.objects.filter(customer=customer))
    rows = rows.exclude(status=UsageEvent.Status.CHARGED)
    rows = events.with_status(rows).filter(unpaid__collected_at__isnull=True)
    return [refused_row(event) for event in rows.order_by("-id")[:REFUSED_SHOWN]]


def latest_refused() -> list[dict[str, Any]]:
    """The latest events of anybody that were not charged."""
    rows = (
        events.not_reversed(UsageEvent.objects.filter(id__gte=first_id(timezone.now() - REFUSED_WITHIN)))
        .exclude(status=UsageEvent.Status.CHARGED)
        .select_related("customer")
        .order_by("-id")[:REFUSED_SHOWN]
    )
    return [{**refused_row(event), "customer": display.link(event.customer)} for event in rows]


def refused_row(event: UsageEvent) -> dict[str, Any]:
    refusal = event.refusal or {}
    return {
        "link": display.link(event),
        "customer": event.customer_id,
        "status": display.badge(event.get_status_display(), "warn" if event.status == "unpaid" else "bad"),
        "received": display.moment(event.received_at),
        "type": event.type,
        "code": str(refusal.get("code", "")).replace("_", " "),
        "detail": display.said(refusal.get("detail", "")),
    }


def subscriptions(customer: Customer) -> list[dict[str, Any]]:
    now = timezone.now()
    rows = Subscription.objects.filter(customer=customer).select_related("plan", "plan_version__plan")
    return [
        {
            "plan": display.link(row.plan_version),
            "since": display.moment(row.starts_at),
            "until": display.moment(row.ends_at),
            "running": row.starts_at <= now and (row.ends_at is None or row.ends_at > now),
        }
        for row in rows
    ]


def spent(customer: Customer, since: datetime) -> dict[str, Decimal]:
    """What was charged for usage that occurred from ``since`` on, by asset."""
    rows = usage.totals(customer_id=customer.pk, start=since, end=timezone.now() + events.BOOKED_BEFORE_MAX)
    return {row.asset: row.amount for row in rows}
