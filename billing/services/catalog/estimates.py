"""What would this cost? The same engine, the same wallet, the same running quantities, and nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from accounts.ids import uuid7
from billing.engine import rating as engine
from billing.engine.metering import BadQuantity
from billing.engine.money import EXACT, LIMIT, ZERO
from billing.engine.prices import Discounted, PerEvent, Share, terms
from billing.engine.rating import ExplainedLine
from billing.errors import InvalidRequest
from billing.models import Grant, PlanVersion
from billing.services.catalog import prices
from billing.services.ledger.posting import Journal
from billing.services.usage import IncomingEvent, rating
from billing.services.usage.counters import Counters
from billing.services.usage.drawing import Drawing, Piece
from billing.services.usage.recording import Recording
from billing.services.usage.renewing import renewed_first

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage that is only thought of: ``count`` events of the same data."""

    type: str
    data: Mapping[str, Any]
    count: int = 1


@dataclass(frozen=True, slots=True)
class EstimatedCharge:
    """What one meter's part would cost, and how that follows from its price."""

    meter: str
    quantity: Decimal
    asset: str
    amount: Decimal
    plan: str
    plan_version: int
    lines: Sequence[ExplainedLine]


@dataclass(slots=True)
class Estimate:
    """All of it; ``cost`` is by asset code."""

    charges: list[EstimatedCharge] = field(default_factory=list)
    cost: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceEstimate:
    """What a quantity would cost at a price that need not exist."""

    amount: Decimal
    asset: str
    lines: Sequence[ExplainedLine]


def of_price(
    *,
    price: prices.PriceTerms,
    quantity: Decimal,
    already_used: Decimal = ZERO,
    discount: Decimal = ZERO,
) -> PriceEstimate:
    """What ``quantity`` would cost on top of ``already_used``.

    For prices by the event it is one event's quantity; for ``cost_plus`` the provider's cost, for ``event`` the amount
    that the event would name.

    Raises ``InvalidRequest`` for a price that makes no sense, or a quantity beyond what the books hold.
    """
    try:
        prices.check_one(price)
    except terms.BadPrice as bad:
        raise InvalidRequest.field(f"price.{bad.field}", bad.detail, code=bad.code) from bad
    if EXACT.add(quantity, already_used) >= LIMIT:
        raise InvalidRequest.field("quantity", "is beyond 18 digits before the point")
    function, measure = terms.function(price), terms.measure(price)
    try:
        basis = measure.of(quantity, {}) if isinstance(measure, PerEvent | Share) else quantity
    except BadQuantity as bad:
        raise InvalidRequest.field("quantity", bad.detail) from bad
    precision = price.asset.precision
    lines = engine.explain(function, before=already_used, quantity=basis, precision=precision)
    amount = engine.charge(function, before=already_used, quantity=basis, precision=precision)
    if discount:
        net = Discounted(function, discount)
        after = engine.charge(net, before=already_used, quantity=basis, precision=precision)
        lines.append(ExplainedLine("discount", EXACT.subtract(after, amount)))
        amount = after
    if not -LIMIT < amount < LIMIT:
        raise InvalidRequest.field("quantity", "costs more than 18 digits before the point")
    return PriceEstimate(amount, price.asset.pk, lines)


def for_customer(*, event: IncomingEvent, usage: Sequence[Usage]) -> Estimate:
    """What ``usage`` would cost the customer ``event.subject`` now, one after the other.

    By the plan and its discount, what the period stands at, what allowances cover. Whether the wallet suffices plays
    no part.

    Raises what recording would refuse with: ``UnpricedUsage``, ``InvalidRequest``, ``PermissionDenied``.
    """
    with transaction.atomic():
        recording = renewed_first(partial(_read, event))
        payer = recording.payers[event.subject]
        lines = _lines(recording, payer, event, usage)
        recording.ensure_balances(event, lines)
        recording.read_values((payer.id, line) for line in lines)
        drawing = Drawing(recording.journal, recording.counters, payer.id, lines)
        drawing.take(beyond=True)
        estimate = _estimate(drawing.pieces)
        # The periods and grants that were due, and the balances that were missing, are for somebody else to write.
        transaction.set_rollback(True)
    return estimate


def _read(event: IncomingEvent, renewing: bool) -> Recording:
    with transaction.atomic():
        return Recording.open([event], renewing=renewing)


def for_plan(*, version: PlanVersion, usage: Sequence[Usage], event: IncomingEvent) -> Estimate:
    """What ``usage`` would cost a new customer of the plan, in a period with all its allowances. The base fee is not
    in it."""
    nobody, now = uuid7(), timezone.now()
    utc = ZoneInfo("UTC")
    subscribed = rating.Subscribed(nobody, version.pk, _ALWAYS, None, now, utc, _ALWAYS)
    payer = rating.Payer(nobody, nobody, event.subject, version.plan.currency_id, utc, False, [subscribed])
    journal, counters = Journal(now), Counters()
    lines = [line for each in usage for line in _times(_rated(event, payer, each, now), each.count)]
    for line in lines:
        journal.suppose_balance(nobody, line.price.asset)
        if line.price.covered_by is not None:
            journal.suppose_balance(nobody, line.price.covered_by)
    for allowance in version.allowances.all():
        journal.suppose_balance(nobody, allowance.asset_id)
        journal.take_in(
            Grant(
                customer_id=nobody,
                asset_id=allowance.asset_id,
                kind=Grant.Kind.ALLOWANCE,
                amount=allowance.amount,
                remaining=allowance.amount,
                effective_at=now,
                posted=True,
                created_at=now,
            )
        )
    drawing = Drawing(journal, counters, nobody, lines)
    drawing.take(beyond=True)
    return _estimate(drawing.pieces)


def _lines(
    recording: Recording, payer: rating.Payer, event: IncomingEvent, usage: Sequence[Usage]
) -> list[rating.Line]:
    return [line for each in usage for line in _times(_rated(event, payer, each, recording.journal.now), each.count)]


def _rated(event: IncomingEvent, payer: rating.Payer, usage: Usage, now: datetime) -> list[rating.Line]:
    thought = replace(event, type=usage.type, data=usage.data)
    return rating.lines(thought, payer, occurred_at=event.time or now)


def _times(lines: Sequence[rating.Line], count: int) -> list[rating.Line]:
    """The lines of ``count`` events that are all the same: what adds up is added up, what does not counts once."""
    many = Decimal(count)
    try:
        return [
            replace(line, quantity=EXACT.multiply(line.quantity, many), basis=EXACT.multiply(line.basis, many))
            if line.additive
            else line
            for line in lines
        ]
    except ArithmeticError as bad:
        raise InvalidRequest.field("workload", "comes to more than the books can hold") from bad


def _estimate(pieces: Sequence[Piece]) -> Estimate:
    estimate = Estimate()
    for piece in pieces:
        line = piece.line
        estimate.charges.append(
            EstimatedCharge(
                line.meter,
                piece.rated.quantity,
                piece.asset,
                piece.amount,
                line.plan.plan,
                line.plan.number,
                piece.explain(),
            )
        )
        estimate.cost[piece.asset] = EXACT.add(estimate.cost.get(piece.asset, ZERO), piece.amount)
    return estimate
