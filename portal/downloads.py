"""Files to take along: CSV as RFC 4180 has it, streamed, and harmless to the spreadsheet that opens it; Parquet, which
keeps the types; and paper."""

from collections.abc import Iterable, Mapping, Sequence

from django.http import Http404, HttpResponse, StreamingHttpResponse

from billing.engine.journals import CONTENT_TYPES, PARQUET
from billing.engine.spreadsheets import Cell, cell, lines
from billing.gateways import parquet

__all__ = ["CSV", "PARQUET", "Cell", "cell", "formats", "lines", "pdf", "response", "table"]

CSV = "csv"


def formats() -> list[str]:
    """What tables can be had as here."""
    return [CSV, PARQUET] if parquet.installed() else [CSV]


def table(name: str, format: str, columns: Mapping[str, str], rows: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """A download in one of ``formats``, named without its ending. ``columns`` are names and types, as
    ``parquet.write`` has them. Raises ``Http404`` for a format that cannot be had here."""
    if format == CSV:
        return response(f"{name}.{CSV}", list(columns), rows)
    if format not in formats():
        raise Http404
    return StreamingHttpResponse(
        parquet.stream(columns, rows), content_type=CONTENT_TYPES[PARQUET], headers=_headers(f"{name}.{PARQUET}")
    )


def response(filename: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """A CSV file that is sent while it is made, so that a long one starts at once and fills no memory."""
    return StreamingHttpResponse(
        lines(header, rows), content_type="text/csv; charset=utf-8", headers=_headers(filename)
    )


def pdf(filename: str, content: bytes) -> HttpResponse:
    """A paper."""
    return HttpResponse(content, content_type="application/pdf", headers=_headers(filename))


def _headers(filename: str) -> dict[str, str]:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in filename)
    return {"Content-Disposition": f'attachment; filename="{safe}"'}
