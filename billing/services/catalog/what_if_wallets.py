"""The wallet of a replay: what covers units in it, which decides how many are left to be priced.

It begins with what the customer's grants had, takes in what came later when it came, and what the scenario's plan
includes where that is another one. Prices are charged beyond it, whatever is there: what they take is the question.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import reduce
from uuid import UUID

from django.db.models import Case, F, Q, Sum, Value, When

from billing.engine.costs import BEGINNING
from billing.engine.money import EXACT, ZERO
from billing.engine.proration import part, share
from billing.models import Allowance, Grant, LedgerEntry
from billing.selectors.catalog.catalog import compiled_plan
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import GrantState
from billing.services.subscriptions.periods import ALLOWANCE_PRIORITY
from billing.services.usage.counters import Counters
from billing.services.usage.drawing import Drawing, Piece
from billing.services.usage.rating import Line, Payer, Subscribed

_INCLUDED = (Grant.Kind.ALLOWANCE, Grant.Kind.ROLLOVER)


class ReplayedWallet:
    """One customer's. ``covering`` are the assets that cover units in the scenario; ``elsewhere`` are the subscriptions
    that it puts on another plan version, whose own allowances are left out."""

    def __init__(
        self, customer_id: UUID, *, covering: Collection[str], elsewhere: Collection[UUID], since: datetime
    ) -> None:
        self._customer_id = customer_id
        self._covering = frozenset(covering)
        self._elsewhere = frozenset(elsewhere)
        self._journal = Journal(since)
        self._since = since
        self._included: dict[tuple[UUID, str], list[GrantState]] = {}
        """What the scenario's plan includes in the period that is open, by subscription and asset."""
        self._opened: dict[UUID, datetime] = {}
        for asset in self._covering:
            self._journal.suppose_balance(customer_id, asset)
        if self._covering:
            self._take_in_grants(since)

    def charge(self, counters: Counters, lines: list[Line], payer: Payer, *, posted_at: datetime) -> list[Piece]:
        """What the lines come to at that time, with what covers them. Raises ``InvalidRequest`` as ``Drawing``."""
        self._journal.now = posted_at
        for subscription in payer.subscriptions if self._covering else ():
            if subscription.id in self._elsewhere and subscription.covers(posted_at):
                self._open_periods(subscription, payer.subscriptions, posted_at)
        for line in lines:
            self._journal.suppose_balance(self._customer_id, line.price.asset)
        drawing = Drawing(self._journal, counters, self._customer_id, lines)
        drawing.take(beyond=True)
        return drawing.pieces

    def _take_in_grants(self, since: datetime) -> None:
        """The customer's own grants, with what was left of them at first."""
        held = ("wallet_available", "wallet_held")
        moved = Case(When(credit__in=held, then=F("amount")), default=Value(ZERO)) - Case(
            When(debit__in=held, then=F("amount")), default=Value(ZERO)
        )
        entries = LedgerEntry.objects.filter(customer_id=self._customer_id, posted_at__lt=since, grant__isnull=False)
        left = dict(entries.values_list("grant_id").annotate(left=Sum(moved)))
        grants = Grant.objects.filter(customer_id=self._customer_id, asset_id__in=self._covering, replaces=None)
        own = Q(kind__in=_INCLUDED, period__subscription_id__in=self._elsewhere)
        for grant in grants.exclude(own).order_by("id"):
            grant.remaining = left.get(grant.pk, grant.amount)
            grant.expires_at = min(filter(None, (grant.expires_at, grant.voided_at)), default=None)
            grant.posted, grant.voided_at = True, None
            self._journal.take_in(grant)

    def _open_periods(self, subscription: Subscribed, phases: Iterable[Subscribed], moment: datetime) -> None:
        """Open those that began by ``moment``, each once and in order, so that what is left of one is carried over."""
        begun = min(each.starts_at for each in phases if each.id == subscription.id)
        interval = compiled_plan(subscription.plan_version_id).interval
        unsettled = replace(subscription, settled_until=BEGINNING)
        at = self._opened.get(subscription.id, max(self._since, begun))
        while at <= moment:
            start, end = unsettled.period_for(at, interval)
            if subscription.id not in self._opened or self._opened[subscription.id] < start:
                self._opened[subscription.id] = start
                self._include(subscription, max(start, begun), (start, end))
            at = end

    def _include(self, subscription: Subscribed, begun: datetime, period: tuple[datetime, datetime]) -> None:
        """Grant what the plan includes, and up to its limit what was left of the period before."""
        included = Allowance.objects.filter(plan_version_id=subscription.plan_version_id, asset__in=self._covering)
        for allowance in included.select_related("asset"):
            key = (subscription.id, allowance.asset_id)
            before = reduce(EXACT.add, (state.source.remaining for state in self._included.get(key, ())), ZERO)
            whole = part(allowance.amount, share(begun, period[1], of=period), precision=allowance.asset.precision)
            carried = min(before, allowance.rollover_limit)
            self._included[key] = [
                self._journal.take_in(self._grant(allowance.asset_id, kind, amount, *period))
                for kind, amount in ((Grant.Kind.ALLOWANCE, whole), (Grant.Kind.ROLLOVER, carried))
                if amount > 0
            ]

    def _grant(self, asset: str, kind: str, amount: Decimal, start: datetime, end: datetime) -> Grant:
        return Grant(
            customer_id=self._customer_id,
            asset_id=asset,
            kind=kind,
            amount=amount,
            remaining=amount,
            priority=ALLOWANCE_PRIORITY,
            effective_at=start,
            expires_at=end,
            posted=True,
            created_at=start,
        )
