"""Fees of subscriptions: what is due, paid from the wallet in burn order, and what comes back."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from billing.engine import burndown
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.engine.proration import part
from billing.models import Asset, Balance, Fee, Grant, LedgerEntry, Subscription, SubscriptionPeriod
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState
from billing.services.wallet.wallets import ensure_balances


def raise_fee(
    journal: Journal,
    subscription: Subscription,
    period: SubscriptionPeriod,
    *,
    kind: str,
    asset: Asset,
    list_amount: Decimal,
    amount: Decimal,
    start: datetime,
    end: datetime,
    description: str,
) -> Fee:
    """Put down that ``amount`` is due for [``start``, ``end``). It is not paid yet: ``pay`` does that."""
    ensure_balances(journal, [(subscription.customer_id, asset.pk)])
    return Fee.objects.create(
        customer_id=subscription.customer_id,
        subscription=subscription,
        period=period,
        kind=kind,
        asset=asset,
        description=description,
        list_amount=list_amount,
        amount=amount,
        start=start,
        end=end,
        created_at=journal.now,
    )


def pay(journal: Journal, fee: Fee) -> bool:
    """Take the fee from the wallet, whole or not at all: grants in burn order, then the overdraft that staff set.

    What plans allow below zero is for usage. Grants that are restricted to meters pay no fees. False where there is too
    little: the fee stays due.
    """
    balance = journal.balances[fee.customer_id, fee.asset_id]
    draws = burndown.draw(balance.sources, fee.amount, meter=None, moment=journal.now, overdraft=_room(balance))
    if draws is None:
        return False
    head = journal.begin(
        customer_id=fee.customer_id,
        template="fee.true_up" if fee.kind == Fee.Kind.TRUE_UP else "fee.charged",
        reference=f"fee:{fee.pk}",
        occurred_at=fee.start if fee.kind != Fee.Kind.TRUE_UP else fee.end,
        transaction_id=fee.pk,
        description=fee.description,
    )
    journal.draw(head, balance, draws, charge_id=None)
    close(journal, fee, Fee.State.PAID)
    return True


def payable(journal: Journal, customer_id: UUID, asset: str) -> Decimal:
    """What the wallet has for fees in this asset."""
    balance = journal.balances[customer_id, asset]
    return EXACT.add(burndown.payable(balance.sources, meter=None, moment=journal.now), _room(balance))


def _room(balance: BalanceState) -> Decimal:
    """How much of the overdraft fees may take: what is owed or held for usage fills the part that staff set first."""
    if balance.overdraft_room == 0:
        return ZERO
    by_plans = Balance.objects.values_list("plan_overdraft", flat=True).get(pk=balance.id)
    return max(ZERO, EXACT.subtract(balance.overdraft_room, by_plans))


def close(journal: Journal, fee: Fee, state: str) -> None:
    fee.state, fee.closed_at = state, journal.now
    fee.save(update_fields=["state", "closed_at"])


def give_back(journal: Journal, fee: Fee, *, paid: Fee, share: Fraction) -> None:
    """Put a credit into the wallet, as a grant without an end. What was really paid for it goes along as its cost."""
    balance = journal.balances[fee.customer_id, fee.asset_id]
    cost = part(_cost(paid), share, precision=12)
    grant = Grant(
        customer_id=fee.customer_id,
        balance_id=balance.id,
        asset_id=fee.asset_id,
        kind=Grant.Kind.ADJUSTMENT,
        name=fee.description,
        amount=fee.amount,
        remaining=fee.amount,
        effective_at=journal.now,
        paid_amount=cost,
        paid_currency_id=fee.asset_id if cost > 0 else None,
        metadata={"fee": str(fee.pk)},
    )
    state = journal.new_grant(grant)
    head = journal.begin(
        customer_id=fee.customer_id,
        template="fee.credited",
        reference=f"fee:{fee.pk}",
        occurred_at=fee.start,
        transaction_id=fee.pk,
        description=fee.description,
    )
    journal.grant_value(state, head)
    close(journal, fee, Fee.State.PAID)


def _cost(fee: Fee) -> Decimal:
    """What was paid in money for the units that a fee took: the cost of the grants, and all of what was overdrawn."""
    entries = LedgerEntry.objects.filter(transaction_id=fee.pk, kind="fee").select_related("grant")
    costs = (
        entry.amount
        if entry.grant is None
        else part(entry.grant.paid_amount, Fraction(entry.amount) / Fraction(entry.grant.amount), precision=12)
        for entry in entries
        if entry.grant is None or entry.grant.paid_currency_id == fee.asset_id
    )
    return exact_sum(costs)
