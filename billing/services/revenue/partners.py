"""Revenue share: what partners get of what the customers pay whom they brought, day by day, from closed days alone.

For each closed day the month so far is shared anew, and what that is more (or less) than was accrued before is accrued:
any number of days come to exactly the month's share, and running it twice adds nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from accounts.services import audit
from billing.engine import recognition, sharing
from billing.engine.currencies import places
from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, amount_string, exact_sum
from billing.engine.taxes import shares
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import (
    Approval,
    Asset,
    Customer,
    LedgerEntry,
    Partner,
    PartnerAccrual,
    PartnerCustomer,
    PartnerPayout,
    RevenueDay,
)
from billing.selectors.revenue import revenue_days
from billing.services import four_eyes, one_by_one
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried

_CREDITED = {
    Partner.Base.REVENUE: {"usage": 1, "fees": 1},
    Partner.Base.USAGE: {"usage": 1},
    Partner.Base.PAYMENTS: {"cash_clearing": -1, "tax_payable": -1, "refunds": -1, "disputed": -1},
}
"""What counts of an amount that a line of the journal credits to an account; debited, the opposite."""
_NOT_SHARED = [*recognition.MEMO, "passed"]


def create(
    *,
    actor: audit.Actor,
    code: str,
    name: str,
    currency: Asset,
    base: str,
    volumes: Sequence[Decimal],
    rates: Sequence[Decimal],
    starts_on: date,
    mode: str = sharing.VOLUME,
) -> Partner:
    """A partner with the rates of their share. Raises ``InvalidRequest`` for rates that make no sense."""
    if len(volumes) != len(rates) or not rates or volumes[0] != 0 or sorted(set(volumes)) != list(volumes):
        raise InvalidRequest.field("volumes", "begin with 0 and go up, one for each rate")
    if not all(0 <= rate <= 1 for rate in rates):
        raise InvalidRequest.field("rates", "are shares from 0 to 1: 0.10 is 10 %")
    if currency.kind != Asset.Kind.CURRENCY:
        raise InvalidRequest.field("currency", "must be a currency")
    if base not in Partner.Base.values or mode not in Partner.Mode.values:
        raise InvalidRequest.field("base", "is not one of those that there are")
    try:
        with transaction.atomic():
            partner = Partner.objects.create(
                code=code,
                name=name,
                currency=currency,
                base=base,
                mode=mode,
                steps=[[amount_string(each) for each in step] for step in zip(volumes, rates, strict=True)],
                starts_on=starts_on,
            )
            _trail(actor, "partner.created", partner, base=base, rates=", ".join(map(str, rates)))
    except IntegrityError as error:
        raise AlreadyExists(f"There is a partner {code} already.") from error
    return partner


def bring(
    *, actor: audit.Actor, partner: Partner, customer: Customer, starts_on: date | None = None
) -> PartnerCustomer:
    """Note that the partner brought this customer, for good. From ``starts_on`` on it counts: today where it is None.

    Raises ``AlreadyExists`` where somebody brought it, ``InvalidRequest`` for a day of a month that is over: that is
    shared already.
    """
    today = timezone.localdate()
    first = starts_on or today
    if first < today.replace(day=1):
        raise InvalidRequest.field("starts_on", "must not be in a month that is over")
    try:
        with transaction.atomic():
            brought = PartnerCustomer.objects.create(partner=partner, customer=customer, starts_on=first)
            _trail(actor, "partner.brought", partner, customer=customer.external_id, starts_on=first.isoformat())
    except IntegrityError as error:
        raise AlreadyExists(f"{customer.external_id} was brought by a partner already.") from error
    return brought


def steps(partner: Partner) -> list[sharing.Step]:
    """The partner's rates, by the volume from which they hold."""
    return [sharing.Step(Decimal(volume), Decimal(rate)) for volume, rate in partner.steps]


