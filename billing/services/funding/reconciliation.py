"""Our books against the provider's, by our references: what differs is listed with what to do, and what is safe is put
right by the very look-up that a lost message would have led to.

A repair never moves money by itself: it reads the provider's object again and lets the usual rules apply it, once.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing import locks
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum
from billing.errors import BillingError
from billing.gateways import payments
from billing.gateways.payments import Outcome, Refused, Unreachable
from billing.models import Discrepancy, Dispute, PaymentAttempt, Reconciliation, Refund
from billing.services.funding import attempts, disputes, profiles, provider_fees, refunds

logger = logging.getLogger(__name__)

Kind = Discrepancy.Kind
State = Discrepancy.State

SPAN = timedelta(days=3)
"""What the daily comparison looks back on."""
FRESH = timedelta(minutes=15)
"""What is younger may still be on its way."""
OVERLAP = timedelta(days=1)
"""Payments are compared with charges that were made this much before or after the span, too."""
_BAD_END = "Ask the provider what it is. Nothing was booked for it here."


@dataclass(frozen=True, slots=True)
class Found:
    """A difference. ``repair`` reads the provider's object anew; None where staff must decide."""

    kind: str
    object_id: str
    words: str
    happened_at: datetime
    customer_id: UUID | None
    amount: Decimal
    currency: str
    repair: Callable[[], object] | None = None


def run(*, since: datetime | None = None, until: datetime | None = None) -> Reconciliation:
    """Compare the span, three days to a quarter of an hour ago where none is named. Not in a transaction.

    Run twice, the second finds what the first could not put right, and changes nothing else. Raises ``Unreachable``
    or ``Refused`` where the provider cannot be asked: the run is noted as failed.
    """
    gateway = profiles.payments()
    until = until or timezone.now() - FRESH
    since = since or until - SPAN
    made = Reconciliation.objects.create(mode=gateway.mode, since=since, until=until)
    totals = Totals()
    try:
        found = list(_differences(gateway, since, until, totals))
    except (Unreachable, Refused) as trouble:
        _finish(made, Reconciliation.State.FAILED, totals, note=str(trouble))
        raise
    for difference in found:
        made.repaired += _note(made, difference)
    made.found = len(found)
    _forget(made, found)
    _finish(made, Reconciliation.State.DONE, totals)
    return made


def run_daily() -> Reconciliation | None:
    """The day's comparison. None where there was one already, or somebody else is at it."""
    if not profiles.payable():
        return None
    recent = Reconciliation.objects.filter(state=Reconciliation.State.DONE, mode=profiles.payments().mode)
    with transaction.atomic():
        if not locks.only_one("reconciliation"):
            return None
        if recent.filter(started_at__gt=timezone.now() - timedelta(hours=23)).exists():
            return None
    try:
        return run()
    except (Unreachable, Refused) as trouble:
        logger.warning("The provider's books could not be compared: %s", trouble)
        return None


