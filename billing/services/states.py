"""Balances and grants while they are locked and being worked on. Read and written by the ledger's ``Journal``."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Any
from uuid import UUID

from billing.engine import burndown
from billing.engine.money import EXACT, ZERO
from billing.errors import InvariantViolation


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
    sources: list[burndown.Source] = field(default_factory=list)
    changed: bool = False

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
        total = reduce(EXACT.add, [remaining, self.held, self.drawn, self.expired, self.voided])
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
