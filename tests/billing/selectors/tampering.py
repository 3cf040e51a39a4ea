"""Tampering with the books, as somebody could who has the password of the tables' owner."""

from collections.abc import Iterable

from django.db import connection

from billing.selectors.ledger import books


def unguard(tables: Iterable[str]) -> None:
    """Switch off what guards these tables, for the rest of the owner's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


def tamper(statement: str) -> set[str]:
    """The invariants that no longer hold after the statement."""
    assert (right := found()) == set(), right
    change(statement)
    return found()


def change(statement: str) -> None:
    """Run a statement that has to touch something."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount != 0, "nothing was tampered with"


def found() -> set[str]:
    """The invariants that do not hold."""
    return {difference.invariant for difference in books.differences()}
