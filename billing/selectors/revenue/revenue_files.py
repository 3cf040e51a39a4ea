"""The files of a day, from its rows: written to the outside as they are asked for, never kept."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.db import connection, transaction

from accounts.ids import uuid7
from billing.engine.journals import CONTENT_TYPES, ENDINGS, FORMATS, OF_LINES, OF_SUMS, Heading, Row, Sum
from billing.errors import InvariantViolation
from billing.models import RevenueDay

CHUNK = 2_000
IN_MEMORY = 4 * 1024 * 1024


def file(day: RevenueDay, format: str) -> Iterator[bytes]:
    """The day's file in this form (``FORMATS``), piece by piece. To be read within one database transaction."""
    heading = Heading(day.date, day.version, day.chart)
    if format in OF_LINES:
        return OF_LINES[format](heading, rows(day))
    return OF_SUMS[format](heading, sums(day))


def as_closed(day: RevenueDay, format: str) -> Iterator[bytes]:
    """The same, checked. Raises ``InvariantViolation`` at the end where it is not what it was then."""
    digest = hashlib.sha256()
    for piece in file(day, format):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != day.files[format]["sha256"]:
        raise InvariantViolation(f"The file {format} of {day} is not what it was when the day was closed.")


@dataclass(frozen=True, slots=True)
class Download:
    """A file to be handed out: ``body`` is at its beginning and is closed by whoever hands it out."""

    name: str
    content_type: str
    sha256: str
    body: IO[bytes]


def download(day: RevenueDay, format: str) -> Download:
    """The closed day's file, as it was when the day was closed. Raises ``InvariantViolation`` where it is not."""
    body = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  Whoever hands it out closes it.
    with transaction.atomic():
        for piece in as_closed(day, format):
            body.write(piece)
    body.seek(0)
    return Download(name(day, format), CONTENT_TYPES[format], day.files[format]["sha256"], body)


def name(day: RevenueDay, format: str) -> str:
    """What the file is called where somebody downloads it."""
    return f"revenue-{day.date:%Y-%m-%d}{f'-v{day.version}' if day.version > 1 else ''}.{ENDINGS[format]}"


def measured(day: RevenueDay) -> dict[str, dict[str, Any]]:
    """Of each form its SHA-256 in hexadecimal, how many bytes and how many lines it has."""
    return {format: _measured(file(day, format)) for format in FORMATS}


def _measured(pieces: Iterator[bytes]) -> dict[str, Any]:
    digest, size, lines = hashlib.sha256(), 0, 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        lines += 1
    return {"sha256": digest.hexdigest(), "bytes": size, "lines": lines}


def rows(day: RevenueDay) -> Iterator[Row]:
    """The day's lines in their order, from a cursor of the server's."""
    with connection.connection.cursor(name=f"lines-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(
            "SELECT r.number, r.movement, r.debit, r.credit, r.currency_id, r.amount, c.external_id, r.asset_id,"
            "       r.units, r.product, COALESCE(r.grant_id::text, ''), COALESCE(r.fee_id::text, ''), r.occurred_on,"
            "       r.entries"
            "  FROM billing_recognition r JOIN billing_customer c ON c.id = r.customer_id"
            " WHERE r.day_id = %s ORDER BY r.number",
            [day.pk],
        )
        while found := cursor.fetchmany(CHUNK):
            for row in found:
                yield Row(*row)


def sums(day: RevenueDay) -> list[Sum]:
    """The day's sums in their order."""
    fields = ("movement", "debit", "credit", "currency_id", "product", "occurred_on", "amount", "closing")
    return [Sum(*row) for row in day.totals.order_by("number").values_list(*fields)]
