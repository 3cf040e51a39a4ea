"""What workers do for one thing after the other: the trouble of one, of whatever kind, is not the others'."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.cache import cache
from django.db.models import Q, QuerySet

from accounts.working import WORK_SECONDS
from billing.errors import BillingError, WalletBusy

PAGE = 500
REMEMBERED_SECONDS = 3600
logger = logging.getLogger(__name__)

_Id = TypeVar("_Id")


def in_turn(due: QuerySet[Any, Any], what: str, *, seconds: float = WORK_SECONDS) -> Iterator[tuple[Any, ...]]:
    """The rows of ``due``, a page at a time, each page behind the last row of the one before: what fails and stays due
    keeps nobody waiting behind it.

    The rows are tuples that begin with what they are in the order of, which is unique. After so many
    seconds no more are given, and whoever asks next for the same ``what`` goes on behind the last one.
    """
    order, place = [str(name) for name in due.query.order_by], f"turn:{what}"
    until, last = time.monotonic() + seconds, cache.get(place)
    went_on = last is not None
    while True:
        page = list((due if last is None else due.filter(_behind(order, last)))[:PAGE])
        for last in page:
            yield last
            if time.monotonic() > until:
                cache.set(place, last[: len(order)], REMEMBERED_SECONDS)
                return
        if len(page) < PAGE:
            break
    if went_on:
        cache.delete(place)


def _behind(order: Sequence[str], row: Sequence[Any]) -> Q:
    (name, *names), (value, *values) = order, row
    later = Q(**{f"{name}__gt": value})
    if not names:
        return later
    # An index on the first alone leads to where they begin.
    return Q(**{f"{name}__gte": value}) & (later | _behind(names, values))


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
