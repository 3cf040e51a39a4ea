"""Grants that come again each period, beside any plan: agreed once, made by the worker, each exactly once.

The rule for what a worker missed: every period gets its own row, with its own dates, the oldest first. One that is
over by then is granted only as far as it carries on: all of what never expires, and as much as rolls over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import EXACT, ZERO, amount_string, decimals, exact_sum
from billing.engine.periods import IN_A_YEAR, period
from billing.errors import InvalidRequest, InvalidState
from billing.models import Approval, Asset, Customer, Grant, RecurringGrant, RecurringGrantPeriod
from billing.services import four_eyes
from billing.services.ledger import sweeping
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.wallet import issuing

SWEEP_MAX = 500
TIMES_MAX = 10_000
PRIORITY = 40
"""Before what was bought, as what a plan includes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is given, how often and for how long. ``times`` is how many periods, ``ends_at`` when none starts any more.

    What is left of a grant expires with its period where it ``lapses``; of that, as much as ``rollover_limit`` comes
    again with the next one.
    """

    asset: Asset
    amount: Decimal
    interval: str
    kind: str = RecurringGrant.Kind.ALLOWANCE
    name: str = ""
    priority: int = PRIORITY
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    times: int | None = None
    lapses: bool = True
    rollover_limit: Decimal = ZERO
    applies_to: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ``InvalidRequest`` for terms that cannot be."""
        for name, amount in (("amount", self.amount), ("rollover_limit", self.rollover_limit)):
            if decimals(amount) > self.asset.precision:
                raise InvalidRequest.field(name, f"{self.asset.code} has at most {self.asset.precision} decimals")
        if self.amount <= 0:
            raise InvalidRequest.field("amount", "must be greater than zero")
        if self.rollover_limit > 0 and not self.lapses:
            raise InvalidRequest.field("rollover_limit", "is for what expires with its period")
        if self.times is not None and not 1 <= self.times <= TIMES_MAX:
            raise InvalidRequest.field("times", f"must be from 1 to {TIMES_MAX:,}")

    def given(self) -> Decimal:
        """What it gives within a year, or until it ends, if that is after fewer ``times``."""
        return EXACT.multiply(self.amount, min(self.times or TIMES_MAX, IN_A_YEAR[self.interval]))


@retried
def create(
    *, actor: audit.Actor, customer: Customer, terms: Terms, reason: str = "", approval: Approval | None = None
) -> RecurringGrant:
    """Give the customer that, from ``starts_at`` (now) on; a first grant that is due is made here.

    Periods are counted in the customer's time zone of today. What it gives within a year counts as moved by hand:
    ``ApprovalRequired`` (``four_eyes``). Raises ``InvalidRequest`` for terms that cannot be, or a start that is over.
    """
    terms.check()
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        starts_at = terms.starts_at or journal.now
        # What was asked for in time may be approved later: what began meanwhile is granted then.
        if starts_at < journal.now and approval is None:
            raise InvalidRequest.field("starts_at", "must not lie in the past")
        if terms.ends_at is not None and terms.ends_at <= starts_at:
            raise InvalidRequest.field("ends_at", "must be after starts_at")
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.GRANT,
            amounts={terms.asset.pk: terms.given()},
            customer_id=customer.pk,
            approval=approval,
        )
        # Somebody may change the customer's zone at this moment: it is read once, here.
        zone = Customer.objects.values_list("timezone", flat=True).get(pk=customer.pk)
        made = drawn_up(customer, terms, starts_at=starts_at, zone=zone)
        made.save()
        if starts_at <= journal.now:
            _issue(journal, made)
        journal.write()
        _record(actor, made, customer, "created", reason, **_said(made))
    return made


def drawn_up(customer: Customer, terms: Terms, *, starts_at: datetime, zone: str) -> RecurringGrant:
    """The row as it would be, not saved."""
    fields = {name: getattr(terms, name) for name in Terms.__dataclass_fields__ if name != "starts_at"}
    return RecurringGrant(customer=customer, starts_at=starts_at, timezone=zone, next_at=starts_at, **fields)


def periods_of(recurring: RecurringGrant) -> Iterator[tuple[datetime, datetime]]:
    """Its periods from ``next_at`` on, as [start, end), without an end of their own."""
    start = recurring.next_at
    while start is not None:
        start, end = _bounds(recurring, start)
        yield start, end
        start = end if recurring.ends_at is None or end < recurring.ends_at else None


def pause(*, actor: audit.Actor, recurring: RecurringGrant, reason: str = "") -> RecurringGrant:
    """Let it rest. Raises ``InvalidState`` where it is over or rests already."""

    def change(row: RecurringGrant, now: datetime) -> None:
        _refuse_unless(row, now, RecurringGrant.Status.ACTIVE, RecurringGrant.Status.SCHEDULED)
        row.paused_at = now

    return _change(actor, recurring, "paused", reason, change)


def resume(*, actor: audit.Actor, recurring: RecurringGrant, reason: str = "") -> RecurringGrant:
    """Let it go on. A period that began while it rested is not granted.

    Raises ``InvalidState`` where it does not rest.
    """

    def change(row: RecurringGrant, now: datetime) -> None:
        _refuse_unless(row, now, RecurringGrant.Status.PAUSED)
        row.paused_at = None
        assert row.next_at is not None
        if row.next_at <= now:
            _, end = _bounds(row, now)
            row.next_at = end if row.ends_at is None or end < row.ends_at else None

    return _change(actor, recurring, "resumed", reason, change)


