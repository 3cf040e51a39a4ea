"""What workers do for one customer after the other: each in a small transaction of its own, under its locks."""

import logging
from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from billing.errors import WalletBusy
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried

logger = logging.getLogger(__name__)


def alone(customer_id: UUID, work: Callable[[Journal], int], *, what: str) -> int:
    """Do ``work`` under the customer's locks and write what it posted; 0 where somebody else has them.

    One that fails is logged, with ``what`` it was about, and undone, and the others go on: nobody's renewal waits for
    a stranger's trouble.
    """
    try:
        return _transaction(customer_id, work)
    except WalletBusy:
        return 0
    except Exception:
        logger.exception("The %s of customer %s could not be looked after", what, customer_id)
        return 0


@retried
def _transaction(customer_id: UUID, work: Callable[[Journal], int]) -> int:
    with transaction.atomic():
        journal = Journal.open([customer_id], skip_locked=True)
        if customer_id in journal.busy:
            return 0
        done = work(journal)
        journal.write()
        return done
