"""Wallets while they are locked and being worked on. The ledger's ``Journal`` changes and writes them."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Self
from uuid import UUID

from accounts.ids import uuid7
from billing import locks, pipeline
from billing.engine import burndown
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.errors import InvariantViolation
from billing.models import Grant


@dataclass(slots=True)
class BalanceState:
    """A locked balance while it is being worked on. Amounts in the asset's unit."""

    id: UUID
    customer_id: UUID
    asset: str
    available: Decimal
    held: Decimal
    overdraft_held: Decimal
    owed: Decimal
    overdraft_limit: Decimal
    seq: int
    lifetime_granted: Decimal
    lifetime_spent: Decimal
    dispute_debt: Decimal = ZERO
    refill_below: Decimal | None = None
    frozen: bool = False
    sources: list[burndown.Source] = field(default_factory=list)
    changed: bool = False
    available_before: Decimal = field(init=False)

    def __post_init__(self) -> None:
        self.available_before = self.available

    @property
    def ran_low(self) -> bool:
        """Whether it has fallen below what an automatic top-up waits for, just now."""
        return self.refill_below is not None and self.available < self.refill_below <= self.available_before

    @property
    def overdraft_room(self) -> Decimal:
        """How much more may be taken, or held, beyond the grants."""
        if not self.overdraft_limit:
            return ZERO
        return max(ZERO, EXACT.subtract(self.overdraft_limit, EXACT.add(self.owed, self.overdraft_held)))

    def row(self) -> dict[str, Any]:
        """The columns that postings change, as they are now."""
        return {
            "id": self.id,
            "customer_id": self.customer_id,
            "available": self.available,
            "held": self.held,
            "overdraft_held": self.overdraft_held,
            "owed": self.owed,
            "dispute_debt": min(self.dispute_debt, self.owed),
            "seq": self.seq,
            "lifetime_granted": self.lifetime_granted,
            "lifetime_spent": self.lifetime_spent,
        }


@dataclass(slots=True)
class GrantState:
    """A locked open grant while it is being worked on. What remains of it is its source's."""

    source: burndown.Source
    balance: BalanceState
    amount: Decimal
    held: Decimal
    drawn: Decimal
    expired: Decimal
    voided: Decimal
    posted: bool
    voided_at: datetime | None = None
    changed: bool = False

    def row(self) -> dict[str, Any]:
        """The columns that postings change, as they are now. Every unit of the grant must be in exactly one place."""
        remaining = self.source.remaining
        total = exact_sum([remaining, self.held, self.drawn, self.expired, self.voided])
        if total != self.amount:
            raise InvariantViolation(f"Grant {self.source.id}: {total} of its units accounted for, not {self.amount}")
        return {
            "id": self.source.id,
            "customer_id": self.balance.customer_id,
            "amount": self.amount,
            "remaining": remaining,
            "held": self.held,
            "drawn": self.drawn,
            "expired": self.expired,
            "voided": self.voided,
            "voided_at": self.voided_at,
            "posted": self.posted,
            "open": remaining + self.held > 0,
        }


_GRANT_COLUMNS = (
    "id",
    "customer_id",
    "asset_id",
    "kind",
    "priority",
    "effective_at",
    "expires_at",
    "applies_to",
    "paid_amount",
    "created_at",
    "amount",
    "remaining",
    "held",
    "drawn",
    "expired",
    "voided",
    "posted",
    "voided_at",
)
_columns_of = attrgetter(*_GRANT_COLUMNS)
_GRANTS = f"SELECT {', '.join(_GRANT_COLUMNS)} FROM billing_grant"  # noqa: S608 - our own names
_OPEN_GRANTS = f"{_GRANTS} WHERE customer_id = ANY(%s) AND open"
_SOME_GRANTS = f"{_GRANTS} WHERE id = ANY(%s)"


