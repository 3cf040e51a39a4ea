"""Posting: the only writer of ledger transactions and entries, and of what balances and grants hold.

A ``Journal`` collects what a service decided while it holds the locks, keeps balances and grants in step in memory, and
``write`` sends all of it in a few set-based statements. One entry or ten thousand cost the same number of round trips.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Any
from uuid import UUID

from accounts.ids import uuid7
from billing import locks
from billing.engine import burndown
from billing.engine.money import EXACT, ZERO, amount_string
from billing.engine.postings import TEMPLATES, Posting
from billing.errors import InvariantViolation
from billing.models import Balance, Grant
from billing.services import bulk, outbox

_CUSTOMER_SIDE = frozenset({"wallet_available", "receivable"})


@dataclass(slots=True)
class BalanceState:
    """A locked balance while it is being worked on. Amounts in the asset's unit."""

    id: UUID
    customer_id: UUID
    asset: str
    available: Decimal
    held: Decimal
    owed: Decimal
    overdraft_limit: Decimal
    seq: int
    lifetime_granted: Decimal
    lifetime_spent: Decimal
    sources: list[burndown.Source] = field(default_factory=list)
    changed: bool = False

    @property
    def overdraft_room(self) -> Decimal:
        """How much more usage may take beyond the grants."""
        return max(ZERO, EXACT.subtract(self.overdraft_limit, self.owed))


@dataclass(slots=True)
class GrantState:
    """A locked open grant while it is being worked on."""

    grant: Grant
    source: burndown.Source
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """The head of a ledger transaction that is being put together."""

    id: UUID
    customer_id: UUID
    template: str
    occurred_at: datetime


