"""CSV files that a spreadsheet may open."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from portal import downloads


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")', "＝1", "＠x"])
def test_a_text_that_would_run_is_led_by_an_apostrophe(text: str) -> None:
    assert downloads.cell(text) == f"'{text}"


def test_numbers_stay_numbers() -> None:
    assert downloads.cell(Decimal("-2.50E-6")) == "-0.0000025"
    assert downloads.cell(Decimal("100.000000000000")) == "100"
    assert downloads.cell(-3) == "-3"
    assert downloads.cell(None) == ""


def test_what_is_written_is_read_back_by_the_rules() -> None:
    awkward = ['say "hi", then', "two\r\nlines", "Zürich", ""]
    text = "".join(downloads.lines(["a", "b", "c", "d"], [awkward]))
    assert text.endswith("\r\n")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a", "b", "c", "d"], awkward]


def test_times_bear_their_offset() -> None:
    assert downloads.cell(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000+00:00"


def test_a_name_cannot_break_out_of_its_header() -> None:
    response = downloads.response('a";\r\nX: y.csv', ["a"], [])
    assert response["Content-Disposition"] == 'attachment; filename="a----X--y.csv"'
