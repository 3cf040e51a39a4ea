"""What is asked after every test that used the database: are the books right, and is there no secret about?"""

import re
from typing import Any
from weakref import WeakSet

from django.db import connection

from billing.models import LedgerEntry
from billing.selectors.ledger import books
from tests import canaries

_OF_EVERYBODY = re.compile(r"WITHIN\(\w+\)")
_ANY_DIFFERENCE = " UNION ALL ".join(
    f"(SELECT '{name}' FROM ({_OF_EVERYBODY.sub('true', invariant.sql)}) found LIMIT 1)"
    for name, invariant in books.INVARIANTS.items()
).replace("%%", "%")
FEW_ENTRIES = 1_000
"""For more of them a plan is made that suits them."""
_prepared: WeakSet[object] = WeakSet()
"""Connections that have the query: planning it takes ten times as long as running it on a test's few rows."""


def check() -> None:
    if connection.in_atomic_block and not _wrote():
        return
    wrong = _any_of_few() if _are_few() else list(books.differences())
    assert not wrong, f"The books are wrong: {list(books.differences()) or wrong}"
    leaked = canaries.in_database()
    assert not leaked, f"Where no secret belongs: {leaked}"


def _are_few() -> bool:
    return LedgerEntry.objects.all()[FEW_ENTRIES : FEW_ENTRIES + 1].count() == 0


def _any_of_few() -> list[Any]:
    with connection.cursor() as cursor:
        if connection.connection not in _prepared:
            cursor.execute(f"PREPARE any_difference AS {_ANY_DIFFERENCE}")
            _prepared.add(connection.connection)
        cursor.execute("EXECUTE any_difference")
        return list(cursor.fetchall())


def _wrote() -> bool:
    """Whether the transaction changed anything, its savepoints included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        return bool(cursor.fetchone()[0])