def accrue_due() -> int:
    """Accrue every closed day that is not accrued yet, for every partner. Returns how many days. Safe to run twice.

    A further version of the last one, which was reopened, is accrued as well.
    """
    count = 0
    for partner in Partner.objects.order_by("id"):
        days = revenue_days.final().filter(date__gte=partner.accrued_on or partner.starts_on)
        with one_by_one.apart("share of partner", partner.pk):
            for day in days.order_by("date"):
                count += accrue(partner, day)
    return count


@retried
def accrue(partner: Partner, day: RevenueDay) -> bool:
    """Accrue one closed day, after those before it: one transaction, in the ledger as partner_payable.

    False where it was accrued before.
    """
    with transaction.atomic():
        locked = Partner.objects.select_for_update().get(pk=partner.pk)
        if locked.accrued_on is not None and (locked.accrued_on, locked.accrued_version) >= (day.date, day.version):
            return False
        month = max(day.date.replace(day=1), partner.starts_on)
        bases = _bases(partner, first=month, last=day.date)
        volume = exact_sum(bases.values())
        whole = sharing.share(volume, steps(partner), mode=partner.mode)
        customers = sorted(bases)
        parts = shares(whole, [bases[customer] for customer in customers], places=DECIMALS_MAX)
        before = {
            row["customer_id"]: row
            for row in partner.accruals.filter(date__gte=month, date__lte=day.date)
            .values("customer_id")
            .annotate(shared=Sum("amount"), counted=Sum("base"))
            .order_by()
        }
        none = {"shared": ZERO, "counted": ZERO}
        rows = [
            PartnerAccrual(
                partner=partner,
                customer_id=customer,
                date=day.date,
                version=day.version,
                base=EXACT.subtract(bases[customer], before.get(customer, none)["counted"]),
                amount=EXACT.subtract(part, before.get(customer, none)["shared"]),
            )
            for customer, part in zip(customers, parts, strict=True)
        ]
        PartnerAccrual.objects.bulk_create(row for row in rows if row.base or row.amount)
        _post(partner, day, [row for row in rows if row.amount])
        locked.accrued_on, locked.accrued_version = day.date, day.version
        locked.save(update_fields=["accrued_on", "accrued_version"])
    return True


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of a partner's: what their share is of, and what it came to."""

    month: date
    base: Decimal
    share: Decimal


def statement(partner: Partner) -> list[Statement]:
    """The partner's months, the newest first."""
    rows = (
        partner.accruals.annotate(month=TruncMonth("date"))
        .values("month")
        .annotate(base=Sum("base"), share=Sum("amount"))
        .order_by("-month")
    )
    return [Statement(row["month"], row["base"], row["share"]) for row in rows]


def payable(partner: Partner, upto: date) -> Decimal:
    """What is to be paid out for the days up to and with that one, in whole coins."""
    accrued = partner.accruals.filter(date__lte=upto).aggregate(sum=Sum("amount"))["sum"] or ZERO
    paid = partner.payouts.aggregate(sum=Sum("amount"))["sum"] or ZERO
    coins = places(partner.currency_id)
    return max(ZERO, EXACT.subtract(accrued, paid)).quantize(Decimal(1).scaleb(-coins), rounding=ROUND_DOWN)


