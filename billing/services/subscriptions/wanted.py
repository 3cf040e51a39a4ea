"""A change of a subscription as it is asked for, and as what it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from billing.engine.money import EXACT, ZERO
from billing.models import Asset, Fee, Plan, PlanVersion
from billing.services.catalog.prices import PriceTerms
from billing.services.subscriptions.unused import FeeLine


@dataclass(frozen=True, slots=True)
class AllowanceLine:
    """An asset's allowance: what the wallet still has of it, and what it has after the change."""

    asset: Asset
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """What a change comes to. ``total`` is charged; below zero, the wallet gets it."""

    at: datetime
    version: PlanVersion
    period: tuple[datetime, datetime] | None
    """The period that is open after it; None where there is none yet."""
    lines: Sequence[FeeLine] = ()
    allowances: Sequence[AllowanceLine] = ()
    given_away: Mapping[str, Decimal] = field(default_factory=dict)
    """What its terms give the customer, by asset (``agreeing``)."""
    refusal: str = ""
    """Why it would be refused: what the wallet has now does not pay ``total``."""

    @property
    def total(self) -> Decimal:
        total = ZERO
        for line in self.lines:
            change = EXACT.subtract if line.kind == Fee.Kind.CREDIT else EXACT.add
            total = change(total, line.amount)
        return total


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to: the plan's latest version or that ``version``, on what terms.

    Discount, commitment and spend cap that were agreed go along where none are given (None), and are weighed anew by
    what they are worth there. A discount or cap of zero takes what was agreed away: then the plan's own holds. What a
    plan itself has for a commitment was not agreed and stays with that plan; price overrides were for its prices, and
    do as well.
    """

    plan: Plan
    version: int | None = None
    discount: Decimal | None = None
    minimum_commitment: Decimal | None = None
    spend_cap: Decimal | None = None
    price_overrides: Sequence[PriceTerms] = ()
    own_choice: bool = False
    """The customer's, with nobody of the operator's: not where anything was agreed, and now only where it costs more.
    To and fro, somebody would get a fee back and use what it includes each time. A trial goes along only to a plan
    whose own is as long: else the cheapest one's would make the dearest free."""
    leaving: Plan | None = None
    """Only as long as it is on this plan."""

    @property
    def has_terms(self) -> bool:
        """Whether it says anything but where to."""
        named = (self.discount, self.minimum_commitment, self.spend_cap)
        return bool(self.price_overrides) or any(number is not None for number in named)
