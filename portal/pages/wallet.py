"""The wallet: its grants as a stack, all that there ever were, and what it held on any past day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.http import require_GET

from billing.models import Grant, RecurringGrant
from billing.selectors.ledger import balances, history
from billing.selectors.ledger.balances import BalanceNow
from portal import access, plans, stacks
from portal.periods import midnight_after, parse_day
from portal.stacks import GrantPart
from portal.tables import Column, Filter, Table

STACK_ROWS = 12
"""How many grants of an asset the stack names."""
_OVER = Q(open=False) | Q(expires_at__lte=Now())
GRANTS = Table(
    "wallet",
    columns=[
        Column("grant", _("Grant")),
        Column("from", _("Since"), by="effective_at"),
        Column("expires", _("Expires"), by="expires_at", optional=True),
        Column("state", _("State")),
        Column("used", _("Used"), by="drawn", number=True),
        Column("of", _("Of"), by="amount", number=True),
    ],
    usual="-from",
    anchor="grants",
    filters=[
        Filter("kind", _("Kind"), Grant.Kind.choices),
        Filter(
            "state",
            _("State"),
            [("open", _("Open")), ("over", pgettext_lazy("state", "Over"))],
            where={"open": ~_OVER, "over": _OVER},
        ),
    ],
)


@dataclass(frozen=True, slots=True)
class Stack:
    """One asset: the balance, its grants in the order in which they burn, those yet to start, and what comes again."""

    balance: BalanceNow
    parts: list[GrantPart]
    scheduled: list[Grant]
    recurring: list[RecurringGrant]

    @property
    def named(self) -> list[GrantPart]:
        """Those that burn first."""
        return self.parts[:STACK_ROWS]

    @property
    def beyond(self) -> int:
        """How many more there are."""
        return len(self.parts) - len(self.named)

    @property
    def bar(self) -> list[tuple[float, int]]:
        return [(part.share, part.tone) for part in self.parts]


@dataclass(frozen=True, slots=True)
class PastDay:
    """What the wallet held when ``day`` ended, or, today, what it holds now."""

    day: date
    balances: Sequence[BalanceNow]


@require_GET
@access.signed_in
@access.requires("wallets:read")
def wallet(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The whole page; with htmx the balances of the day that was asked for."""
    now = timezone.now()
    asked = _past_day(visit, request, now)
    if getattr(request, "htmx", False):
        return access.render_for(request, visit, "portal/parts/past_day.html", past_day=asked)
    return access.render_for(
        request,
        visit,
        "portal/wallet.html",
        included=plans.included_now(visit.customer, now),
        stacks=_stacks(visit, now),
        past_day=asked,
        today=now.astimezone(visit.zone).date(),
        **_grants(visit, request, now),
    )


def _stacks(visit: access.Visit, now: datetime) -> list[Stack]:
    grants = balances.open_grants(customer_id=visit.customer.pk, at=now)
    scheduled = list(
        Grant.objects.filter(customer=visit.customer, open=True, effective_at__gt=now).order_by("effective_at", "id")
    )
    recurring = list(
        RecurringGrant.objects.filter(customer=visit.customer, next_at__isnull=False, paused_at=None).order_by(
            "next_at"
        )
    )
    stacked = [
        Stack(
            balance=balance,
            parts=stacks.parts([grant for grant in grants if grant.asset == balance.asset], now),
            scheduled=[grant for grant in scheduled if grant.asset_id == balance.asset],
            recurring=[row for row in recurring if row.asset_id == balance.asset],
        )
        for balance in balances.current([visit.customer.pk], at=now)
    ]
    return sorted(stacked, key=lambda one: one.balance.asset != visit.customer.currency_id)


def _past_day(visit: access.Visit, request: HttpRequest, now: datetime) -> PastDay | None:
    """None where no day is asked for that has been."""
    day = parse_day(request.GET.get("on"))
    if day is None or day > now.astimezone(visit.zone).date():
        return None
    at = min(now, midnight_after(day, visit.zone))
    return PastDay(day, history.balances([visit.customer.pk], at=at))


def _grants(visit: access.Visit, request: HttpRequest, now: datetime) -> dict[str, Any]:
    """All that the address asks for, each with its state."""
    page = GRANTS.page(request, Grant.objects.filter(customer=visit.customer))
    return {"table": page, "grants": [(grant, grant.status_at(now)) for grant in page.rows]}
