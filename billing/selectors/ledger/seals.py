"""The chain of seals, read: what a block of rows comes to, and every way in which rows and seals can differ."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection

from billing.engine.sealing import COVERED, FORM, GENESIS, Covered, Header
from billing.models import Seal
from billing.selectors.ledger.differences import Difference

CHAIN = "Each seal has the number after the one before, its hash in it, and the right hash itself."
ROWS = "Every sealed row is there, and is as it was when it was sealed."
UNSEALED = "Every row that was written before the last sealing is in a seal."
BACKDATED = "No row says that it was written before a sealing that did not find it."
ANCHOR = "The seals are those that were noted outside of the database."
KINDS = ("chain", "anchor", "seals", "backdated", "unsealed")
STATEMENT = "Every sealed row is as it was sealed, every row that should be is sealed, and no seal was changed."

LONGEST_WRITE = timedelta(hours=1)
"""More than any database transaction can take between the time that it writes into a row and its commit."""
SLICE = 20
"""How many seals' worth of rows are looked through at a time for rows without one."""
_HEADER = (
    *("number", "previous_hash", "hash", "form", "covers", "rows"),
    *("first_id", "last_id", "digest", "cluster", "written_before", "made_at"),
)

# How each type becomes text; form NFC needs a database in UTF-8, which is the only encoding that we create.
_AS_TEXT = {
    "uuid": "{}::text",
    "text": "normalize({}, NFC)",
    "number": "trim_scale({}::numeric)::text",
    "time": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "bytes": "encode({}, 'hex')",
    "json": "normalize({}::text, NFC)",
    "address": "host({})",
    "flag": "{}::text",
}


@dataclass(frozen=True, slots=True)
class Block:
    """What rows come to: how many, the digest of all, the checks of each, and the earliest time of writing."""

    rows: int
    digest: bytes
    checks: bytes
    earliest: datetime | None


def header(seal: Seal) -> Header:
    """What of the seal is hashed."""
    return Header(
        number=seal.number,
        previous_hash=bytes(seal.previous_hash),
        covers=seal.covers,
        rows=seal.rows,
        first_id=seal.first_id,
        last_id=seal.last_id,
        digest=bytes(seal.digest),
        cluster=seal.cluster,
        written_before=seal.written_before,
        made_at=seal.made_at,
        form=seal.form,
    )


def newest() -> Seal | None:
    """The head of the chain, without its rows."""
    return Seal.objects.only(*_HEADER).order_by("-number").first()


def block(covers: str, ids: Sequence[UUID]) -> Block:
    """What the rows with these ids come to."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), sha256(string_agg(digest, ''::bytea ORDER BY id)),"
            f" string_agg(substr(digest, 1, 4) || checks, ''::bytea ORDER BY id), min(posted)"
            f" FROM ({_row(covers)} WHERE t.id = ANY(%s)) r",
            [list(ids)],
        )
        rows, digest, checks, earliest = cursor.fetchone()
    return Block(rows, bytes(digest or b""), bytes(checks or b""), earliest)


def cluster() -> str:
    """What PostgreSQL calls the cluster that it serves: another one after a restore from a dump."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT system_identifier::text FROM pg_control_system()")
        return str(cursor.fetchone()[0])


def ended_before() -> int:
    """Every database transaction with a lower number has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def differences(
    *, after: int = 0, notes: Sequence[tuple[int, str]] = (), done: Callable[[int], None] = lambda count: None
) -> Iterator[Difference]:
    """The first difference of each kind between the seals and the rows. To be read in one frozen snapshot.

    The chain is always followed from its beginning, since that costs next to nothing. The rows of seals up to number
    ``after`` are taken for right. ``notes`` are numbers and hashes, in hexadecimal, of seals as noted outside.
    ``done`` is told how many rows have been looked at.
    """
    for wrong in (_broken_chain(), not_as_noted(notes)):
        if wrong is not None:
            yield wrong
    backdated: Difference | None = None
    changed: Difference | None = None
    with connection.cursor() as cursor:
        # A block is found by its ids: nothing to compile for that.
        cursor.execute("SET LOCAL jit = off")
    before: datetime | None = None
    made_at: datetime | None = None
    for seal in Seal.objects.only(*_HEADER).order_by("number").iterator(chunk_size=500):
        if made_at is not None and made_at != seal.made_at:
            before = made_at
        made_at = seal.made_at
        if seal.number <= after:
            continue
        found = _sealed(seal)
        if changed is None and (found.rows, found.digest) != (seal.rows, bytes(seal.digest)):
            changed = _changed(seal)
            yield changed
        if backdated is None and _too_early(found.earliest, before):
            backdated = _backdated(seal.covers, _first_before(seal, before), before)
            yield backdated
        done(seal.rows)
    yield from _unsealed(after=after, backdated=backdated is not None, done=done)


def unsealed_rows() -> int:
    """How many rows there are beyond those in seals, about: from the planner's statistics where tables are large."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(sum(rows), 0) FROM billing_seal")
        sealed = int(cursor.fetchone()[0])
        cursor.execute(
            "SELECT COALESCE(sum(GREATEST(reltuples, 0)), 0) FROM pg_class WHERE oid = ANY(%s::regclass[])",
            [[covered.table for covered in COVERED.values()]],
        )
        return max(0, int(cursor.fetchone()[0]) - sealed)