class Journal:
    """The locked balances of some customers, and the entries that are about to be posted to them."""

    def __init__(self, *, balances: Iterable[Balance], now: datetime) -> None:
        self.now = now
        self.balances: dict[tuple[UUID, str], BalanceState] = {}
        self.grants: dict[UUID, GrantState] = {}
        self.settled_due = 0
        self.messages: list[outbox.Message] = []
        self._transactions: list[dict[str, Any]] = []
        self._entries: list[dict[str, Any]] = []
        for balance in balances:
            self.add_balance(balance)

    @classmethod
    def open(cls, customer_ids: Collection[UUID]) -> "Journal":
        """Lock the customers' balances, read their open grants, and settle the grants that are due."""
        journal = cls(balances=locks.lock_balances(customer_ids), now=locks.ledger_time())
        ids = [state.id for state in journal.balances.values()]
        for grant in Grant.objects.filter(balance_id__in=ids, open=True):
            journal.add_grant(grant)
        for state in journal.balances.values():
            state.sources = burndown.burn_order(state.sources)
        journal.settled_due = journal._settle_due_grants()
        return journal

    def add_balance(self, balance: Balance) -> BalanceState:
        state = BalanceState(
            id=balance.id,
            customer_id=balance.customer_id,
            asset=balance.asset_id,
            available=balance.available,
            held=balance.held,
            owed=balance.owed,
            overdraft_limit=balance.overdraft_limit,
            seq=balance.seq,
            lifetime_granted=balance.lifetime_granted,
            lifetime_spent=balance.lifetime_spent,
        )
        self.balances[balance.customer_id, balance.asset_id] = state
        return state

    def add_grant(self, grant: Grant) -> GrantState:
        meters = grant.applies_to.get("meters")
        source = burndown.Source(
            id=grant.id,
            kind=grant.kind,
            priority=grant.priority,
            effective_at=grant.effective_at,
            expires_at=grant.expires_at,
            meters=frozenset(meters) if meters else None,
            unit_cost=grant.paid_amount / grant.amount,
            created_at=grant.created_at,
            remaining=grant.remaining,
        )
        state = GrantState(grant, source)
        self.grants[grant.id] = state
        self.balances[grant.customer_id, grant.asset_id].sources.append(source)
        return state

    # --- What services post -----------------------------------------------------------------------------------------

    def begin(
        self,
        *,
        customer_id: UUID,
        template: str,
        reference: str,
        occurred_at: datetime,
        transaction_id: UUID | None = None,
    ) -> Transaction:
        """Start a transaction. ``reference`` names what it is for; the database refuses a second one."""
        assert template in TEMPLATES
        transaction = Transaction(transaction_id or uuid7(), customer_id, template, occurred_at)
        self._transactions.append(
            {
                "id": transaction.id,
                "customer_id": customer_id,
                "template": template,
                "reference": reference,
                "description": "",
                "occurred_at": occurred_at,
                "posted_at": self.now,
            }
        )
        return transaction

    def grant_value(self, state: GrantState) -> None:
        """Put a grant that has started into its balance; what the customer owes is paid from it first."""
        grant, source = state.grant, state.source
        balance = self.balances[grant.customer_id, grant.asset_id]
        transaction = self.begin(
            customer_id=grant.customer_id,
            template=f"grant.{grant.kind}",
            reference=f"grant:{grant.id}",
            occurred_at=max(grant.effective_at, grant.created_at),
        )
        balance.lifetime_granted = EXACT.add(balance.lifetime_granted, grant.amount)
        self._post(transaction, balance, "value", grant.amount, grant_id=grant.id)
        settled = min(balance.owed, source.remaining)
        if settled > 0:
            balance.owed = EXACT.subtract(balance.owed, settled)
            source.remaining = EXACT.subtract(source.remaining, settled)
            grant.drawn = EXACT.add(grant.drawn, settled)
            self._post(transaction, balance, "settlement", settled, grant_id=grant.id)
        grant.posted = True
        state.changed = True

    def draw(
        self, transaction: Transaction, balance: BalanceState, draws: Sequence[burndown.Draw], *, charge_id: UUID
    ) -> None:
        """Post what a charge takes from grants and from the overdraft. The sources' remainders are already down."""
        for part in draws:
            if part.source is None:
                balance.owed = EXACT.add(balance.owed, part.amount)
                self._post(transaction, balance, "overdrawn", part.amount, charge_id=charge_id)
            else:
                state = self.grants[part.source.id]
                state.grant.drawn = EXACT.add(state.grant.drawn, part.amount)
                state.changed = True
                self._post(transaction, balance, "drawn", part.amount, grant_id=part.source.id, charge_id=charge_id)
            balance.lifetime_spent = EXACT.add(balance.lifetime_spent, part.amount)

    def _settle_due_grants(self) -> int:
        """Take lapsed remainders out of the balances and put started grants in, as of ``now``. Returns how many.

        Before anything else happens to the balance: a grant that lapsed at midnight must not pay for a call a second
        later, whether or not a worker has come by.
        """
        settled = 0
        for state in sorted(self.grants.values(), key=lambda s: s.source.id):
            grant, source = state.grant, state.source
            if not grant.posted and grant.effective_at <= self.now:
                self.grant_value(state)
                settled += 1
            if grant.posted and grant.expires_at is not None and grant.expires_at <= self.now and source.remaining > 0:
                self._expire(state)
                settled += 1
        return settled

    def _expire(self, state: GrantState) -> None:
        grant, source = state.grant, state.source
        assert grant.expires_at is not None
        transaction = self.begin(
            customer_id=grant.customer_id,
            template="grant.expired",
            reference=f"grant:{grant.id}:expired",
            occurred_at=grant.expires_at,
        )
        balance = self.balances[grant.customer_id, grant.asset_id]
        rest, source.remaining = source.remaining, ZERO
        grant.expired = EXACT.add(grant.expired, rest)
        state.changed = True
        self._post(transaction, balance, "rest", rest, grant_id=grant.id)
        self.messages.append(
            outbox.Message(
                "grant.expired",
                grant.customer_id,
                {"grant": grant.id, "asset": grant.asset_id, "amount": amount_string(rest)},
            )
        )

    def _post(
        self,
        transaction: Transaction,
        balance: BalanceState,
        name: str,
        amount: Decimal,
        *,
        grant_id: UUID | None = None,
        charge_id: UUID | None = None,
    ) -> None:
        """Add an entry and bring the balance along, so that the entry can say what it was afterwards."""
        posting: Posting = TEMPLATES[transaction.template].postings[name]
        balance.available = EXACT.add(balance.available, _signed(posting, amount))
        balance.seq += 1
        balance.changed = True
        self._entries.append(
            {
                "id": uuid7(),
                "transaction_id": transaction.id,
                "customer_id": balance.customer_id,
                "balance_id": balance.id,
                "asset_id": balance.asset,
                "seq": balance.seq,
                "kind": posting.kind,
                "debit": posting.debit,
                "credit": posting.credit,
                "amount": amount,
                "grant_id": grant_id,
                "charge_id": charge_id,
                "available_after": balance.available,
                "held_after": balance.held,
                "occurred_at": transaction.occurred_at,
                "posted_at": self.now,
            }
        )

    def write(self) -> None:
        """Send everything that was posted: transactions, entries, messages, the balances and grants as they are now.

        The last thing a service does with a journal.
        """
        bulk.insert("billing_ledgertransaction", self._transactions)
        bulk.insert("billing_ledgerentry", self._entries)
        bulk.update(
            "billing_balance",
            [
                {
                    "id": state.id,
                    "customer_id": state.customer_id,
                    "available": state.available,
                    "held": state.held,
                    "owed": state.owed,
                    "seq": state.seq,
                    "lifetime_granted": state.lifetime_granted,
                    "lifetime_spent": state.lifetime_spent,
                }
                for state in self.balances.values()
                if state.changed
            ],
        )
        bulk.update("billing_grant", [_grant_row(state) for state in self.grants.values() if state.changed])
        outbox.publish(self.messages, now=self.now)


def _signed(posting: Posting, amount: Decimal) -> Decimal:
    """What a movement does to ``available``, which is what the wallet holds less what the customer owes."""
    sign = (posting.credit in _CUSTOMER_SIDE) - (posting.debit in _CUSTOMER_SIDE)
    return EXACT.multiply(amount, sign)


def _grant_row(state: GrantState) -> dict[str, Any]:
    grant, remaining = state.grant, state.source.remaining
    total = reduce(EXACT.add, [remaining, grant.held, grant.drawn, grant.expired, grant.voided])
    if total != grant.amount:
        raise InvariantViolation(f"Grant {grant.id}: {total} of its units accounted for, not {grant.amount}")
    return {
        "id": grant.id,
        "customer_id": grant.customer_id,
        "remaining": remaining,
        "held": grant.held,
        "drawn": grant.drawn,
        "expired": grant.expired,
        "voided": grant.voided,
        "posted": grant.posted,
        "open": remaining + grant.held > 0,
    }
