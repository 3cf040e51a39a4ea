"""CSV as RFC 4180 has it, with texts that a spreadsheet must not run. Pure."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.engine.money import amount_string

Cell = str | Decimal | int | datetime | None

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Also their full-width forms, which some programs take for the same."""


def harmless(text: str) -> str:
    """The text for a CSV file: led by an apostrophe where a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text


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
