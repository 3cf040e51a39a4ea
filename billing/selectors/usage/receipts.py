"""Why was this charged? Everything that an event came to, from the event to the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from billing.engine import rating
from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, round_half_even
from billing.engine.prices import FromCatalogue, Measure
from billing.engine.rating import ExplainedLine
from billing.models import Asset, Charge, LedgerEntry, Price, UsageEvent
from billing.selectors.catalog.catalog import compile_price
from billing.selectors.ledger import corrections
from billing.selectors.ledger.corrections import Shown


@dataclass(frozen=True, slots=True)
class ReceiptDraw:
    """What one grant paid of a charge, negative where it got that back; without a grant it came from the overdraft.

    Of units that were bought, ``rate`` is what was paid for one, in ``currency``, and ``worth`` what these come to.
    Without them nothing was paid, or the asset is the currency itself.
    """

    grant_id: UUID | None
    name: str
    amount: Decimal
    currency: str | None = None
    rate: Decimal | None = None
    worth: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ReceiptCharge:
    """A charge with the price that was applied, and the lines of how the one follows from the other."""

    meter: str
    quantity: Decimal
    asset: str
    amount: Decimal
    plan: str
    plan_version: int
    price: Price
    lines: Sequence[ExplainedLine]
    waived: Decimal | None
    """What was used and is not charged, for the run failed."""
    late: bool
    """It came after its period was settled, and counts in the one that was open."""
    dimensions: Mapping[str, str]
    draws: Sequence[ReceiptDraw]


@dataclass(frozen=True, slots=True)
class Receipt:
    """All of it. ``cost`` is what was charged at first and ``net_cost`` what of it stands, by asset code.

    ``entries`` are those of the charge, and then those of the corrections.
    """

    charges: Sequence[ReceiptCharge]
    entries: Sequence[LedgerEntry]
    cost: Mapping[str, Decimal]
    net_cost: Mapping[str, Decimal]
    corrections: Sequence[Shown]
    in_money: Mapping[str, Decimal] = field(default_factory=dict)
    """What was charged at first in money, by currency: units that were bought at what was paid for them."""


def of(event: UsageEvent) -> Receipt:
    """The receipt of a recorded event; empty for one that was refused."""
    return of_all(event.customer_id, [event])[event.pk]


def of_all(customer_id: UUID, events: Sequence[UsageEvent]) -> dict[UUID, Receipt]:
    """The receipts of a customer's events, by their ids: as many statements for all of them as for one."""
    corrected = corrections.of_all(customer_id, [event.pk for event in events])
    event_of = {event.pk: event.pk for event in events}
    event_of |= {each.correction.pk: event_id for event_id, shown in corrected.items() for each in shown}
    entries: dict[UUID, list[LedgerEntry]] = {event.pk: [] for event in events}
    booked = LedgerEntry.objects.filter(transaction_id__in=list(event_of), customer_id=customer_id)
    for entry in booked.select_related("grant").order_by("transaction_id", "asset_id", "seq"):
        entries[event_of[entry.transaction_id]].append(entry)
    charges: dict[UUID, list[Charge]] = {event.pk: [] for event in events}
    for charge in (
        Charge.objects.filter(event__in=events, customer_id=customer_id, correction=None)
        .select_related("meter", "price__meter", "price__cached_of", "price__asset", "plan_version__plan")
        .prefetch_related("price__tiers")
        .order_by("id")
    ):
        charges[charge.event_id].append(charge)
    return {event.pk: _receipt(event, charges[event.pk], entries[event.pk], corrected[event.pk]) for event in events}


def _receipt(
    event: UsageEvent, charged: Sequence[Charge], entries: Sequence[LedgerEntry], corrected: Sequence[Shown]
) -> Receipt:
    draws: dict[UUID | None, list[ReceiptDraw]] = {}
    for entry in entries:
        if entry.transaction_id == event.pk:
            draws.setdefault(entry.charge_id, []).append(_draw(entry))
    charges = []
    cost: dict[str, Decimal] = {}
    for charge in charged:
        cost[charge.asset_id] = EXACT.add(cost.get(charge.asset_id, ZERO), charge.amount)
        charges.append(
            ReceiptCharge(
                meter=charge.meter.code,
                quantity=charge.quantity,
                asset=charge.asset_id,
                amount=charge.amount,
                plan=charge.plan_version.plan.code,
                plan_version=charge.plan_version.number,
                price=charge.price,
                lines=explain(charge, event),
                waived=charge.waived,
                late=charge.late,
                dimensions=charge.dimensions,
                draws=draws.get(charge.pk, []),
            )
        )
    net_cost = dict(cost)
    for each in corrected:
        for asset, amount in each.amounts.items():
            net_cost[asset] = EXACT.subtract(net_cost[asset], amount)
    return Receipt(charges, entries, cost, net_cost, corrected, _in_money(charges))


def _draw(entry: LedgerEntry) -> ReceiptDraw:
    grant = entry.grant
    amount = entry.amount if entry.credit == "usage" else EXACT.minus(entry.amount)
    if grant is None:
        return ReceiptDraw(None, "Overdraft", amount)
    if grant.paid_currency_id is None or grant.paid_currency_id == entry.asset_id or not grant.paid_amount:
        return ReceiptDraw(grant.pk, str(grant), amount)
    paid = Fraction(grant.paid_amount) / Fraction(grant.amount)
    rate, worth = (round_half_even(each, precision=DECIMALS_MAX) for each in (paid, paid * Fraction(amount)))
    return ReceiptDraw(grant.pk, str(grant), amount, grant.paid_currency_id, rate, worth)


def _in_money(charges: Sequence[ReceiptCharge]) -> dict[str, Decimal]:
    """What was charged in currencies, and what was paid for the units that paid the rest, by currency."""
    found: dict[str, Decimal] = {}
    for charge in charges:
        if charge.price.asset.kind == Asset.Kind.CURRENCY and charge.asset == charge.price.asset_id:
            found[charge.asset] = EXACT.add(found.get(charge.asset, ZERO), charge.amount)
        for draw in charge.draws:
            if draw.currency is not None and draw.worth is not None:
                found[draw.currency] = EXACT.add(found.get(draw.currency, ZERO), draw.worth)
    return found


def basis(charge: Charge, measure: Measure | None, event: UsageEvent) -> Decimal:
    """What of the event its price ran on: the quantity, an amount that the event brought, or its cost."""
    if isinstance(measure, FromCatalogue):
        return charge.cost or ZERO
    return charge.quantity if measure is None else measure.of(charge.quantity, event.data)


def explain(charge: Charge, event: UsageEvent) -> list[ExplainedLine]:
    """The lines whose amounts add up to the charge. Its price must be loaded, with asset and tiers."""
    if charge.waived is not None:
        return [ExplainedLine("waived", ZERO, charge.waived)]
    if charge.asset_id != charge.price.asset_id:
        return [ExplainedLine("covered", charge.amount, charge.quantity, Decimal(1), Decimal(1))]
    price = compile_price(charge.price)
    before, moved = charge.quantity_before or ZERO, basis(charge, price.measure, event)
    full = rating.charge(price.net, before=before, quantity=moved, precision=price.precision)
    lines = price.explain(before=before, moved=moved, amount=full)
    if full != charge.amount:
        lines.append(ExplainedLine("not_paid" if full < 0 else "refused", EXACT.subtract(charge.amount, full)))
    return lines