def cancel(*, actor: audit.Actor, recurring: RecurringGrant, reason: str = "") -> RecurringGrant:
    """Give nothing more; what was given stays. Raises ``InvalidState`` where it is over already."""

    def change(row: RecurringGrant, now: datetime) -> None:
        status = RecurringGrant.Status
        _refuse_unless(row, now, status.ACTIVE, status.SCHEDULED, status.PAUSED)
        row.canceled_at, row.next_at = now, None

    return _change(actor, recurring, "canceled", reason, change)


def issue_due() -> int:
    """Make every grant whose time has come, in order, one after the other. Returns how many periods were done."""
    done = 0
    skipped: set[UUID] = set()
    while True:
        due = (
            RecurringGrant.objects.filter(next_at__lte=timezone.now(), paused_at=None)
            .exclude(pk__in=skipped)
            .order_by("next_at", "pk")
            .values_list("pk", "customer_id")[:SWEEP_MAX]
        )
        found = list(due)
        if not found:
            return done
        for recurring_id, customer_id in found:
            issued = sweeping.alone(customer_id, partial(_issue_next, recurring_id), what="recurring grants")
            done += issued
            if not issued:
                skipped.add(recurring_id)


def _issue_next(recurring_id: UUID, journal: Journal) -> int:
    # Read again under the lock: somebody else may have been here.
    recurring = RecurringGrant.objects.select_related("asset").get(pk=recurring_id)
    if recurring.next_at is None or recurring.next_at > journal.now or recurring.paused_at is not None:
        return 0
    _issue(journal, recurring)
    return 1


def _issue(journal: Journal, recurring: RecurringGrant) -> None:
    """Make the grant of the period that starts at ``next_at``, which has come, and say when the next one does."""
    assert recurring.next_at is not None
    last = recurring.periods.order_by("-number").first()
    start, end = _bounds(recurring, recurring.next_at)
    grant = carried = None
    over_already = recurring.lapses and end <= journal.now
    amount = min(recurring.amount, recurring.rollover_limit) if over_already else recurring.amount
    if amount > 0:
        grant = _grant(journal, recurring, amount, start, end)
        left = ZERO if last is None else min(_left_over(journal, last), recurring.rollover_limit)
        if left > 0:
            carried = _grant(journal, recurring, left, start, end, kind=Grant.Kind.ROLLOVER)
    number = 1 if last is None else last.number + 1
    RecurringGrantPeriod.objects.create(
        customer_id=recurring.customer_id,
        recurring=recurring,
        number=number,
        start=start,
        end=end,
        grant=grant,
        carried=carried,
    )
    over = number == recurring.times or (recurring.ends_at is not None and recurring.ends_at <= end)
    recurring.next_at = None if over else end
    recurring.save(update_fields=["next_at"])


def _grant(
    journal: Journal, recurring: RecurringGrant, amount: Decimal, start: datetime, end: datetime, kind: str = ""
) -> Grant:
    return issuing.issue(
        journal,
        customer_id=recurring.customer_id,
        asset=recurring.asset,
        amount=amount,
        kind=kind or recurring.kind,
        name=recurring.name,
        priority=recurring.priority,
        effective_at=start,
        expires_at=end if recurring.lapses else None,
        applies_to=recurring.applies_to,
        metadata=recurring.metadata,
    )


def _left_over(journal: Journal, before: RecurringGrantPeriod) -> Decimal:
    """What of the period's grants expired unused. What is held stays where it is."""
    ids = [id_ for id_ in (before.grant_id, before.carried_id) if id_ is not None]
    stored = dict(Grant.objects.filter(pk__in=ids).values_list("id", "expired"))
    return exact_sum(journal.grants[id_].expired if id_ in journal.grants else stored[id_] for id_ in ids)


def _bounds(recurring: RecurringGrant, moment: datetime) -> tuple[datetime, datetime]:
    """The period that holds ``moment``."""
    zone = ZoneInfo(recurring.timezone)
    return period(moment, anchor=recurring.starts_at, interval=recurring.interval, zone=zone)


def _refuse_unless(row: RecurringGrant, now: datetime, *wanted: RecurringGrant.Status) -> None:
    status = row.status_at(now)
    if status not in wanted:
        raise InvalidState(f"The recurring grant is {status}.", status=status.value)


@retried
def _change(actor: audit.Actor, recurring: RecurringGrant, what: str, reason: str, change: Any) -> RecurringGrant:
    """Change the row under its customer's locks, which a worker that grants holds too."""
    with transaction.atomic():
        journal = Journal.open([recurring.customer_id])
        journal.write()
        row = RecurringGrant.objects.select_related("customer", "asset").get(pk=recurring.pk)
        change(row, journal.now)
        row.save(update_fields=["next_at", "paused_at", "canceled_at"])
        _record(actor, row, row.customer, what, reason)
    return row


def _said(made: RecurringGrant) -> dict[str, Any]:
    return {
        "asset": made.asset_id,
        "amount": amount_string(made.amount),
        "interval": made.interval,
        "kind": made.kind,
        **({"times": made.times} if made.times else {}),
    }


def _record(actor: audit.Actor, row: RecurringGrant, customer: Customer, what: str, reason: str, **after: Any) -> None:
    audit.record(
        actor=actor,
        action=f"recurring_grant.{what}",
        object_type="recurring_grant",
        object_id=str(row.pk),
        organization_id=customer.organization_id,
        after={"customer": customer.external_id, **after, **({"reason": reason} if reason else {})},
    )
