"""The one place that locks money rows: in primary-key order, once per transaction, before anything is read.

What was read before the lock is stale. The order everywhere: idempotency row, payment attempt, balances by id, grants,
authorization.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import connection

from billing.models import Balance


def lock_balances(customer_ids: Collection[UUID]) -> list[Balance]:
    """Lock every balance of these customers and return them as they are now.

    Whoever moves value for a customer, or decides whether an event of theirs is new, holds these locks. Each customer
    has at least one balance, so holding them means being alone with the customer.
    """
    assert connection.in_atomic_block
    rows = Balance.objects.select_for_update(of=("self",)).filter(customer_id__in=customer_ids).order_by("pk")
    # Evaluated here: a lazy queryset locks nothing.
    return list(rows)


def ledger_time() -> datetime:
    """The database's clock, read after the lock, so that ``posted_at`` follows the order of the books."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
