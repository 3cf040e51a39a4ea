"""Where money could be saved: the same request again and again, a cheaper model for the same work, many small calls.

From the last thirty days. Repeats and small calls are looked for in the latest ``EVENTS_MAX`` events alone, so that the
answer takes no longer for a customer with many; ``Advice.events`` says how many that were. Nothing is booked by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from accounts.ids import first_id
from billing.engine.costs import UNITS
from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.models import Customer, Subscription
from billing.selectors.catalog.catalog import CompiledMeter, CompiledPlan, compiled_plan
from billing.selectors.usage import usage

DAYS = 30
EVENTS_MAX = 20_000
SHOWN_MAX = 10
FINGERPRINTS = ("prompt_hash", "request_hash", "input_hash")
"""Fields of an event's data that tell a request from others; the first that is there counts."""
SMALL_TOKENS = 300
"""In and out together, below which a call is small."""
SMALL_CALLS_MIN = 100
"""Of the same kind and model in one hour: fewer are not worth a thought."""
SAVING_MIN = Decimal("0.2")
"""Of what the work costs now: a cheaper model that saves less is not named."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same request several times. ``wasted`` is what all but the first of them cost."""

    type: str
    model: str | None
    fingerprint: str
    calls: int
    wasted: Decimal
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Small:
    """Small calls of one kind, ``calls`` of them in the hour with the most; ``tokens`` is their mean."""

    type: str
    model: str | None
    hour: datetime
    calls: int
    tokens: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Cheaper:
    """What a model's work of the time would have cost by another one's prices on the customer's plan."""

    model: str
    instead: str
    amount: Decimal
    then: Decimal

    @property
    def saving(self) -> Decimal:
        return EXACT.subtract(self.amount, self.then)

    @property
    def share(self) -> Decimal:
        """Of the amount, 0 to 1."""
        return self.saving / self.amount


@dataclass(frozen=True, slots=True)
class Advice:
    """All of it, in one asset; each list begins with what would save the most."""

    asset: str
    since: datetime
    events: int
    repeated: Sequence[Repeated]
    small: Sequence[Small]
    cheaper: Sequence[Cheaper]

    @property
    def nothing(self) -> bool:
        return not (self.repeated or self.small or self.cheaper)


def of(customer: Customer, asset: str) -> Advice:
    """What could be saved in this asset."""
    now = timezone.now()
    since = now - timedelta(days=DAYS)
    values: dict[str, Any] = {
        "customer": customer.pk,
        "first": first_id(since),
        "since": since,
        "asset": asset,
        "most": EVENTS_MAX,
        "small": SMALL_TOKENS,
        "calls": SMALL_CALLS_MIN,
        "shown": SHOWN_MAX,
    }
    events, repeated, small = 0, [], []
    with connection.cursor() as cursor:
        cursor.execute(_FOUND, values)
        for what, _, type_, model, fingerprint, at, calls, tokens, amount in cursor:
            if what == "repeated":
                repeated.append(Repeated(type_, model, fingerprint, calls, amount, at))
            elif what == "small":
                small.append(Small(type_, model, at, calls, tokens, amount))
            else:
                events = calls
    return Advice(asset, since, events, repeated, small, _cheaper(customer, asset, since, now)[:SHOWN_MAX])


_FIELDS = ", ".join(f"e.data ->> '{name}'" for name in FINGERPRINTS)


def _tokens(unit: str) -> str:
    """The number of the first field that is there; NULL where none is a number."""
    number = "CASE jsonb_typeof(e.data -> '{0}') WHEN 'number' THEN e.data -> '{0}' END"
    fields = ", ".join(number.format(name) for name in UNITS[unit])
    return f"COALESCE({fields})::numeric"


