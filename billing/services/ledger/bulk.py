"""Set-based writes: any number of rows as one JSON parameter, one statement.

Measured on tables of this shape: as fast as COPY, twice as fast as long parameter lists, and without a temporary
table. A row travels as a list of its values, a fifth faster than with every column's name beside its value. The column
types come from the table itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec
from django.db import connection
from psycopg import sql

from billing import pipeline
from billing.errors import InvariantViolation

_encode = msgspec.json.Encoder(decimal_format="string").encode
_encode_numbers = msgspec.json.Encoder(decimal_format="number").encode
_KEYS = ("id", "customer_id")


Rows = Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Write(pipeline.Query):
    """A query that must touch exactly ``expected`` rows."""

    expected: int = 0


def insertion(table: str, rows: Rows, *, exact_numbers: bool = False) -> Write | None:
    """Insert ``rows``, which all have the same columns; None where there are none.

    Decimals inside JSON columns are stored as strings, or, with ``exact_numbers``, as the numbers that were sent.
    """
    if not rows:
        return None
    encode = _encode_numbers if exact_numbers else _encode
    return Write(_insert_statement(table, tuple(rows[0])), [_values(rows, encode)], expected=len(rows))


def change(table: str, rows: Rows) -> Write | None:
    """Update the rows with these ``id`` and ``customer_id`` to the given values of the other columns."""
    if not rows:
        return None
    return Write(_update_statement(table, tuple(rows[0])), [_values(rows, _encode)], expected=len(rows))


def run(*queries: pipeline.Query | None) -> None:
    """Run the queries that are there in one round trip. Raises ``InvariantViolation`` where a write missed a row."""
    with Writing() as writing:
        writing.send(*queries)
        writing.wait()


class Writing(pipeline.Ahead):
    """Writes that the database works on while the caller goes on deciding."""

    def __init__(self) -> None:
        super().__init__()
        self._writes: list[Write] = []

    def send(self, *queries: pipeline.Query | None) -> None:
        """Have the database begin with those that are there."""
        self._writes += [query for query in queries if isinstance(query, Write)]
        super().send(*queries)

    def wait(self) -> None:
        """Until all is written. Raises ``InvariantViolation`` where a write missed a row."""
        super().wait()
        for write in self._writes:
            if write.count != write.expected:
                raise InvariantViolation(f"{write.count} rows written, not {write.expected}: {write.statement[:80]}")


def _values(rows: Rows, encode: Callable[[Any], bytes]) -> str:
    """The rows as lists of their values, in the order of the first row's columns."""
    return encode(list(map(itemgetter(*rows[0]), rows))).decode()


@cache
def _insert_statement(table: str, columns: tuple[str, ...]) -> str:
    return (
        sql.SQL("INSERT INTO {table} ({columns}) SELECT {values} FROM jsonb_array_elements(%s::jsonb) AS r(v)")
        .format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(_typed(table, columns).values()),
        )
        .as_string()
    )


@cache
def _update_statement(table: str, columns: tuple[str, ...]) -> str:
    values = _typed(table, columns)
    return (
        sql.SQL(
            "UPDATE {table} AS t SET {changes} FROM jsonb_array_elements(%s::jsonb) AS r(v)"
            " WHERE t.id = {id} AND t.customer_id = {customer_id}"
        )
        .format(
            table=sql.Identifier(table),
            changes=sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(column), value)
                for column, value in values.items()
                if column not in _KEYS
            ),
            **{key: values[key] for key in _KEYS},
        )
        .as_string()
    )


def _typed(table: str, columns: tuple[str, ...]) -> dict[str, sql.Composed]:
    """For each column its value in the list ``v``, as the table has it. Plain types: a length is the table's to
    check."""
    types = _column_types(table)
    value = {True: sql.SQL("NULLIF(v -> {}, 'null')"), False: sql.SQL("(v ->> {})::{}")}
    return {
        column: value[types[column] == "jsonb"].format(sql.Literal(place), sql.SQL(types[column]))
        for place, column in enumerate(columns)
    }


@cache
def _column_types(table: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table],
        )
        return dict(cursor.fetchall())
