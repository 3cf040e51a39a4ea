"""Files to take along: CSV as RFC 4180 has it, streamed, and harmless to the spreadsheet that opens it; and paper."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse

from billing.engine.money import amount_string
from billing.engine.spreadsheets import harmless

Cell = str | Decimal | int | datetime | None


def cell(value: Cell) -> str:
    """Numbers stay numbers; a text that a spreadsheet would run as a formula is led by an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return amount_string(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, int):
        return str(value)
    return harmless(value)


class _Line:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def lines(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The header and the rows, each a line ended by CR LF."""
    writer: Any = csv.writer(_Line(), lineterminator="\r\n")
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def response(filename: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """A download that is sent while it is made, so that a long one starts at once and fills no memory."""
    return StreamingHttpResponse(
        lines(header, rows), content_type="text/csv; charset=utf-8", headers=_headers(filename)
    )


def pdf(filename: str, content: bytes) -> HttpResponse:
    """A paper."""
    return HttpResponse(content, content_type="application/pdf", headers=_headers(filename))


def _headers(filename: str) -> dict[str, str]:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in filename)
    return {"Content-Disposition": f'attachment; filename="{safe}"', "X-Content-Type-Options": "nosniff"}