# What was taken back is off: its charges and their reversals add up to nothing.
_FOUND = f"""
WITH found AS MATERIALIZED (
    SELECT e.id, e.type, e.data ->> 'model' AS model, e.occurred_at, COALESCE({_FIELDS}) AS fingerprint,
           COALESCE({_tokens("input")}, 0) + COALESCE({_tokens("output")}, 0) AS tokens,
           COALESCE({_tokens("input")}, {_tokens("output")}) IS NOT NULL AS counted,
           (SELECT COALESCE(SUM(c.amount), 0) FROM billing_charge c
             WHERE c.event_id = e.id AND c.customer_id = e.customer_id AND c.asset_id = %(asset)s) AS amount
      FROM (SELECT * FROM billing_usageevent
             WHERE customer_id = %(customer)s AND id >= %(first)s AND status <> 'rejected'
             ORDER BY id DESC LIMIT %(most)s) e
     WHERE e.occurred_at >= %(since)s
), repeated AS (
    SELECT type, model, fingerprint, MAX(occurred_at) AS at, COUNT(*) AS calls,
           SUM(amount) - (ARRAY_AGG(amount ORDER BY occurred_at, id))[1] AS amount
      FROM found WHERE fingerprint <> '' AND amount > 0
     GROUP BY type, model, fingerprint HAVING COUNT(*) > 1
), small AS (
    SELECT DISTINCT ON (type, model) type, model, date_trunc('hour', occurred_at, 'UTC') AS at, COUNT(*) AS calls,
           ROUND(AVG(tokens), 0) AS tokens, SUM(amount) AS amount
      FROM found WHERE counted AND tokens < %(small)s AND amount > 0
     GROUP BY type, model, at HAVING COUNT(*) >= %(calls)s
     ORDER BY type, model, calls DESC, at DESC
)
SELECT 'events', 0, NULL, NULL, NULL, NULL::timestamptz, COUNT(*), NULL::numeric, NULL::numeric FROM found
 UNION ALL
(SELECT 'repeated', ROW_NUMBER() OVER (ORDER BY amount DESC, type, model, fingerprint) AS position, type, model,
        fingerprint, at, calls, NULL, amount
   FROM repeated ORDER BY position LIMIT %(shown)s)
 UNION ALL
(SELECT 'small', ROW_NUMBER() OVER (ORDER BY amount DESC, type, model) AS position, type, model,
        NULL, at, calls, tokens, amount
   FROM small ORDER BY position LIMIT %(shown)s)
 ORDER BY 1, 2
"""


def _cheaper(customer: Customer, asset: str, since: datetime, now: datetime) -> list[Cheaper]:
    """For each model that was used, the one with which the same quantities would have cost least, if that is much less.

    Only where every price concerned is linear, so that the sums say exactly what a replay of each event would.
    """
    plan = _plan(customer, now)
    if plan is None:
        return []
    meters = {meter.rule.code: meter for group in plan.meters.values() for meter in group}
    used: dict[str, dict[str, Decimal]] = {}
    amounts: dict[str, Decimal] = {}
    for row in usage.totals(customer_id=customer.pk, start=since, end=now, group_by=["model", usage.METER]):
        model, meter = row.group
        if row.asset == asset and model is not None and meter is not None and row.amount > 0:
            used.setdefault(model, {})[meter] = row.quantity
            amounts[model] = EXACT.add(amounts.get(model, ZERO), row.amount)
    found = []
    for model, quantities in used.items():
        others = [
            (then, other)
            for other in sorted(_models(meters.values()) - {model})
            if (then := _total(meters, quantities, other, asset, now)) is not None
        ]
        then, other = min(others, default=(amounts[model], model))
        if _total(meters, quantities, model, asset, now) is not None and (
            then <= EXACT.multiply(amounts[model], 1 - SAVING_MIN)
        ):
            found.append(Cheaper(model, other, amounts[model], then))
    return sorted(found, key=lambda each: (-each.saving, each.model))


def _plan(customer: Customer, now: datetime) -> CompiledPlan | None:
    """The terms that the customer is on now, the latest subscription's."""
    running = Subscription.objects.filter(customer=customer, starts_at__lte=now)
    latest = running.filter(Q(ends_at=None) | Q(ends_at__gt=now)).order_by("-starts_at", "-id").first()
    return None if latest is None else compiled_plan(latest.plan_version_id)


def _models(meters: Any) -> set[str]:
    """Every model that a price names."""
    return {
        model for meter in meters for row in meter.prices for price in row for model in price.match.get("model", ())
    }


def _total(
    meters: Mapping[str, CompiledMeter], quantities: Mapping[str, Decimal], model: str, asset: str, now: datetime
) -> Decimal | None:
    """What the quantities cost by the model's own prices; None where one of them has none, or none that is linear."""
    parts = list(_parts(meters, quantities, model, asset, now))
    return None if None in parts else exact_sum(filter(None, parts))


def _parts(
    meters: Mapping[str, CompiledMeter], quantities: Mapping[str, Decimal], model: str, asset: str, now: datetime
) -> Iterator[Decimal | None]:
    for code, quantity in quantities.items():
        meter = meters.get(code)
        prices = [] if meter is None else meter.prices_for({"model": model}, now)
        price = next((each for each in prices if each.asset == asset and "model" in each.match), None)
        if price is None or not price.net.linear or price.measure is not None or price.covered_by is not None:
            yield None
            return
        yield round_half_even(Fraction(price.net.total(max(quantity, ZERO))), precision=price.precision)