class Totals:
    """What the provider's books came to in the span, by currency."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Decimal]] = {}

    def add(self, currency: str, name: str, amount: Decimal) -> None:
        sums = self._sums.setdefault(currency.upper(), {})
        sums[name] = EXACT.add(sums.get(name, ZERO), amount)

    def plain(self) -> dict[str, dict[str, str]]:
        return {
            currency: {name: amount_string(amount) for name, amount in sums.items()}
            for currency, sums in self._sums.items()
        }


# --- What differs -----------------------------------------------------------------------------------------------------


def _differences(gateway: payments.Provider, since: datetime, until: datetime, totals: Totals) -> Iterator[Found]:
    charged: dict[str, str] = {}
    for charge in gateway.charges(since=since - OVERLAP, until=until + OVERLAP):
        totals.add(charge.currency, "charged", charge.amount)
        if charge.fee is not None:
            totals.add(charge.fee_currency, "fees", charge.fee)
        yield from _of_charge(charge, charged)
    yield from _without_charge(gateway.mode, since, until, charged)
    for refund in gateway.refunds(since=since, until=until):
        totals.add(refund.currency, "paid back", refund.amount)
        yield from _of_refund(refund)
    for dispute in gateway.disputes(since=since, until=until):
        totals.add(dispute.currency, "disputed", dispute.amount)
        yield from _of_dispute(dispute)
    for payout in gateway.payouts(since=since, until=until):
        totals.add(payout.currency, "paid out", ZERO if payout.failed else payout.amount)
        yield from _of_payout(gateway, payout)


def _of_charge(charge: payments.Charge, charged: dict[str, str]) -> Iterator[Found]:
    attempt = attempts.by_reference(charge.reference).first()
    if attempt is None and charge.payment_id:
        attempt = PaymentAttempt.objects.filter(payment_id=charge.payment_id).first()
    if attempt is None:
        yield Found(Kind.CHARGE_FOREIGN, charge.id, _BAD_END, charge.created_at, None, charge.amount, charge.currency)
        return
    key = str(attempt.pk)
    common = (charge.created_at, attempt.customer_id, charge.amount, charge.currency)
    if charged.setdefault(key, attempt.charge_id or charge.id) != charge.id:
        words = f"The payment has {charged[key]} already. Pay this charge back at the provider."
        yield Found(Kind.CHARGE_TWICE, charge.id, words, *common)
    elif (charge.amount, charge.currency) != (attempt.amount, attempt.currency_id):
        asked = f"{amount_string(attempt.amount)} {attempt.currency_id.upper()}"
        words = f"{asked} was asked for. Nothing is credited by itself: pay it back, or put it right by hand."
        yield Found(Kind.CHARGE_AMOUNT, charge.id, words, *common)
    elif attempt.status != PaymentAttempt.Status.SUCCEEDED:
        words = "The money is in and the wallet has it not. It is looked up and credited."
        yield Found(Kind.CHARGE_NOT_CREDITED, charge.id, words, *common, lambda: attempts.look_up(attempt.pk))
    elif charge.fee is not None and (attempt.fee is None or not provider_fees.is_booked(attempt)):
        words = "What the provider kept was not known when the payment came in. It is noted and booked."
        repair = lambda: attempts.note_fee(attempt.pk, charge.fee, charge.fee_currency)  # noqa: E731
        whose = (charge.created_at, attempt.customer_id)
        yield Found(Kind.FEE, charge.id, words, *whose, charge.fee, charge.fee_currency, repair)


def _without_charge(mode: str, since: datetime, until: datetime, charged: dict[str, str]) -> Iterator[Found]:
    paid = PaymentAttempt.objects.filter(
        mode=mode, status=PaymentAttempt.Status.SUCCEEDED, finished_at__gte=since, finished_at__lt=until
    )
    for attempt in paid.iterator():
        # One that took days to settle was charged before the span: it is asked for by itself.
        if str(attempt.pk) in charged or profiles.payments().payment(attempt.payment_id).outcome is Outcome.SUCCEEDED:
            continue
        words = "The wallet was credited, and the provider has no such payment. Look at both before you take it back."
        whose = (attempt.finished_at or since, attempt.customer_id)
        object_id = attempt.payment_id or str(attempt.pk)
        yield Found(Kind.CHARGE_MISSING, object_id, words, *whose, attempt.amount, attempt.currency_id)


def _of_refund(refund: payments.Refund) -> Iterator[Found]:
    ours = Refund.objects.filter(provider_id=refund.id).first() or refunds.by_reference(refund.reference).first()
    if ours is None:
        words = "It was made at the provider: the wallet still holds what was paid back. Take it out by hand."
        known = PaymentAttempt.objects.filter(payment_id=refund.payment_id).first() if refund.payment_id else None
        customer_id = None if known is None else known.customer_id
        yield Found(
            *(Kind.REFUND_FOREIGN, refund.id, words, refund.created_at, customer_id, refund.amount, refund.currency)
        )
        return
    common = (refund.created_at, ours.customer_id, refund.amount, refund.currency)
    if refund.amount != ours.total:
        words = f"{amount_string(ours.total)} left the wallet. Put the difference right by hand."
        yield Found(Kind.REFUND_AMOUNT, refund.id, words, *common)
    elif refunds.stands_as(ours, refund.outcome):
        return
    elif ours.status == Refund.Status.FAILED:
        # It was given up, and nothing leaves that end: what came back may be spent by now.
        words = "It was paid, and what it was for is back in the wallet. Take it out by hand."
        yield Found(Kind.REFUND_STATE, refund.id, words, *common)
    else:
        words = f"It is {refund.outcome} there and {ours.status} here. It is looked up."
        yield Found(Kind.REFUND_STATE, refund.id, words, *common, lambda: refunds.look_up(ours.pk))


def _of_dispute(found: payments.Dispute) -> Iterator[Found]:
    ours = Dispute.objects.filter(provider_id=found.id).first()
    if ours is not None and (ours.status, ours.amount) == (found.standing, found.amount):
        return
    known = PaymentAttempt.objects.filter(payment_id=found.payment_id).first() if found.payment_id else None
    if ours is None and known is None:
        yield Found(Kind.DISPUTE_FOREIGN, found.id, _BAD_END, found.opened_at, None, found.amount, found.currency)
        return
    here = "not known" if ours is None else f"{ours.status} over {amount_string(ours.amount)}"
    there = f"{found.standing} over {amount_string(found.amount)}"
    words = f"It is {there} {found.currency.upper()} there and {here} here. It is looked up."
    owner = ours or known
    assert owner is not None
    repair = lambda: disputes.look_up(found.id)  # noqa: E731
    common = (found.opened_at, owner.customer_id, found.amount, found.currency)
    yield Found(Kind.DISPUTE, found.id, words, *common, repair)


def _of_payout(gateway: payments.Provider, payout: payments.Payout) -> Iterator[Found]:
    """What reached the bank is what came in and went out here, and all of that is known."""
    whose = (payout.created_at, None, payout.amount, payout.currency)
    if payout.failed:
        words = f"It did not reach your bank: {payout.failure or 'no reason is given'}. Look at the bank account there."
        yield Found(Kind.PAYOUT_FAILED, payout.id, words, *whose)
    if payout.failed or not payout.parted:
        return
    parts = list(gateway.payout_parts(payout.id))
    whole = exact_sum(part.net for part in parts)
    known = _known({part.source_id for part in parts})
    foreign = [part for part in parts if part.source_id and part.source_id not in known]
    if whole != payout.amount:
        words = f"Its parts come to {amount_string(whole)} {payout.currency.upper()}. Ask the provider what is missing."
        yield Found(Kind.PAYOUT, payout.id, words, *whose)
    elif foreign:
        net = amount_string(exact_sum(part.net for part in foreign))
        names = ", ".join(part.source_id for part in foreign[:5])
        words = f"{len(foreign)} of its parts, {net} in all, are not known here: {names}. Look at them there."
        yield Found(Kind.PAYOUT, payout.id, words, *whose)


def _known(ids: set[str]) -> set[str]:
    """Of the provider's ids of charges, refunds and disputes, those that are ours."""
    return {
        *PaymentAttempt.objects.filter(charge_id__in=ids).values_list("charge_id", flat=True),
        *Refund.objects.filter(provider_id__in=ids).values_list("provider_id", flat=True),
        *Dispute.objects.filter(provider_id__in=ids).values_list("provider_id", flat=True),
    }


