"""Tables of the back office as files to take along."""

from collections.abc import Iterable, Sequence

from django.http import StreamingHttpResponse

from billing.engine.spreadsheets import Cell, harmless, lines


def csv(name: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """A CSV file that is sent while it is made; ``name`` without its ending. Amounts are exact."""
    return StreamingHttpResponse(
        lines([harmless(head) for head in heads], rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
