"""Giving back to a wallet what usage took from it, to exactly where it came from."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F

from billing.engine import burndown
from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, exact_sum, round_half_even
from billing.errors import InvalidState
from billing.models import Grant, InvoicePayment
from billing.services.ledger.book import Transaction
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState, GrantState


@dataclass(frozen=True, slots=True)
class Part:
    """``amount`` that one grant paid of a charge; where ``grant_id`` is None it was taken beyond the grants."""

    grant_id: UUID | None
    amount: Decimal


def give_back(
    journal: Journal,
    transaction: Transaction,
    balance: BalanceState,
    parts: Sequence[Part],
    *,
    charge_id: UUID | None,
    spent: bool = True,
) -> None:
    """Give back what usage took from this balance: ``parts`` say which grants had paid, and how much each.

    The units go into those very grants; what the customer owes is paid from them first, by the rule of a new
    grant. A grant that has lapsed or was voided gets one replacement, in which they stay usable. What had been
    taken beyond the grants (a part without a grant) lowers what is owed; so far as grants have paid that debt
    since, those get their units back. ``lifetime_spent`` goes down by all of it, ``lifetime_granted`` stays.

    The entries go under ``charge_id``, the charge whose negative amount is the sum of ``parts``. The transaction's
    template must have the postings ``GIVEN_BACK`` of ``engine.postings``. With ``spent`` false it was no usage that
    took it, and did not count as spent.
    """
    journal.load_grants({part.grant_id for part in parts if part.grant_id is not None})
    for part in parts:
        if part.grant_id is None:
            if lower_debt(journal, transaction, balance, part.amount, charge_id=charge_id) > 0:
                raise _given_back_already()
        else:
            state = _put(journal, transaction, part.grant_id, part.amount, "returned", "reinstated", charge_id)
            journal.settle(transaction, state, part.amount)
        if spent:
            balance.lifetime_spent = EXACT.subtract(balance.lifetime_spent, part.amount)
    balance.sources = burndown.burn_order(balance.sources)


def lower_debt(
    journal: Journal, transaction: Transaction, balance: BalanceState, amount: Decimal, *, charge_id: UUID | None
) -> Decimal:
    """Take ``amount`` off what is owed. What grants have paid of it since, they get back first: the latest first.

    What was given up of debts comes before all of them, and into nobody's wallet: who was let off a debt gets nothing
    for it. Returns what neither is owed nor was paid by grants.
    """
    settled, rest = EXACT.subtract(amount, balance.owed), ZERO
    if settled > 0:
        given_up = _given_up(balance)
        paid = sorted(_settlements(journal, balance), key=lambda row: row[0] not in given_up)
        rest = _unsettle(journal, transaction, balance, settled, paid, given_up)
        balance.sources = burndown.burn_order(balance.sources)
    lowered = EXACT.subtract(amount, rest)
    if lowered > 0:
        balance.owed = EXACT.subtract(balance.owed, lowered)
        journal.post(transaction, balance, "forgiven", lowered, charge_id=charge_id)
    return rest


def let_off(journal: Journal, balance: BalanceState, amount: Decimal) -> Decimal:
    """What of ``amount`` goes into nobody's wallet when ``lower_debt`` takes it off: it was given up."""
    settled = EXACT.subtract(amount, balance.owed)
    if amount == 0 or settled <= 0:
        return ZERO
    given_up = _given_up(balance)
    standing = exact_sum(paid for grant_id, paid in _settlements(journal, balance) if grant_id in given_up)
    return min(settled, standing)


def take_up(
    journal: Journal, transaction: Transaction, balance: BalanceState, amount: Decimal, *, charge_id: UUID
) -> Decimal:
    """Of debts that are none after all and were paid since, take ``amount`` off what was given up of such: nobody gets
    anything for that. Returns how much is left."""
    given_up = _given_up(balance)
    if not given_up:
        return amount
    paid = [row for row in _settlements(journal, balance) if row[0] in given_up]
    rest = _unsettle(journal, transaction, balance, amount, paid, given_up)
    if rest < amount:
        taken = EXACT.subtract(amount, rest)
        balance.owed = EXACT.subtract(balance.owed, taken)
        journal.post(transaction, balance, "forgiven", taken, charge_id=charge_id)
    return rest


def _unsettle(
    journal: Journal,
    transaction: Transaction,
    balance: BalanceState,
    amount: Decimal,
    paid: Iterable[tuple[UUID, Decimal]],
    given_up: Collection[UUID],
) -> Decimal:
    """Let ``amount`` be owed again that these grants have paid, in their order; returns what none of them did. What was
    given up goes into nobody's wallet."""
    for grant_id, settled in paid:
        taken = min(amount, settled)
        journal.load_grants({grant_id})
        balance.owed = EXACT.add(balance.owed, taken)
        state = _put(journal, transaction, grant_id, taken, "unsettled", "unsettled_anew", None)
        if grant_id in given_up:
            journal.refund(transaction, state, taken, name="taken_up")
        amount = EXACT.subtract(amount, taken)
        if amount == 0:
            break
    return amount