# --- The list ---------------------------------------------------------------------------------------------------------


def _note(made: Reconciliation, found: Found) -> bool:
    """Put the difference on the list, and put it right where that is safe. Returns whether it was."""
    facts = {
        "customer_id": found.customer_id,
        "amount": found.amount,
        "currency": found.currency[:3],
        "words": found.words[:500],
        "happened_at": found.happened_at,
        "state": State.OPEN,
        "last_run": made,
    }
    row, _ = Discrepancy.objects.update_or_create(
        mode=made.mode,
        kind=found.kind,
        object_id=found.object_id[:255],
        defaults=facts,
        create_defaults={**facts, "first_run": made},
    )
    if found.repair is None:
        return False
    try:
        found.repair()
    except (BillingError, Unreachable, Refused, attempts.Mismatch, disputes.NotOurs) as trouble:
        Discrepancy.objects.filter(pk=row.pk).update(words=f"{found.words} That failed: {trouble}"[:500])
        return False
    Discrepancy.objects.filter(pk=row.pk).update(state=State.REPAIRED)
    return True


def _forget(made: Reconciliation, found: list[Found]) -> None:
    """What an earlier run listed of this span, and is found no more, has been put right by somebody."""
    here = {(difference.kind, difference.object_id[:255]) for difference in found}
    listed = Discrepancy.objects.filter(
        mode=made.mode, state=State.OPEN, happened_at__gte=made.since, happened_at__lt=made.until
    )
    gone = [row.pk for row in listed if (row.kind, row.object_id) not in here]
    Discrepancy.objects.filter(pk__in=gone).update(state=State.GONE)


def _finish(made: Reconciliation, state: str, totals: Totals, note: str = "") -> None:
    made.state, made.totals, made.note = state, totals.plain(), note[:300]
    made.finished_at = timezone.now()
    made.save()