def sealed_rows(after: int = 0) -> int:
    """How many rows are in the seals with a higher number than ``after``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(sum(rows), 0) FROM billing_seal WHERE number > %s", [after])
        return int(cursor.fetchone()[0])


def not_as_noted(notes: Sequence[tuple[int, str]]) -> Difference | None:
    """The first of the notes (number and hash of a seal, in hexadecimal) that the chain contradicts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.number, n.hash, encode(s.hash, 'hex') FROM unnest(%s::bigint[], %s::text[]) n(number, hash)"
            " LEFT JOIN billing_seal s ON s.number = n.number WHERE n.hash IS DISTINCT FROM encode(s.hash, 'hex')"
            " ORDER BY n.number LIMIT 1",
            [[number for number, _ in notes], [noted for _, noted in notes]],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    number, noted, found = row
    return Difference("anchor", ANCHOR, {"seal": number, "noted": noted, "found": found or "none"})


def _broken_chain() -> Difference | None:
    expected, previous = 1, GENESIS
    for seal in Seal.objects.only(*_HEADER).order_by("number").iterator(chunk_size=500):
        problem = ""
        if seal.form != FORM or seal.covers not in COVERED:
            problem = "of a form that this version does not know"
        elif seal.number != expected:
            problem = f"is where number {expected} should be"
        elif bytes(seal.previous_hash) != previous:
            problem = "names another hash for the one before"
        elif bytes(seal.hash) != header(seal).hash():
            problem = "was changed: its hash is not that of what it says"
        if problem:
            return Difference("chain", CHAIN, {"seal": seal.number, "problem": problem})
        expected, previous = expected + 1, bytes(seal.hash)
    return None


@cache
def _row(covers: str) -> str:
    """A query for the rows of a kind: id, time of writing, digest, and one byte for each field."""
    covered = COVERED[covers]
    columns = ", ".join(column for column, _ in covered.fields)
    values = ", ".join(_AS_TEXT[kind].format(f"t.{column}") for column, kind in covered.fields)
    canonical = " || ".join(
        f"COALESCE(octet_length(v.{column})::text || ':' || v.{column}, '-')" for column, _ in covered.fields
    )
    checks = " || ".join(
        # One byte, of the cheapest hash that PostgreSQL keeps the same from version to version.
        f"substr(int8send(hashtextextended(COALESCE(v.{column}, '-'), 0)), 8)"
        for column, _ in covered.fields
    )
    return (
        f"SELECT t.id, t.{covered.posted} AS posted, sha256(convert_to({canonical}, 'UTF8')) AS digest,"
        f" {checks} AS checks FROM {covered.table} t CROSS JOIN LATERAL (SELECT {values} OFFSET 0) v({columns})"
    )


