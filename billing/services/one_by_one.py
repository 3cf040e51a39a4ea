"""What workers do for one thing after the other: the trouble of one, of whatever kind, is not the others'."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from billing.errors import BillingError, WalletBusy

logger = logging.getLogger(__name__)

_Id = TypeVar("_Id")


def each(
    ids: Iterable[_Id],
    step: Callable[[_Id], object],
    *,
    what: str,
    expected: tuple[type[Exception], ...] = (BillingError,),
) -> int:
    """Take the step for each, and return for how many.

    What goes wrong is for the next round. It is logged with ``what`` the ids are of, and, where it was not
    ``expected``, with where it came from.
    """
    count = 0
    for id in ids:
        count += 1
        try:
            step(id)
        except expected as trouble:
            logger.warning("The %s %s waits: %s", what, id, trouble)
        except Exception:
            logger.exception("The %s %s waits", what, id)
    return count


@contextmanager
def apart(what: str, id: object) -> Iterator[None]:
    """What is done within, to one thing among others: if it goes wrong, it is for the next round. It is logged, with
    ``what`` the id is of, unless a wallet was only busy."""
    try:
        yield
    except WalletBusy:
        return
    except Exception:
        logger.exception("The %s %s waits", what, id)
