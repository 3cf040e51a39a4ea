"""What a signed link shows in a frame on the operator's own page: a balance, or usage. No session, nothing to click."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from csp.constants import NONE
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import addresses, second_factor
from billing.engine.money import exact_sum
from billing.models import Customer
from billing.selectors.ledger import balances
from billing.selectors.usage import rollups
from billing.selectors.usage import usage as selector
from billing.services.customer import embeds
from portal import charts, stacks
from portal.access import zone_of
from portal.periods import Period

DAYS = 30
GROUPS = 5


@second_factor.open_to_strangers
@require_GET
@never_cache
def embed(request: HttpRequest, token: str) -> HttpResponse:
    """The page, which asks for itself again every ten seconds; where the link has ended, that."""
    found = embeds.opened(token)
    if found is None or not addresses.allows(found.customer.organization.allowed_networks, addresses.of(request)):
        response = render(request, "portal/embed_ended.html", status=403)
        response["HX-Refresh"] = "true"  # A frame that still shows figures shows this instead.
        return _framed(response)
    zone, now = zone_of(found.customer), timezone.now()
    shown = _balances(found.customer, now) if found.view == embeds.BALANCE else _usage(found.customer, zone, now)
    with timezone.override(zone):
        return _framed(render(request, "portal/embed.html", {"view": found.view, "zone": zone.key, **shown}))


def _framed(response: HttpResponse) -> HttpResponse:
    """Let the sites that are named show it; where none is, nobody."""
    sites = settings.EMBED_ANCESTORS
    response._csp_replace = {"frame-ancestors": sites or [NONE]}  # type: ignore[attr-defined]  # As csp.decorators do.
    response.xframe_options_exempt = bool(sites)
    response["Referrer-Policy"] = "no-referrer"
    return response


def _balances(customer: Customer, now: datetime) -> dict[str, Any]:
    grants = balances.open_grants(customer_id=customer.pk, at=now)
    return {
        "cards": [
            (balance, stacks.parts([grant for grant in grants if grant.asset == balance.asset], now))
            for balance in balances.current([customer.pk], at=now)
        ]
    }


def _usage(customer: Customer, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    period = Period.latest(DAYS, today=now.astimezone(zone).date(), zone=zone)
    asset, mark = customer.currency_id, rollups.mark()
    span: dict[str, Any] = {"customer_id": customer.pk, "start": period.start, "end": period.end, "mark": mark}
    by_day = selector.rows(**span, timezone=zone)
    ranking = selector.ranking(**span, group_by="model", asset=asset, limit=GROUPS)
    return {
        "chart": charts.stacked(by_day, asset=asset, period=period, name=lambda row: gettext("Spend")),
        "total": exact_sum(row.amount for row in by_day if row.asset == asset),
        "models": [
            (
                row.value or gettext("No model"),
                row.amount,
                float(row.amount / ranking.amount) if ranking.amount > 0 else 0.0,
            )
            for row in ranking.rows
        ],
        "days": DAYS,
    }
