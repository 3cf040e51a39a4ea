"""Grants as a stack: what burns next, and how large a part of the balance each is."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.engine.money import exact_sum
from billing.selectors.ledger.balances import OpenGrant

SOON = timedelta(days=14)
TONES = 5


@dataclass(frozen=True, slots=True)
class GrantPart:
    """A grant in the bar of what burns next."""

    grant: OpenGrant
    tone: int
    share: float
    expires_soon: bool


def parts(grants: list[OpenGrant], now: datetime) -> list[GrantPart]:
    """The open grants of one asset, in burn order, each with its share of all of them."""
    whole = exact_sum(grant.remaining + grant.held for grant in grants)
    return [
        GrantPart(
            grant=grant,
            tone=min(position, TONES),
            share=float((grant.remaining + grant.held) / whole),
            expires_soon=grant.expires_at is not None and grant.expires_at - now <= SOON,
        )
        for position, grant in enumerate(grants, start=1)
    ]
