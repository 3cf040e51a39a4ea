"""Posting: what may happen to value in a wallet, each kind of it as a verb of the ``Journal``.

Balances and grants are kept in step in memory, and written with the entries (``book``).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing import pipeline
from billing.engine import burndown
from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, amount_string
from billing.models import Grant
from billing.services import outbox
from billing.services.ledger.book import Book, Transaction
from billing.services.ledger.states import BalanceState, GrantState

_ROOM = 29
"""For what stands behind ``grant:…:expired:`` in a reference."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An amount that is to be paid or set aside, and the meter it is for; None for a plain amount."""

    asset: str
    meter: str | None
    amount: Decimal


class Journal(Book):
    """What can happen to the value in the locked wallets of some customers: each verb moves it and posts that."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.settled_due = 0
        self.replaces: dict[UUID, UUID] = {}
        """The replacements that took something in, and the lapsed grants that they stand in for."""

    @classmethod
    def open(cls, customer_ids: Collection[UUID], *reads: pipeline.Query, skip_locked: bool = False) -> "Journal":
        """Lock the customers' balances, read their open grants, and settle the grants that are due.

        ``reads`` run under the locks as well, in the same round trip. With ``skip_locked`` the customers that somebody
        else has locked are left out, and are in ``busy``.
        """
        journal = cls.read(customer_ids, *reads, skip_locked=skip_locked)
        journal.settled_due = journal._settle_due_grants()
        return journal

    def new_grant(self, grant: Grant) -> GrantState:
        """Store a grant of a locked balance and tell of it. What is in it is still to be posted."""
        grant.save(force_insert=True)
        told = {"grant": grant.pk, "asset": grant.asset_id, "amount": amount_string(grant.amount), "kind": grant.kind}
        if grant.replaces_id is not None:
            told["replaces"] = grant.replaces_id
        self.messages.append(outbox.Message("grant.created", grant.customer_id, told))
        return self.take_in(grant)

    def grant_value(self, state: GrantState, transaction: Transaction | None = None, *, settles: bool = True) -> None:
        """Put a grant that has started into its balance; what the customer owes is paid from it first, if it
        ``settles``.

        ``transaction``: where the value comes from somewhere else than its kind says.
        """
        source, balance = state.source, state.balance
        transaction = transaction or self.begin(
            customer_id=balance.customer_id,
            template=f"grant.{source.kind}",
            reference=f"grant:{source.id}",
            occurred_at=source.effective_at,
        )
        balance.lifetime_granted = EXACT.add(balance.lifetime_granted, state.amount)
        self.post(transaction, balance, "value", state.amount, grant_id=source.id)
        if settles:
            self.settle(transaction, state, source.remaining)
        state.posted = state.changed = True

    def settle(self, transaction: Transaction, state: GrantState, amount: Decimal) -> None:
        """Pay what the customer owes from ``amount`` that has come into the grant."""
        source, balance = state.source, state.balance
        # What may pay only for some things must not pay a debt that other things made.
        settled = min(balance.owed, amount) if source.meters is None else ZERO
        if settled > 0:
            balance.owed = EXACT.subtract(balance.owed, settled)
            balance.dispute_debt = min(balance.dispute_debt, balance.owed)
            source.remaining = EXACT.subtract(source.remaining, settled)
            state.drawn = EXACT.add(state.drawn, settled)
            state.changed = True
            self.post(transaction, balance, "settlement", settled, grant_id=source.id)

    def settle_rest(self, states: Iterable[GrantState], *, customer_id: UUID, template: str, reference: str) -> None:
        """Pay what the customer owes from what is left of the grants, in a transaction of its own; none where there is
        nothing to pay, or to pay with."""
        transaction = None
        for state in states:
            source = state.source
            if state.balance.owed > 0 and source.remaining > 0 and source.meters is None:
                transaction = transaction or self.begin(
                    customer_id=customer_id, template=template, reference=reference, occurred_at=self.now
                )
                self.settle(transaction, state, source.remaining)

    def hold(self, transaction: Transaction, balance: BalanceState, draws: Sequence[burndown.Draw]) -> None:
        """Set aside what was drawn, on the very grants it was drawn from. The sources' remainders are already down."""
        for part in draws:
            balance.held = EXACT.add(balance.held, part.amount)
            if part.source is None:
                balance.overdraft_held = EXACT.add(balance.overdraft_held, part.amount)
                self.post(transaction, balance, "overdraft_held", part.amount)
            else:
                state = self.grants[part.source.id]
                state.held = EXACT.add(state.held, part.amount)
                state.changed = True
                self.post(transaction, balance, "held", part.amount, grant_id=part.source.id)

    def release(self, transaction: Transaction, balance: BalanceState, grant_id: UUID | None, amount: Decimal) -> None:
        """Give back what was held. What goes back to a grant whose time is over is for the caller to use or
        ``retire``."""
        balance.held = EXACT.subtract(balance.held, amount)
        if grant_id is None:
            balance.overdraft_held = EXACT.subtract(balance.overdraft_held, amount)
            self.post(transaction, balance, "overdraft_held", amount)
        else:
            state = self.grants[grant_id]
            state.held = EXACT.subtract(state.held, amount)
            state.source.remaining = EXACT.add(state.source.remaining, amount)
            state.changed = True
            self.post(transaction, balance, "held", amount, grant_id=grant_id)

    def draw(
        self,
        transaction: Transaction,
        balance: BalanceState,
        draws: Sequence[burndown.Draw],
        *,
        charge_id: UUID | None,
        spent: bool = True,
    ) -> None:
        """Post what a charge takes from grants and from the overdraft. The sources' remainders are already down.

        With ``spent`` false it is no usage, and does not count as spent.
        """
        for part in draws:
            if part.source is None:
                balance.owed = EXACT.add(balance.owed, part.amount)
                self.post(transaction, balance, "overdrawn", part.amount, charge_id=charge_id)
            else:
                state = self.grants[part.source.id]
                state.drawn = EXACT.add(state.drawn, part.amount)
                state.changed = True
                self.post(transaction, balance, "drawn", part.amount, grant_id=part.source.id, charge_id=charge_id)
            if spent:
                balance.lifetime_spent = EXACT.add(balance.lifetime_spent, part.amount)

    def lower_debt(
        self, transaction: Transaction, balance: BalanceState, amount: Decimal, *, charge_id: UUID
    ) -> Decimal:
        """Take a negative charge off what is owed; returns what of it is left to be put into the wallet."""
        lowered = min(balance.owed, amount)
        if lowered > 0:
            balance.owed = EXACT.subtract(balance.owed, lowered)
            self.post(transaction, balance, "credited_debt", lowered, charge_id=charge_id)
        balance.lifetime_spent = EXACT.subtract(balance.lifetime_spent, amount)
        return EXACT.subtract(amount, lowered)

    def put_in(self, transaction: Transaction, state: GrantState, amount: Decimal, *, charge_id: UUID) -> None:
        """Put a negative charge into a grant that collects such credits: it grows."""
        state.amount = EXACT.add(state.amount, amount)
        state.source.remaining = EXACT.add(state.source.remaining, amount)
        state.posted = state.changed = True
        self.post(transaction, state.balance, "credited", amount, grant_id=state.source.id, charge_id=charge_id)

    def _settle_due_grants(self) -> int:
        """Take lapsed remainders out of the balances and put started grants in, as of ``now``. Returns how many.

        Before anything else happens to the balance: a grant that lapsed at midnight must not pay for a call a second
        later, whether or not a worker has come by.
        """
        due = [
            state
            for state in self.grants.values()
            if (not state.posted and state.source.effective_at <= self.now)
            or (state.source.expires_at is not None and state.source.expires_at <= self.now)
        ]
        settled = 0
        for state in sorted(due, key=lambda state: state.source.id):
            if not state.posted and state.source.effective_at <= self.now:
                self.grant_value(state)
                settled += 1
            settled += self.expire(state)
        return settled

    def expire(self, state: GrantState) -> bool:
        """Take out what remains of a grant whose time is over; what is held stays. Returns whether there was any."""
        source, balance = state.source, state.balance
        if source.expires_at is None or source.expires_at > self.now or not state.posted or source.remaining <= 0:
            return False
        transaction = self.begin(
            customer_id=balance.customer_id,
            template="grant.expired",
            # A grant can expire more than once: parts that were held then come back later.
            reference=f"grant:{source.id}:expired:{_told_apart(state.expired)}",
            occurred_at=source.expires_at,
        )
        rest, source.remaining = source.remaining, ZERO
        state.expired = EXACT.add(state.expired, rest)
        state.changed = True
        self.post(transaction, balance, "rest", rest, grant_id=source.id)
        self.messages.append(
            outbox.Message(
                "grant.expired",
                balance.customer_id,
                {"grant": source.id, "asset": balance.asset, "amount": amount_string(rest)},
            )
        )
        return True

    def void(self, state: GrantState) -> Decimal:
        """Take what remains of a grant back out to the account it came from; what is held stays. Returns how much.

        One that has not started is closed without an entry: nothing of it was ever in the books. From now on whatever
        its holds give back goes the same way.
        """
        source, balance = state.source, state.balance
        rest, source.remaining = source.remaining, ZERO
        if rest > 0 and state.posted:
            transaction = self.begin(
                customer_id=balance.customer_id,
                template="grant.voided",
                # More than once: for parts that were held, paid back or disputed and come back later, so that what is
                # voided goes down as well. The balance's number never does.
                reference=f"grant:{source.id}:voided:{balance.seq}",
                occurred_at=self.now,
            )
            self.post(transaction, balance, source.kind, rest, grant_id=source.id)
        state.voided = EXACT.add(state.voided, rest)
        state.voided_at = state.voided_at or self.now
        state.changed = True
        self.messages.append(
            outbox.Message(
                "grant.voided",
                balance.customer_id,
                {"grant": source.id, "asset": balance.asset, "amount": amount_string(rest)},
            )
        )
        return rest

    def refund(self, transaction: Transaction, state: GrantState, amount: Decimal, *, name: str = "") -> None:
        """Take a part of what remains of a grant back out, because it is paid back; what is held or spent stays."""
        source = state.source
        source.remaining = EXACT.subtract(source.remaining, amount)
        state.voided = EXACT.add(state.voided, amount)
        if source.remaining + state.held + state.drawn == 0:
            state.voided_at = self.now
        state.changed = True
        self.post(transaction, state.balance, name or source.kind, amount, grant_id=source.id)

    def put_back(self, transaction: Transaction, state: GrantState, amount: Decimal, *, name: str = "") -> None:
        """Undo a ``refund`` whose money did not arrive. Where the grant's time is over meanwhile, it expires."""
        source = state.source
        source.remaining = EXACT.add(source.remaining, amount)
        state.voided = EXACT.subtract(state.voided, amount)
        state.voided_at = None
        state.changed = True
        self.post(transaction, state.balance, name or source.kind, amount, grant_id=source.id)
        self.expire(state)

    def retire(self, state: GrantState) -> None:
        """What came back to a grant that was voided, or has lapsed, goes out at once."""
        if state.voided_at is None:
            self.expire(state)
        elif state.source.remaining > 0:
            self.void(state)


def _told_apart(expired: Decimal) -> str:
    """What of a grant expired before, in its own way for each amount: as it is written or, where that is too long, with
    an x before all its digits in base 16."""
    text = amount_string(expired)
    return text if len(text) <= _ROOM else f"x{int(EXACT.scaleb(expired, DECIMALS_MAX)):x}"
