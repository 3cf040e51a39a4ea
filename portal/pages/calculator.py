"""The cost calculator: a workload, and what it comes to on one's own plan and on the others."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accounts import reading, second_factor
from billing.engine.money import parse
from billing.engine.prices import words
from billing.models import PlanVersion
from portal import access, amounts, calculator, plans
from portal.calculator import Cost, Kind, Workload

REQUESTS = 1000


@require_GET
@access.signed_in
@access.requires("catalog:read")
def calculate(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The form and the answer; with htmx the answer alone."""
    own = [one.subscription.plan_version for one in plans.running(visit.customer, timezone.now())]
    taken = {version.plan_id for version in own}
    others = [one.version for one in plans.offers(visit.customer.currency_id) if one.plan.pk not in taken]
    context = answer(request, [*own, *others])
    template = "portal/parts/costs.html" if getattr(request, "htmx", False) else "portal/calculator.html"
    return access.render_for(request, visit, template, own={version.pk for version in own}, **context)


@second_factor.open_to_strangers
@require_GET
def prices(request: HttpRequest) -> HttpResponse:
    """The plans on offer with their prices, and the calculator, for everybody."""
    offers = plans.offers()
    context = answer(request, [offer.version for offer in offers])
    template = "portal/parts/costs.html" if getattr(request, "htmx", False) else "portal/prices.html"
    return render(request, template, {"offers": offers, "own": set(), "sign_up": settings.SELF_SIGN_UP, **context})


def answer(request: HttpRequest, versions: list[PlanVersion]) -> dict[str, Any]:
    """What the address asks for, and what it costs on each version, the cheapest first.

    Plans of different currencies stand beside each other and are not compared: there is no rate to do it by.
    """
    kinds = calculator.kinds(versions)
    kind = next((one for one in kinds if one.type == access.asked(request, "type")), kinds[0] if kinds else None)
    if kind is None:
        return {"kinds": [], "kind": None, "comparisons": []}
    workload, errors = _workload(request, kind)
    by_currency: dict[str, list[PlanVersion]] = {}
    for version in versions if not errors else []:
        by_currency.setdefault(version.plan.currency_id, []).append(version)
    return {
        "kinds": kinds,
        "kind": kind,
        "requests": workload.requests,
        "numbers": [(name, workload.data[name]) for name in kind.numbers],
        "choices": [(name, values, workload.data.get(name, "")) for name, values in kind.choices.items()],
        "errors": errors,
        "comparisons": [_comparison(currency, alike, workload) for currency, alike in sorted(by_currency.items())],
        "days": calculator.DAYS,
    }


def _comparison(currency: str, versions: list[PlanVersion], workload: Workload) -> dict[str, Any]:
    """The plans of one currency, the cheapest first, each with its share of what the dearest costs."""
    costs = sorted((calculator.cost(one, workload) for one in versions), key=_order)
    most = max(one.total for one in costs)
    return {
        "currency": currency,
        "costs": [(one, float(one.total / most) if most else 0.0, _arithmetic(one)) for one in costs],
        "cheaper": _models(versions[0], workload),
    }


def _workload(request: HttpRequest, kind: Kind) -> tuple[Workload, list[str]]:
    """What makes no sense is said, and takes its usual value for showing."""
    errors = []
    requests = parse(reading.typed(access.asked(request, "requests")) or str(REQUESTS))
    if requests is None or not 0 < requests <= calculator.REQUESTS_MAX or requests != requests.to_integral_value():
        most = reading.digits(f"{calculator.REQUESTS_MAX:,}")
        errors.append(_("Requests a day: a whole number from 1 to {most}.").format(most=most))
        requests = Decimal(REQUESTS)
    data: dict[str, Decimal | str] = {}
    for name, usual in kind.numbers.items():
        number = parse(reading.typed(access.asked(request, f"n.{name}")) or str(usual))
        if number is None or number < 0:
            errors.append(_("{name}: a number that is not negative.").format(name=name))
            number = usual
        data[name] = number
    for name, values in kind.choices.items():
        chosen = access.asked(request, f"c.{name}") if f"c.{name}" in request.GET else values[0]
        if chosen in values:
            data[name] = chosen
    return Workload(kind, int(requests), data), errors


def _models(version: PlanVersion, workload: Workload) -> list[tuple[str, Decimal]]:
    """The same work with each model that has prices of its own, the cheapest first."""
    costs = (
        (model, calculator.cost(version, Workload(workload.kind, workload.requests, {**workload.data, "model": model})))
        for model in workload.kind.choices.get("model", [])
    )
    priced = [(model, found.total) for model, found in costs if found.estimate is not None]
    return sorted(priced, key=lambda one: one[1]) if len(priced) > 1 else []


def _order(cost: Cost) -> tuple[bool, Decimal]:
    return cost.estimate is None, cost.total


def _arithmetic(cost: Cost) -> list[tuple[str, str]]:
    if cost.estimate is None:
        return []
    return [
        (charge.meter, words.arithmetic(charge.lines, charge.amount, charge.asset, amounts.VOICE))
        for charge in cost.estimate.charges
    ]
