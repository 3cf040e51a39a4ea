"""Several statements in one round trip.

What a charge needs to know is a handful of small queries, and what it changes a handful of small writes; sent one by
one, the waiting in between would cost more than the work.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg
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
    with Ahead() as ahead:
        ahead.send(*queries)
        ahead.wait()


class Ahead:
    """Statements that the database works on while the caller goes on.

    What goes wrong with one of them is raised, as Django does, by the next ``send`` or by ``wait``. Without ``wait``
    nobody asks: leaving the block in between is for what will be rolled back.
    """

    def __init__(self) -> None:
        assert connection.in_atomic_block
        self._open: Any = None
        self._sent: list[tuple[Query, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._open is not None:
            with suppress(psycopg.Error):
                self._close()

    def send(self, *queries: Query | None) -> None:
        """Have the database begin with those that are there, after what was sent before."""
        with connection.wrap_database_errors:
            if self._open is None:
                connection.ensure_connection()
                self._open = connection.connection.pipeline()
                self._open.__enter__()
                connection.connection.execute(_BY_INDEX, prepare=True)
            for query in filter(None, queries):
                # Binary: dates and JSON need no parsing in Python.
                cursor = connection.connection.cursor(binary=True)
                self._sent.append((query, cursor.execute(query.statement, query.parameters, prepare=True)))

    def wait(self) -> None:
        """Until all that was sent is done: then the queries have their rows and counts."""
        with connection.wrap_database_errors:
            if self._open is not None:
                self._close()
            for query, cursor in self._sent:
                query.count = cursor.rowcount
                if cursor.description is not None:
                    query.rows = cursor.fetchall()
        self._sent.clear()

    def _close(self) -> None:
        open_, self._open = self._open, None
        open_.__exit__(None, None, None)
