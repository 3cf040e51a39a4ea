"""Reading all of a long table in steps: each statement is short, however much there is, and the memory holds one."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

STEP = 2000
"""Rows read at once."""


def every(rows: QuerySet[Any], *, newest_first: bool = False) -> Iterator[Any]:
    """Every row, oldest first unless it is said: identifiers grow with time."""
    rows = rows.order_by("-pk" if newest_first else "pk")
    beyond = "pk__lt" if newest_first else "pk__gt"
    found = list(rows[:STEP])
    while found:
        yield from found
        found = list(rows.filter(**{beyond: found[-1].pk})[:STEP]) if len(found) == STEP else []
