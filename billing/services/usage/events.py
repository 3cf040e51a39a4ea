"""A usage event as it comes in, and the answer that goes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.engine.budgets import Use
from billing.engine.fingerprints import fingerprint
from billing.errors import BillingError
from billing.services.usage.origin import NOWHERE, Origin


@dataclass(slots=True)
class IncomingEvent:
    """A CloudEvent, checked for form. ``subject`` is the customer's external id; numbers in ``data`` are exact."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime | None
    """None where the sender left it out: then it happened when we received it."""
    data: Mapping[str, Any]
    extensions: Mapping[str, Any] = field(default_factory=dict)
    api_key_id: UUID | None = None
    """The key that reported it."""
    named_key_id: UUID | None = None
    """The customer's own key that the call was made with, where an operator's key reported it and says so."""
    organization_id: UUID | None = None
    """Where the key that reported it is a customer's: the organization beyond which it reaches nobody."""

    origin: Origin = NOWHERE
    """The request that reported it."""
    may_price: bool = True
    """Whether it may say itself what it costs, where the plan leaves that to events."""
    is_own: bool = False
    """Whether it is ours, not somebody's report (``levels``). It is stored without a source, which nobody can send."""
    _fingerprint: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def use(self) -> Use:
        """The event as budgets see it."""
        return Use(self.type, self.data, self.counted_key_id)

    @property
    def counted_key_id(self) -> UUID | None:
        """The key that it counts for."""
        return self.named_key_id or self.api_key_id

    @property
    def own_key(self) -> bool:
        """Whether the key that it counts for is the customer's own."""
        return self.named_key_id is not None or self.organization_id is not None

    @property
    def failed(self) -> bool:
        """Whether the run died midway, as the sender says in the extension attribute ``outcome``."""
        return self.extensions.get("outcome") == "failed"

    def fingerprint(self) -> bytes:
        """16 bytes that two events share only if their content is the same, in whatever order its fields came."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self.type, self.time, self.data, self.extensions)
        return self._fingerprint


@dataclass(slots=True)
class ChargeLine:
    """One rated line of an event."""

    meter: str
    quantity: Decimal
    asset: str
    amount: Decimal
    plan: str
    plan_version: int
    waived: Decimal | None = None
    """What was used and is not charged, for the run failed; the quantity is zero then."""


@dataclass(slots=True)
class Outcome:
    """What became of one event. ``error`` is set where it was refused; amounts are by asset code."""

    event_id: str
    customer: str
    status: str
    charges: list[ChargeLine] = field(default_factory=list)
    cost: dict[str, Decimal] = field(default_factory=dict)
    balance: dict[str, Decimal] = field(default_factory=dict)
    transaction_id: UUID | None = None
    currency: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    replayed: bool = False
    error: BillingError | None = None
    refused: Mapping[str, Any] | None = None
    """Of a charged event, what budgets left out of it (``refused``, by asset), with the code and figures of why."""

    @property
    def posted_id(self) -> UUID | None:
        """The transaction in the ledger; None where all of it cost nothing, and so nothing was posted."""
        return self.transaction_id if any(line.amount for line in self.charges) else None
