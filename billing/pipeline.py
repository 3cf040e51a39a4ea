"""Several statements in one round trip.

What a charge needs to know is a handful of small queries, and what it changes a handful of small writes; sent one by
one, the waiting in between would cost more than the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection


@dataclass(slots=True)
class Query:
    """A statement and, once it has run, its rows and how many it touched."""

    statement: str
    parameters: Sequence[Any] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    count: int = 0


# These statements find rows by their keys, whatever the planner believes about the size of a table: a plan made while a
# table was small would otherwise go on reading all of it when it has grown. For the rest of the transaction.
_BY_INDEX = (
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true)"
)


def run(queries: Sequence[Query]) -> None:
    """Send all queries, in order, on the current connection, and wait once. Each sees what the ones before it did.

    Raises as Django does for the first that fails; the ones after it have not run. JSON columns come as Python values.
    """
    assert connection.in_atomic_block
    connection.ensure_connection()
    raw = connection.connection
    with connection.wrap_database_errors:
        with raw.pipeline():
            raw.execute(_BY_INDEX, prepare=True)
            # Binary: dates and JSON need no parsing in Python.
            cursors = [
                raw.cursor(binary=True).execute(query.statement, query.parameters, prepare=True) for query in queries
            ]
        for query, cursor in zip(queries, cursors, strict=True):
            query.count = cursor.rowcount
            if cursor.description is not None:
                query.rows = cursor.fetchall()