class Wallets:
    """The locked wallets of some customers: their balances, and the grants that can pay."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.balances: dict[tuple[UUID, str], BalanceState] = {}
        self.grants: dict[UUID, GrantState] = {}
        self.busy: set[UUID] = set()
        self.frozen: set[UUID] = set()
        """The customers whose wallets pay for no usage."""

    @classmethod
    def read(cls, customer_ids: Collection[UUID], *reads: pipeline.Query, skip_locked: bool) -> Self:
        """Lock the customers' balances and read their open grants, and ``reads``, in one round trip."""
        locked, clock = locks.balances(customer_ids, skip_locked=skip_locked), locks.ledger_time()
        grants = pipeline.Query(_OPEN_GRANTS, [list(customer_ids)])
        counts = [locks.how_many(customer_ids)] if skip_locked else []
        pipeline.run([locked, clock, *counts, grants, *reads])
        wallets = cls(clock.rows[0][0])
        balances = [BalanceState(*row) for row in locked.rows]
        if skip_locked:
            here = Counter(balance.customer_id for balance in balances)
            wallets.busy = {customer_id for customer_id, count in counts[0].rows if here[customer_id] != count}
        for balance in balances:
            if balance.customer_id not in wallets.busy:
                wallets.add_balance(balance)
        granted = [row for row in grants.rows if row[1] not in wallets.busy]
        if any((row[1], row[2]) not in wallets.balances for row in granted):
            wallets.add_new_balances(customer_ids)
        for row in granted:
            wallets._add_grant(*row)
        for balance in wallets.balances.values():
            if len(balance.sources) > 1:
                balance.sources = burndown.burn_order(balance.sources)
        return wallets

    def add_balance(self, balance: BalanceState) -> BalanceState:
        self.balances[balance.customer_id, balance.asset] = balance
        if balance.frozen:
            self.frozen.add(balance.customer_id)
        return balance

    def suppose_balance(self, customer_id: UUID, asset: str) -> None:
        """Have an empty balance of the asset where there is none, for what is only thought of."""
        if (customer_id, asset) not in self.balances:
            self.add_balance(BalanceState(uuid7(), customer_id, asset, ZERO, ZERO, ZERO, ZERO, ZERO, 0, ZERO, ZERO))

    def add_new_balances(self, customer_ids: Collection[UUID]) -> None:
        """Take in the balances that were made while this transaction waited for its locks: the statement that waited
        does not see them."""
        locked = locks.balances(customer_ids)
        pipeline.run([locked])
        for row in locked.rows:
            balance = BalanceState(*row)
            if (balance.customer_id, balance.asset) not in self.balances:
                self.add_balance(balance)

    def load_grant(self, grant_id: UUID) -> GrantState | None:
        """A grant of a locked wallet, whether or not anything is left of it; None where it does not exist."""
        self.load_grants([grant_id])
        return self.grants.get(grant_id)

    def load_grants(self, grant_ids: Collection[UUID]) -> None:
        """Take in grants of which nothing may be left: ``read`` leaves those out."""
        missing = [grant_id for grant_id in grant_ids if grant_id not in self.grants]
        if missing:
            found = pipeline.Query(_SOME_GRANTS, [missing])
            pipeline.run([found])
            for row in found.rows:
                self._add_grant(*row)

    def take_in(self, grant: Grant) -> GrantState:
        """Have a grant, whether or not it is stored, pay when its turn comes."""
        state = self._add_grant(*_columns_of(grant))
        state.balance.sources = burndown.burn_order(state.balance.sources)
        return state

    def _add_grant(
        self,
        id: UUID,
        customer_id: UUID,
        asset: str,
        kind: str,
        priority: int,
        effective_at: datetime,
        expires_at: datetime | None,
        applies_to: Mapping[str, Any],
        paid_amount: Decimal,
        created_at: datetime,
        amount: Decimal,
        remaining: Decimal,
        held: Decimal,
        drawn: Decimal,
        expired: Decimal,
        voided: Decimal,
        posted: bool,
        voided_at: datetime | None,
    ) -> GrantState:
        """Its columns, in the order of ``_GRANT_COLUMNS``."""
        source = burndown.source(
            id=id,
            kind=kind,
            priority=priority,
            effective_at=effective_at,
            expires_at=expires_at,
            applies_to=applies_to,
            paid_amount=paid_amount,
            amount=amount,
            created_at=created_at,
            remaining=remaining,
        )
        balance = self.balances[customer_id, asset]
        balance.sources.append(source)
        state = GrantState(source, balance, amount, held, drawn, expired, voided, posted, voided_at)
        self.grants[id] = state
        return state
