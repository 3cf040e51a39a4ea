"""Budgets: limits on what usage may come to, decided under the same lock as the debit.

``deciding`` is what recording and authorizations ask; ``managing`` makes, changes and removes them.
"""

from billing.engine.budgets import Use
from billing.services.budgets.deciding import Budgets
from billing.services.budgets.managing import BUDGETS_MAX, PEOPLE_MAX, Terms, change, create, remove
from billing.services.budgets.moving import PlanMoves, move
from billing.services.budgets.reading import Reading, held_by, reading_held
from billing.services.budgets.resetting import reset_due
from billing.services.budgets.states import Held, utc

__all__ = [
    "BUDGETS_MAX",
    "PEOPLE_MAX",
    "Budgets",
    "Held",
    "PlanMoves",
    "Reading",
    "Terms",
    "Use",
    "change",
    "create",
    "held_by",
    "move",
    "reading_held",
    "remove",
    "reset_due",
    "utc",
]
