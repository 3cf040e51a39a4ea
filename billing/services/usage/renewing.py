"""What comes before usage is decided: a billing period opens with its first event, whether or not a worker has come by,
and a budget that wants another plan at its limit gets it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from billing import pipeline
from billing.services import budgets, subscriptions
from billing.services.budgets import PlanMoves

_R = TypeVar("_R")


class PeriodBegins(Exception):
    """These customers have a billing period that is not open yet. Raised before anything is decided."""

    def __init__(self, customer_ids: Sequence[UUID]) -> None:
        super().__init__(customer_ids)
        self.customer_ids = customer_ids


def renewed_first(work: Callable[[bool], _R]) -> _R:
    """Do ``work``, which raises ``PeriodBegins`` where it is told to look (True) and a period is not open yet.

    The period is opened in a transaction of its own, and then the work is done: what the period includes pays for its
    first event. A period that cannot be opened now is for the worker, and the work is done without it. So is the
    change of plan of a budget that the work would pass; it is asked for no more once it was made, or failed. One that
    is asked for again all the same was undone by somebody else, and fails: else the two could take turns for ever.
    """
    renewing, moved = True, set[UUID]()
    while True:
        try:
            return work(renewing)
        except PeriodBegins as begins:
            subscriptions.renew(begins.customer_ids)
            renewing = False
        except PlanMoves as moves:
            budgets.move(moves.budget_id, again=moves.budget_id in moved)
            moved.add(moves.budget_id)


_DUE = "SELECT customer_id, renews_at FROM billing_subscription WHERE customer_id = %s AND renews_at IS NOT NULL"


def reading_due(customer_id: UUID) -> pipeline.Query:
    """When the customer's next periods begin, for ``refuse_due``: for work that reads no plan."""
    return pipeline.Query(_DUE, [customer_id])


def refuse_due(found: pipeline.Query, moment: datetime) -> None:
    """Raise ``PeriodBegins`` where one has begun by ``moment`` and is not open yet."""
    begun = {owner for owner, renews_at in found.rows if renews_at <= moment}
    if begun:
        raise PeriodBegins(list(begun))
