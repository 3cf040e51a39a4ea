"""Files to take along: CSV as RFC 4180 has it, streamed, and harmless to the spreadsheet that opens it; and paper."""

from collections.abc import Iterable, Sequence

from django.http import HttpResponse, StreamingHttpResponse

from billing.engine.spreadsheets import Cell, cell, lines

__all__ = ["Cell", "cell", "lines", "pdf", "response"]


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
