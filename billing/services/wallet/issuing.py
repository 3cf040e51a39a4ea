"""A grant that a period brings: what a plan includes, and what recurs beside it."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.engine.money import EXACT, LIMIT, amount_string
from billing.errors import InvalidState
from billing.models import Asset, Grant
from billing.services.ledger.posting import Journal
from billing.services.wallet.wallets import ensure_balances


def issue(journal: Journal, *, customer_id: UUID, asset: Asset, amount: Decimal, **fields: Any) -> Grant:
    """Put ``amount`` into the wallet of a customer that the journal has locked; its time has come.

    ``fields`` are further ones of the grant. One whose time is over already lapses at once, and pays nothing
    that is owed. Raises ``InvalidState``
    where the wallet cannot take so much.
    """
    ensure_balances(journal, [(customer_id, asset.pk)])
    balance = journal.balances[customer_id, asset.pk]
    if EXACT.add(balance.lifetime_granted, amount) >= LIMIT:
        raise InvalidState(f"The wallet cannot take another {amount_string(amount)} {asset.pk}.")
    grant = Grant(
        customer_id=customer_id, balance_id=balance.id, asset=asset, amount=amount, remaining=amount, **fields
    )
    state = journal.new_grant(grant)
    lapsed = grant.expires_at is not None and grant.expires_at <= journal.now
    journal.grant_value(state, settles=not lapsed)
    journal.expire(state)
    return grant