def _put(
    journal: Journal,
    transaction: Transaction,
    grant_id: UUID,
    amount: Decimal,
    name: str,
    name_anew: str,
    charge_id: UUID | None,
) -> GrantState:
    """Put units back into the grant, or, where its time is over or it had all of them back already, as part of what a
    cheaper tier gave back, into its replacement. Returns where they are now."""
    state = journal.grants[grant_id]
    if amount > state.drawn or _is_over(journal, state):
        state, name = _replacement(journal, state, amount), name_anew
    else:
        state.drawn = EXACT.subtract(state.drawn, amount)
        state.source.remaining = EXACT.add(state.source.remaining, amount)
    state.changed = True
    journal.post(transaction, state.balance, name, amount, grant_id=state.source.id, charge_id=charge_id)
    return state


def _is_over(journal: Journal, state: GrantState) -> bool:
    expires_at = state.source.expires_at
    return state.voided_at is not None or (expires_at is not None and expires_at <= journal.now)


def _given_back_already() -> InvalidState:
    return InvalidState("Of what this took, a later charge at a cheaper tier has given back a part already.")


def _replacement(journal: Journal, lapsed: GrantState, amount: Decimal) -> GrantState:
    """The one grant that stands in for a lapsed one, with ``amount`` more in it: on the same terms and at the same
    cost of a unit, but for its expiry, which is at least ``REINSTATED_CREDIT_DAYS`` away."""
    origin = Grant.objects.get(pk=lapsed.source.id, customer_id=lapsed.balance.customer_id)
    found = (
        Grant.objects.filter(customer_id=origin.customer_id, replaces=origin, voided_at=None)
        .exclude(expires_at__lte=journal.now)
        .order_by("-id")
        .first()
    )
    total = amount if found is None else EXACT.add(found.amount, amount)
    paid = round_half_even(
        Fraction(origin.paid_amount) * Fraction(total) / Fraction(origin.amount), precision=DECIMALS_MAX
    )
    expires_at = None
    if origin.expires_at is not None:
        stays = origin.expires_at
        if _is_over(journal, lapsed):
            stays = journal.now + timedelta(days=settings.REINSTATED_CREDIT_DAYS)
        expires_at = max(stays, origin.expires_at, (found and found.expires_at) or stays)
    if found is not None:
        journal.load_grants({found.pk})
        Grant.objects.filter(pk=found.pk).update(
            amount=total,
            remaining=F("remaining") + amount,
            open=True,
            paid_amount=paid,
            expires_at=expires_at,
        )
        state = journal.grants[found.pk]
        state.amount = total
        state.source.remaining = EXACT.add(state.source.remaining, amount)
        state.source.expires_at = expires_at
        state.source.unit_cost = paid / total
    else:
        found = Grant(
            customer_id=origin.customer_id,
            balance_id=origin.balance_id,
            asset_id=origin.asset_id,
            replaces=origin,
            kind=origin.kind,
            name=origin.name,
            amount=amount,
            remaining=amount,
            priority=origin.priority,
            effective_at=journal.now,
            expires_at=expires_at,
            posted=True,
            applies_to=origin.applies_to,
            paid_amount=paid,
            paid_currency_id=origin.paid_currency_id,
            metadata=origin.metadata,
        )
        state = journal.new_grant(found)
    journal.replaces[found.pk] = origin.pk
    return state


_SETTLED = """
SELECT CASE WHEN e.kind = 'settlement' THEN e.grant_id ELSE g.replaces_id END,
       e.amount * ((e.credit = 'receivable')::int - (e.debit = 'receivable')::int)
  FROM billing_ledgerentry e
  JOIN billing_grant g ON g.id = e.grant_id AND g.customer_id = e.customer_id
 WHERE e.balance_id = %s AND e.kind IN ('settlement', 'reinstatement')
   AND 'receivable' IN (e.debit, e.credit)
 ORDER BY e.seq
"""


def _given_up(balance: BalanceState) -> set[UUID]:
    """The grants with which invoices of this balance were written off."""
    rows = InvoicePayment.objects.filter(
        customer_id=balance.customer_id, invoice__balance_id=balance.id, kind=InvoicePayment.Kind.WRITE_OFF
    )
    return {grant_id for grant_id in rows.values_list("grant_id", flat=True) if grant_id is not None}


def _settlements(journal: Journal, balance: BalanceState) -> Iterable[tuple[UUID, Decimal]]:
    """What grants have paid of the balance's debts and not got back, the one that paid last first."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLED, [balance.id])
        moves: list[tuple[UUID, Decimal]] = cursor.fetchall()
    for entry in journal.entries:
        if entry["balance_id"] == balance.id and entry["kind"] in {"settlement", "reinstatement"}:
            sign = (entry["credit"] == "receivable") - (entry["debit"] == "receivable")
            origin = entry["grant_id"] if entry["kind"] == "settlement" else journal.replaces[entry["grant_id"]]
            moves.append((origin, EXACT.multiply(entry["amount"], Decimal(sign))))
    paid: dict[UUID, Decimal] = {}
    for grant_id, amount in moves:
        total = EXACT.add(paid.pop(grant_id, ZERO), amount)
        if total > 0:
            paid[grant_id] = total  # At the end: it paid last.
    return reversed(paid.items())
