"""Negative charges: what usage gives back where it makes the whole period cheaper.

It first lowers what is owed. What is left goes into a grant that collects all such credits of a customer, an asset and
a period, so that a level that goes up and down all day does not leave a grant behind for every report.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid5

from billing.engine.money import ZERO
from billing.models import Grant
from billing.services.ledger.book import Transaction
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState, GrantState


def give(
    journal: Journal,
    transaction: Transaction,
    balance: BalanceState,
    amount: Decimal,
    *,
    charge_id: UUID,
    period: datetime,
) -> None:
    """Give ``amount`` back for the charge of the period that started at ``period``."""
    rest = journal.lower_debt(transaction, balance, amount, charge_id=charge_id)
    if rest > 0:
        journal.put_in(transaction, _collecting(journal, balance, period, rest), rest, charge_id=charge_id)


def _collecting(journal: Journal, balance: BalanceState, period: datetime, first: Decimal) -> GrantState:
    """The grant that collects the period's credits; a new one, still empty, where there is none or it was voided."""
    number = 0
    while True:
        grant_id = uuid5(balance.id, f"credits:{period.isoformat()}:{number}")
        state = journal.load_grant(grant_id)
        if state is None:
            return _new(journal, balance, grant_id, period, first)
        if state.voided_at is None:
            return state
        number += 1


def _new(journal: Journal, balance: BalanceState, grant_id: UUID, period: datetime, first: Decimal) -> GrantState:
    # The row is stored with the amount that is about to be put in, and written again with the journal.
    grant = Grant(
        id=grant_id,
        customer_id=balance.customer_id,
        balance_id=balance.id,
        asset_id=balance.asset,
        kind=Grant.Kind.ADJUSTMENT,
        name="Usage credits",
        amount=first,
        remaining=first,
        effective_at=journal.now,
        posted=True,
        metadata={"usage_credits_from": period.isoformat()},
    )
    state = journal.new_grant(grant)
    state.amount = state.source.remaining = ZERO
    return state
