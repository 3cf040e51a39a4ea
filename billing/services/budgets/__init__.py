"""Budgets: limits on what usage may come to, decided under the same lock as the debit.

``deciding`` is what recording and authorizations ask; ``managing`` makes, changes and removes them.
"""

from billing.engine.budgets import Use
from billing.services.budgets.deciding import Budgets
from billing.services.budgets.managing import BUDGETS_MAX, Terms, change, create, remove
from billing.services.budgets.moving import PlanMoves, move
from billing.services.budgets.reading import Reading
from billing.services.budgets.resetting import reset_due

__all__ = [
    "BUDGETS_MAX",
    "Budgets",
    "PlanMoves",
    "Reading",
    "Terms",
    "Use",
    "change",
    "create",
    "move",
    "remove",
    "reset_due",
]
