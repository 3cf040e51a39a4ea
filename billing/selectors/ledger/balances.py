"""What wallets hold, as it is true at a moment, whether or not a worker has come by."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext

from billing.engine.burndown import burn_order, source
from billing.models import Grant


@dataclass(frozen=True, slots=True)
class BalanceNow:
    """One asset of one wallet. ``available`` may be spent, ``held`` is set aside by open authorizations."""

    customer_id: UUID
    asset: str
    available: Decimal
    held: Decimal
    overdraft_limit: Decimal
    lifetime_granted: Decimal
    lifetime_spent: Decimal
    seq: int


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """A grant that can be drawn now. Where it stands in the list is when its turn comes."""

    id: UUID
    asset: str
    name: str
    kind: str
    amount: Decimal
    remaining: Decimal
    held: Decimal
    expires_at: datetime | None
    restricted: bool


# A grant counts from the moment it starts and no longer than it lives: the stored balance learns of both only when a
# worker or a charge comes by. Its remainder is therefore added or taken off here.
_CURRENT = """
SELECT b.customer_id, b.asset_id,
       b.available + COALESCE(g.started, 0) - COALESCE(g.lapsed, 0),
       b.held, b.overdraft_limit, b.lifetime_granted, b.lifetime_spent, b.seq
  FROM billing_balance b
  LEFT JOIN LATERAL (
       SELECT SUM(remaining) FILTER (WHERE posted AND expires_at <= %(at)s) AS lapsed,
              SUM(remaining) FILTER (WHERE NOT posted AND effective_at <= %(at)s
                                       AND (expires_at IS NULL OR expires_at > %(at)s)) AS started
         FROM billing_grant
        WHERE balance_id = b.id AND open AND customer_id = b.customer_id
          AND ((posted AND expires_at <= %(at)s) OR (NOT posted AND effective_at <= %(at)s))
       ) g ON TRUE
 WHERE b.customer_id = ANY(%(customers)s)
 ORDER BY b.customer_id, b.asset_id
"""


def current(customer_ids: Iterable[UUID], *, at: datetime | None = None) -> list[BalanceNow]:
    """The balances of these customers, one row for each asset, by customer and asset. One statement.

    ``at`` (default: now) decides which grants have lapsed or started; it does not look into the past.
    """
    customers = list(customer_ids)
    if not customers:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_CURRENT, {"at": at or timezone.now(), "customers": customers})
        return [BalanceNow(*row) for row in cursor.fetchall()]


def open_grants(*, customer_id: UUID, at: datetime | None = None) -> list[OpenGrant]:
    """The customer's grants that hold something at ``at`` (default: now), in the order in which they burn.

    The order is the engine's own, the one that charges follow.
    """
    moment = at or timezone.now()
    rows = {
        grant.id: grant
        for grant in Grant.objects.filter(customer_id=customer_id, open=True, effective_at__lte=moment)
        if grant.remaining + grant.held > 0 and (grant.expires_at is None or grant.expires_at > moment)
    }
    sources = (
        source(
            id=grant.id,
            kind=grant.kind,
            priority=grant.priority,
            effective_at=grant.effective_at,
            expires_at=grant.expires_at,
            applies_to=grant.applies_to,
            paid_amount=grant.paid_amount,
            amount=grant.amount,
            created_at=grant.created_at,
            remaining=grant.remaining,
        )
        for grant in rows.values()
    )
    return [_open_grant(rows[each.id]) for each in burn_order(sources)]


def _open_grant(grant: Grant) -> OpenGrant:
    return OpenGrant(
        id=grant.id,
        asset=grant.asset_id,
        name=grant.name or gettext("{kind} grant").format(kind=grant.get_kind_display()),
        kind=grant.kind,
        amount=grant.amount,
        remaining=grant.remaining,
        held=grant.held,
        expires_at=grant.expires_at,
        restricted=bool(grant.applies_to),
    )


def runway_days(*, available: Decimal, spent: Decimal, days: int) -> Decimal | None:
    """How long ``available`` lasts at the mean of what was ``spent`` in ``days``; None where nothing was."""
    assert days > 0
    if spent <= 0:
        return None
    return max(available, Decimal(0)) * days / spent