@retried
def pay_out(
    *,
    actor: audit.Actor,
    partner: Partner,
    upto: date,
    amount: Decimal,
    reference: str,
    approval: Approval | None = None,
) -> PartnerPayout:
    """Note that ``amount``, all that is payable up to that day, was paid out. No payout is up to an earlier day then.

    Raises ``InvalidRequest`` for a day that is ahead, ``InvalidState`` where nothing or something else is payable,
    and ``ApprovalRequired`` (``four_eyes``).
    """
    if upto > timezone.localdate():
        raise InvalidRequest.field("upto", "must not be ahead")
    with transaction.atomic():
        Partner.objects.select_for_update().get(pk=partner.pk)
        due = payable(partner, upto)
        if due <= 0 or partner.payouts.filter(upto__gte=upto).exists():
            raise InvalidState(f"Nothing is to be paid out to {partner.name} up to {upto}.")
        if amount != due:
            what = f"{amount_string(due)} {partner.currency_id}"
            raise InvalidState(f"By now {what} is to be paid out to {partner.name} up to {upto}.")
        payout = PartnerPayout.objects.create(partner=partner, upto=upto, amount=amount, reference=reference)
        unpaid = _unpaid(partner, upto)
        parts = shares(amount, list(unpaid.values()), places=places(partner.currency_id))
        journal = Journal.open(list(unpaid))
        for customer, part in zip(unpaid, parts, strict=True):
            if part:
                head = journal.begin(
                    customer_id=customer,
                    template="partner.paid",
                    reference=f"payout:{payout.pk}",
                    occurred_at=journal.now,
                    description=f"Share of {partner.name}, up to {upto}"[:200],
                )
                journal.post_beside(head, customer, partner.currency_id, "paid", part)
        journal.write()
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.PARTNER_PAYOUT,
            amounts={partner.currency_id: amount},
            approval=approval,
        )
        _trail(actor, "partner.paid_out", partner, amount=amount_string(amount), reference=reference)
    return payout


def _unpaid(partner: Partner, upto: date) -> dict[UUID, Decimal]:
    """What of the share in each customer is not paid out yet, where that is more than nothing."""
    accrued = partner.accruals.filter(date__lte=upto).values_list("customer_id").annotate(Sum("amount"))
    shared = dict(accrued.order_by("customer_id"))
    payouts = [f"payout:{payout}" for payout in partner.payouts.values_list("pk", flat=True)]
    paid = LedgerEntry.objects.filter(transaction__customer_id__in=shared, transaction__reference__in=payouts)
    paid_out = dict(paid.values_list("customer_id").annotate(Sum("amount")).order_by())
    rest = {customer: EXACT.subtract(amount, paid_out.get(customer, ZERO)) for customer, amount in shared.items()}
    return {customer: amount for customer, amount in rest.items() if amount > 0}


def _bases(partner: Partner, *, first: date, last: date) -> dict[UUID, Decimal]:
    """What the share is of, for each customer, over closed days."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.customer_id, COALESCE(SUM(r.amount * (COALESCE((%(counted)s::jsonb ->> r.credit)::int, 0)"
            "                                             - COALESCE((%(counted)s::jsonb ->> r.debit)::int, 0))), 0)"
            "  FROM billing_partnercustomer c"
            " LEFT JOIN (billing_recognition r JOIN billing_revenueday d ON d.id = r.day_id)"
            "   ON r.customer_id = c.customer_id AND r.currency_id = %(currency)s AND d.date >= c.starts_on"
            "  AND r.movement <> ALL(%(not_shared)s) AND r.day_id = ANY(%(days)s)"
            " WHERE c.partner_id = %(partner)s GROUP BY c.customer_id",
            {
                "partner": partner.pk,
                "currency": partner.currency_id,
                "counted": json.dumps(_CREDITED[Partner.Base(partner.base)]),
                "not_shared": _NOT_SHARED,
                "days": [*revenue_days.final().filter(date__range=(first, last)).values_list("pk", flat=True)],
            },
        )
        return dict(cursor.fetchall())


def _post(partner: Partner, day: RevenueDay, rows: Sequence[PartnerAccrual]) -> None:
    if not rows:
        return
    journal = Journal.open([row.customer_id for row in rows])
    for row in rows:
        head = journal.begin(
            customer_id=row.customer_id,
            template="partner.accrued",
            reference=f"partner:{partner.pk}:{day.date}" + (f":{day.version}" if day.version > 1 else ""),
            occurred_at=min(day.end, journal.now),
            description=f"Share of {partner.name}, {day.date}"[:200],
        )
        name = "accrued" if row.amount > 0 else "taken_back"
        journal.post_beside(head, row.customer_id, partner.currency_id, name, row.amount.copy_abs())
    journal.write()


def _trail(actor: audit.Actor, action: str, partner: Partner, **facts: str) -> None:
    audit.record(actor=actor, action=action, object_type="partner", object_id=partner.code, after=facts)
