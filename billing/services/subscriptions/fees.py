"""Fees of subscriptions: what is due, paid from the wallet in burn order, and what comes back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.conf import settings

from billing.engine import burndown
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.engine.proration import part
from billing.models import Asset, Balance, Fee, Grant, LedgerEntry, Subscription, SubscriptionPeriod
from billing.selectors.invoicing.invoices import is_void
from billing.services.ledger import giving_back
from billing.services.ledger.book import Transaction
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


@dataclass(frozen=True, slots=True)
class Taken:
    """What a fee took from the wallet and stands: what was owed of it, and fell away with its invoice, does not."""

    entries: Sequence[LedgerEntry]

    @classmethod
    def of(cls, fee: Fee) -> "Taken":
        entries = LedgerEntry.objects.filter(transaction_id=fee.pk, kind="fee").select_related("grant")
        return cls([entry for entry in entries.annotate(void=is_void()) if entry.grant is not None or not entry.void])

    @property
    def amount(self) -> Decimal:
        return exact_sum(entry.amount for entry in self.entries)

    @property
    def beyond(self) -> Decimal:
        """What of it went beyond the grants."""
        return exact_sum(entry.amount for entry in self.entries if entry.grant is None)

    def by_end(self, *, now: datetime) -> list[tuple[datetime | None, list[LedgerEntry]]]:
        """What grants gave, by when that would have expired, the soonest first. Where that is over, it stays as long as
        credit that comes back to a lapsed grant."""
        anew = now + timedelta(days=settings.REINSTATED_CREDIT_DAYS)
        found: dict[datetime | None, list[LedgerEntry]] = {}
        for entry in self.entries:
            if entry.grant is not None:
                end = entry.grant.expires_at
                found.setdefault(anew if end is not None and end <= now else end, []).append(entry)
        return sorted(found.items(), key=lambda group: (group[0] is None, group[0] or now))


def let_off(journal: Journal, paid: Fee, taken: Taken, amount: Decimal) -> Decimal:
    """What of ``amount`` that is credited of a fee nobody gets: it was owed, and given up."""
    balance = journal.balances[paid.customer_id, paid.asset_id]
    return giving_back.let_off(journal, balance, min(taken.beyond, amount))


def give_back(journal: Journal, fee: Fee, taken: Taken) -> None:
    """Credit a part of what a fee had ``taken``.

    What went beyond the grants comes first, and lowers what is owed: grants that paid that since get it back, and
    nobody gets what was given up (``giving_back.lower_debt``). The rest is put into the wallet: a grant for each end of
    the grants that had paid, so that what would have expired still does, at the cost of what was really paid for it.
    """
    balance = journal.balances[fee.customer_id, fee.asset_id]
    head = journal.begin(
        customer_id=fee.customer_id,
        template="fee.credited",
        reference=f"fee:{fee.pk}",
        occurred_at=fee.start,
        transaction_id=fee.pk,
        description=fee.description,
    )
    beyond = min(taken.beyond, fee.amount)
    if beyond > 0:
        # Usage that became cheaper may have lowered the debt: that was paid as well.
        rest = giving_back.lower_debt(journal, head, balance, beyond, charge_id=None)
        balance.lifetime_spent = EXACT.subtract(balance.lifetime_spent, EXACT.subtract(beyond, rest))
        _put_in(journal, head, fee, rest, cost=rest, expires_at=None)
    by_grants, back = EXACT.subtract(taken.amount, taken.beyond), EXACT.subtract(fee.amount, beyond)
    came_from = given = ZERO
    for expires_at, entries in taken.by_end(now=journal.now):
        came_from = EXACT.add(came_from, exact_sum(entry.amount for entry in entries))
        upto = part(back, Fraction(came_from) / Fraction(by_grants), precision=fee.asset.precision)
        amount, given = EXACT.subtract(upto, given), upto
        cost = part(_cost(entries, fee.asset_id), Fraction(back) / Fraction(by_grants), precision=12)
        _put_in(journal, head, fee, amount, cost=cost, expires_at=expires_at)
    close(journal, fee, Fee.State.PAID)


def _put_in(
    journal: Journal, head: Transaction, fee: Fee, amount: Decimal, *, cost: Decimal, expires_at: datetime | None
) -> None:
    if not amount:
        return
    grant = Grant(
        customer_id=fee.customer_id,
        balance_id=journal.balances[fee.customer_id, fee.asset_id].id,
        asset_id=fee.asset_id,
        kind=Grant.Kind.ADJUSTMENT,
        name=fee.description,
        amount=amount,
        remaining=amount,
        effective_at=journal.now,
        expires_at=expires_at,
        paid_amount=cost,
        paid_currency_id=fee.asset_id if cost > 0 else None,
        metadata={"fee": str(fee.pk)},
    )
    journal.grant_value(journal.new_grant(grant), head)


def _cost(entries: Iterable[LedgerEntry], asset: str) -> Decimal:
    """What was paid in money for these units of grants."""
    return exact_sum(
        part(entry.grant.paid_amount, Fraction(entry.amount) / Fraction(entry.grant.amount), precision=12)
        for entry in entries
        if entry.grant is not None and entry.grant.paid_currency_id == asset
    )
