"""What authorizations have set aside, while their customers are locked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing import pipeline
from billing.engine.burndown import Reserved, Source
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum
from billing.services.ledger import bulk
from billing.services.ledger.posting import Journal, Wanted
from billing.services.ledger.states import BalanceState

_READING = """
SELECT a.id, a.customer_id, a.status, a.expires_at, a.asset_id, a.amount, a.captured, a.used,
       h.id, h.asset_id, h.grant_id, h.outstanding
  FROM billing_authorization a
  LEFT JOIN billing_hold h ON h.authorization_id = a.id AND h.outstanding > 0
 WHERE a.id = ANY(%s)
 ORDER BY a.id, h.id
"""


@dataclass(slots=True)
class HoldState:
    """One hold. ``outstanding`` goes down as it is released."""

    id: UUID
    balance: BalanceState
    grant_id: UUID | None
    outstanding: Decimal
    changed: bool = False


@dataclass(slots=True)
class AuthorizationState:
    """A locked authorization while it is being worked on."""

    id: UUID
    customer_id: UUID
    status: str
    expires_at: datetime
    asset: str
    amount: Decimal
    captured: Decimal
    used: dict[str, str]
    """What partial captures have charged of each meter, by its id."""
    holds: list[HoldState] = field(default_factory=list)

    def is_late(self, now: datetime) -> bool:
        """Whether its time was over before anybody ended it, swept already or not."""
        return self.status == "expired" or (self.status == "open" and self.expires_at <= now)

    def note(self, quantities: Mapping[str, Decimal]) -> None:
        """So much more of these meters was charged, by their ids."""
        for meter_id, quantity in quantities.items():
            self.used[meter_id] = amount_string(EXACT.add(Decimal(self.used.get(meter_id, "0")), quantity))

    def left(self) -> dict[str, Decimal]:
        """What it still sets aside, by asset."""
        found: dict[str, Decimal] = {}
        for hold in self.holds:
            if hold.outstanding:
                found[hold.balance.asset] = EXACT.add(found.get(hold.balance.asset, ZERO), hold.outstanding)
        return found

    @property
    def outstanding(self) -> Decimal:
        """What it still sets aside of its main asset."""
        amounts = (hold.outstanding for hold in self.holds if hold.balance.asset == self.asset)
        return exact_sum(amounts)


def reading(authorization_ids: Collection[UUID]) -> pipeline.Query:
    """The authorizations with their holds, for ``states``. Under their customers' locks."""
    return pipeline.Query(_READING, [list(authorization_ids)])


def states(rows: Sequence[tuple[Any, ...]], journal: Journal) -> dict[UUID, AuthorizationState]:
    """The authorizations that ``reading`` found, by id."""
    found: dict[UUID, AuthorizationState] = {}
    for id_, customer_id, status, expires_at, asset, amount, captured, used, *hold in rows:
        state = found.get(id_)
        if state is None:
            state = found[id_] = AuthorizationState(id_, customer_id, status, expires_at, asset, amount, captured, used)
        hold_id, hold_asset, grant_id, outstanding = hold
        if hold_id is not None:
            state.holds.append(HoldState(hold_id, journal.balances[customer_id, hold_asset], grant_id, outstanding))
    return found


def release(
    journal: Journal, authorization: AuthorizationState, *, only: "Sequence[Wanted] | None" = None
) -> list[Reserved]:
    """Give back what is set aside, or ``only`` what of it may pay for these; returns it, to be drawn from first."""
    reserved: list[Reserved] = []
    parts = None if only is None else _parts(journal, authorization, only)
    transaction = None
    for hold in authorization.holds:
        amount = hold.outstanding if parts is None else parts.get(hold.id, ZERO)
        if amount == 0:
            continue
        if transaction is None:
            transaction = journal.begin(
                customer_id=authorization.customer_id,
                template="authorization.released",
                reference=f"release:{authorization.id}:{amount_string(_outstanding(authorization))}",
                occurred_at=journal.now,
            )
        journal.release(transaction, hold.balance, hold.grant_id, amount)
        hold.outstanding = EXACT.subtract(hold.outstanding, amount)
        hold.changed = True
        if hold.grant_id is not None:
            reserved.append(Reserved(journal.grants[hold.grant_id].source, amount))
    return reserved


def of_grants(journal: Journal, authorization: AuthorizationState) -> list[tuple[Source, Decimal]]:
    """What it sets aside of each grant."""
    return [
        (journal.grants[hold.grant_id].source, hold.outstanding)
        for hold in authorization.holds
        if hold.grant_id is not None
    ]


def _parts(journal: Journal, authorization: AuthorizationState, wanted: Sequence[Wanted]) -> dict[UUID, Decimal]:
    """How much of each hold it takes to pay what is wanted, in its order: grants that may first, then the overdraft."""
    parts: dict[UUID, Decimal] = {}
    holds = sorted(authorization.holds, key=lambda hold: hold.grant_id is None)
    for each in wanted:
        missing = max(each.amount, ZERO)
        for hold in holds:
            meters = None if hold.grant_id is None else journal.grants[hold.grant_id].source.meters
            if hold.balance.asset != each.asset or (meters is not None and each.meter not in meters):
                continue
            part = parts.get(hold.id, ZERO)
            taken = min(EXACT.subtract(hold.outstanding, part), missing)
            parts[hold.id] = EXACT.add(part, taken)
            missing = EXACT.subtract(missing, taken)
    return parts


def settle_rest(journal: Journal, authorization: AuthorizationState, reserved: Sequence[Reserved]) -> None:
    """What was given back and not used: out of grants that lapsed or were voided meanwhile it goes, and from others it
    pays what is owed. It would have paid that before, had it not been set aside."""
    states = [journal.grants[part.source.id] for part in reserved]
    for state in states:
        journal.retire(state)
    journal.settle_rest(
        states,
        customer_id=authorization.customer_id,
        template="authorization.released",
        reference=f"settlement:{authorization.id}:{amount_string(_outstanding(authorization))}",
    )


def _outstanding(authorization: AuthorizationState) -> Decimal:
    """What is set aside in all its assets: no second release of it begins, or ends, with the same."""
    return exact_sum(hold.outstanding for hold in authorization.holds)


def close(authorization: AuthorizationState, *, status: str, now: datetime) -> list[bulk.Write | None]:
    """The writes that end an authorization; or, with the status ``open``, that note what was captured so far."""
    row = {
        "id": authorization.id,
        "customer_id": authorization.customer_id,
        "status": status,
        "captured": authorization.captured,
        "used": authorization.used,
        "closed_at": None if status == "open" else now,
    }
    changed = [
        {"id": hold.id, "customer_id": authorization.customer_id, "outstanding": hold.outstanding}
        for hold in authorization.holds
        if hold.changed
    ]
    return [bulk.change("billing_authorization", [row]), bulk.change("billing_hold", changed)]
