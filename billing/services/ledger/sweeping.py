"""What workers do for one customer after the other: each in a small transaction of its own, under its locks."""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from billing.services import one_by_one
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried


def alone(customer_id: UUID, work: Callable[[Journal], int], *, what: str) -> int:
    """Do ``work`` under the customer's locks and write what it posted; 0 where somebody else has them.

    One that fails is undone and logged, with ``what`` it was about, and the others go on: nobody's renewal waits for a
    stranger's trouble.
    """
    done = 0
    with one_by_one.apart(f"{what} of customer", customer_id):
        done = _transaction(customer_id, work)
    return done


@retried
def _transaction(customer_id: UUID, work: Callable[[Journal], int]) -> int:
    with transaction.atomic():
        journal = Journal.open([customer_id], skip_locked=True)
        if customer_id in journal.busy:
            return 0
        done = work(journal)
        journal.write()
        return done