def _sealed(seal: Seal) -> Block:
    """What the rows of the seal come to now."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), sha256(string_agg(r.digest, ''::bytea ORDER BY r.id)), min(r.posted)"
            f" FROM ({_row(seal.covers)}"
            f" WHERE t.id = ANY((SELECT row_ids FROM billing_seal WHERE number = %s)::uuid[])) r",
            [seal.number],
        )
        rows, digest, earliest = cursor.fetchone()
    return Block(rows, bytes(digest or b""), b"", earliest)


def _changed(seal: Seal) -> Difference:
    """Which row of a seal differs, the first by id, and in which fields as far as their checks tell."""
    covered = COVERED[seal.covers]
    width = 4 + len(covered.fields)
    seal = Seal.objects.get(number=seal.number)
    checks = bytes(seal.checks)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.id, substr(r.digest, 1, 4) || r.checks FROM ({_row(seal.covers)} WHERE t.id = ANY(%s)) r",
            [seal.row_ids],
        )
        now = {row_id: bytes(check) for row_id, check in cursor}
    for position, row_id in enumerate(seal.row_ids):
        then = checks[position * width : (position + 1) * width]
        if row_id not in now:
            return _row_difference(seal, row_id, "gone")
        if now[row_id] != then:
            fields = [
                column
                for (column, _), is_now, was in zip(covered.fields, now[row_id][4:], then[4:], strict=False)
                if is_now != was
            ]
            return _row_difference(seal, row_id, f"changed: {', '.join(fields)}" if fields else "changed")
    return Difference("seals", ROWS, {"seal": seal.number, seal.covers: "one of its rows", "problem": "changed"})


def _row_difference(seal: Seal, row_id: UUID, problem: str) -> Difference:
    return Difference("seals", ROWS, {"seal": seal.number, seal.covers: row_id, "problem": problem})


def _too_early(posted: datetime | None, sealing: datetime | None) -> bool:
    return posted is not None and sealing is not None and posted < sealing - LONGEST_WRITE


def _first_before(seal: Seal, sealing: datetime | None) -> tuple[UUID, datetime]:
    covered = COVERED[seal.covers]
    assert sealing is not None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.id, t.{covered.posted} FROM {covered.table} t"
            " WHERE t.id = ANY((SELECT row_ids FROM billing_seal WHERE number = %s)::uuid[])"
            f"  AND t.{covered.posted} < %s ORDER BY t.id LIMIT 1",
            [seal.number, sealing - LONGEST_WRITE],
        )
        row_id, posted = cursor.fetchone()
        return row_id, posted


def _backdated(covers: str, row: tuple[UUID, datetime], sealing: datetime | None) -> Difference:
    row_id, posted = row
    return Difference(
        "backdated", BACKDATED, {covers: row_id, COVERED[covers].posted: posted.isoformat(), "sealing": str(sealing)}
    )


def _unsealed(*, after: int, backdated: bool, done: Callable[[int], None]) -> Iterator[Difference]:
    """Rows in no seal that should be in one: slice by slice of ids, so that memory stays flat."""
    head = newest()
    if head is None:
        return
    # After a restore the numbers mean nothing any more; the next sealing takes whatever is in no seal.
    written_before = head.written_before if head.cluster == cluster() else 0
    bounds: dict[str, Any] = {"written_before": written_before, "posted_before": head.made_at - LONGEST_WRITE}
    reported = False
    for covers, covered in COVERED.items():
        for low, high in _slices(covers, after):
            with connection.cursor() as cursor:
                cursor.execute(_unsealed_statement(covers), bounds | {"covers": covers, "low": low, "high": high})
                for row_id, numbered, posted in cursor:
                    if numbered and not reported:
                        reported = True
                        yield Difference("unsealed", UNSEALED, {covers: row_id, covered.posted: posted.isoformat()})
                    if not numbered and not backdated:
                        backdated = True
                        yield _backdated(covers, (row_id, posted), head.made_at)
            done(0)


def _slices(covers: str, after: int) -> list[tuple[UUID | None, UUID | None]]:
    """Ranges of ids, each with some twenty seals' rows in it, from the last row of the seals up to number ``after``."""
    seals = Seal.objects.filter(covers=covers)
    start = max(seals.filter(number__lte=after).values_list("last_id", flat=True), default=None, key=_order)
    ends = sorted(seals.filter(number__gt=after).values_list("last_id", flat=True), key=_order)
    return list(pairwise([start, *ends[SLICE - 1 :: SLICE], None]))


def _order(row_id: UUID) -> int:
    return row_id.int


@cache
def _unsealed_statement(covers: str) -> str:
    covered: Covered = COVERED[covers]
    source, written_in = f"{covered.table} t", "t.written_in"
    if covered.parent is not None:
        table, column = covered.parent
        source, written_in = f"{covered.table} t LEFT JOIN {table} p ON p.id = t.{column}", "p.written_in"
    numbered = f"COALESCE({written_in} < %(written_before)s, false)"
    return (
        f"SELECT DISTINCT ON (2) t.id, {numbered}, t.{covered.posted} FROM {source}"
        f" WHERE ({numbered} OR t.{covered.posted} < %(posted_before)s)"
        "   AND (%(low)s::uuid IS NULL OR t.id > %(low)s::uuid) AND (%(high)s::uuid IS NULL OR t.id <= %(high)s::uuid)"
        "   AND NOT EXISTS (SELECT 1 FROM (SELECT unnest(row_ids) AS id FROM billing_seal WHERE covers = %(covers)s"
        "       AND (%(low)s::uuid IS NULL OR last_id > %(low)s::uuid)"
        "       AND (%(high)s::uuid IS NULL OR first_id <= %(high)s::uuid)) s WHERE s.id = t.id)"
        " ORDER BY 2, 1"
    )
