"""Sealing: every committed row of the books is taken into the chain once, in whatever order rows commit.

PostgreSQL numbers the transactions that write, and tells the lowest that still runs. Everything below that number has
ended: its rows are visible, or never will be. So one sealing takes the rows from the last sealing's number up to this
one's. What is committed late has a number above it and is the next one's. Where the numbers begin anew, in a database
restored from a dump, one sealing looks at every row. Rows that are in a seal already are left out, always.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts.ids import uuid7
from billing import locks
from billing.engine.sealing import COVERED, GENESIS, Covered, Header
from billing.models import Seal
from billing.selectors.ledger import seals
from billing.services import outbox

ROWS_MAX = 10_000
"""In one seal."""


def seal(*, done: Callable[[int], None] = lambda count: None) -> Seal | None:
    """Seal every row whose database transaction had ended when this began. Returns the newest seal, if there is any.

    One transaction, whatever the number of rows; memory stays flat. ``done`` is told how many rows were sealed. Does
    nothing while another process seals.
    """
    with transaction.atomic():
        if not locks.only_one("seal"):
            return None
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # Cursors here are read to their end: a plan that is quick to give its first rows is not wanted.
            cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        written_before = seals.ended_before()
        head = first = seals.newest()
        cluster, now = seals.cluster(), timezone.now()
        numbered = head is not None and head.cluster == cluster
        since = head.written_before if head is not None and numbered else 0
        # Where numbers began anew, rows of before bear any number: all that can be seen are looked at.
        until = written_before if head is None or numbered else None
        for covers, covered in COVERED.items():
            for ids in _unsealed(covers, covered, since=since, until=until):
                head = _append(head, covers, ids, cluster=cluster, written_before=written_before, now=now)
                done(len(ids))
        if head is not None and head is not first:
            message = outbox.Message(
                "ledger.sealed", None, {"number": head.number, "hash": bytes(head.hash).hex(), "made_at": now}
            )
            outbox.publish([message], now=now)
    return head


def _append(
    head: Seal | None, covers: str, ids: list[UUID], *, cluster: str, written_before: int, now: datetime
) -> Seal:
    found = seals.block(covers, ids)
    header = Header(
        number=head.number + 1 if head else 1,
        previous_hash=bytes(head.hash) if head else GENESIS,
        covers=covers,
        rows=found.rows,
        first_id=ids[0],
        last_id=ids[-1],
        digest=found.digest,
        cluster=cluster,
        written_before=written_before,
        made_at=now,
    )
    return Seal.objects.create(
        number=header.number,
        previous_hash=header.previous_hash,
        hash=header.hash(),
        form=header.form,
        covers=covers,
        rows=header.rows,
        first_id=header.first_id,
        last_id=header.last_id,
        digest=header.digest,
        row_ids=ids,
        checks=found.checks,
        cluster=cluster,
        written_before=written_before,
        made_at=now,
    )


def _unsealed(covers: str, covered: Covered, *, since: int, until: int | None) -> Iterator[list[UUID]]:
    """The ids of the rows to seal, by id, in lists of at most ``ROWS_MAX``: from a cursor of the server's."""
    source, which, parameters = f"{covered.table} t", "TRUE", []
    if until is not None:
        numbered = "t"
        if covered.parent is not None:
            # A row whose parent is missing is for the invariants to name.
            table, column = covered.parent
            source, numbered = f"{source} JOIN {table} p ON p.id = t.{column}", "p"
        which, parameters = f"{numbered}.written_in >= %s AND {numbered}.written_in < %s", [since, until]
    connection.ensure_connection()
    with connection.connection.cursor(name=f"seal-{uuid7().hex}") as rows:
        rows.itersize = ROWS_MAX
        rows.execute(f"SELECT t.id FROM {source} WHERE {which} ORDER BY t.id", parameters)  # noqa: S608
        while fetched := rows.fetchmany(ROWS_MAX):
            ids = [row[0] for row in fetched]
            sealed = _already_sealed(covers, ids)
            if left := [row_id for row_id in ids if row_id not in sealed]:
                yield left


def _already_sealed(covers: str, ids: list[UUID]) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id FROM (SELECT unnest(row_ids) AS id FROM billing_seal"
            " WHERE covers = %s AND first_id <= %s AND last_id >= %s) s WHERE s.id = ANY(%s)",
            [covers, ids[-1], ids[0], ids],
        )
        return {row[0] for row in cursor}
