"""How a person reads: numbers and dates as they write them."""

from datetime import UTC, date, datetime

import pytest
from django.test import RequestFactory
from django.utils import translation

from accounts import reading
from accounts.models import User
from accounts.reading import DateStyle, NumberStyle, Reading


@pytest.mark.parametrize(
    ("style", "shown", "filled_in"),
    [
        (NumberStyle.COMMA_POINT, "1,234,567.5", "1234567.5"),
        (NumberStyle.POINT_COMMA, "1.234.567,5", "1234567,5"),
        (NumberStyle.SPACE_COMMA, "1\u202f234\u202f567,5", "1234567,5"),
        (NumberStyle.MARK_POINT, "1’234’567.5", "1234567.5"),
    ],
)
def test_what_is_shown_can_be_typed_in_again(style: NumberStyle, shown: str, filled_in: str) -> None:
    with reading.reading_as(Reading.of("en", style)):
        assert reading.digits("1,234,567.5") == shown
        assert reading.typed(shown) == "1234567.5"
        assert reading.ungrouped("1234567.5") == filled_in
        assert reading.typed(filled_in) == "1234567.5"
        for small in ("0.125", "12.5", "250", "-3.25"):
            assert reading.typed(reading.ungrouped(small)) == small


@pytest.mark.parametrize(
    ("language", "text", "number"),
    [
        ("en", "1,250", "1250"),
        ("en", "1.250", "1.250"),
        ("en", "12,50", "12.50"),
        ("en", "1,234,567", "1234567"),
        ("en", " 1 234.5 ", "1234.5"),
        ("de", "1.250", "1250"),
        ("de", "1,250", "1.250"),
        ("de", "12.50", "12.50"),
        ("de", "0.125", "0.125"),
        ("de", "1.234.567,8", "1234567.8"),
        ("de", "many", "many"),
        ("en", "1.2.3,4,5", "1.2.3,4,5"),
    ],
)
def test_a_number_as_people_type_it(language: str, text: str, number: str) -> None:
    with reading.reading_as(Reading.of(language)):
        assert reading.typed(text) == number


def test_several_numbers() -> None:
    assert reading.typed_several("50,80, 100%") == ["50", "80", "100"]
    with reading.reading_as(Reading.of("de")):
        assert reading.typed_several("12,5; 50 80") == ["12.5", "50", "80"]
        assert reading.typed_several("50, 80, 100") == ["50", "80", "100"]


@pytest.mark.parametrize(
    ("style", "whole", "short", "month"),
    [
        (DateStyle.MONTH_FIRST, "Mar 5, 2026", "Mar 5", "Mar 2026"),
        (DateStyle.DAY_FIRST, "5 Mar 2026", "5 Mar", "Mar 2026"),
        (DateStyle.DOTTED, "05.03.2026", "05.03.", "Mar 2026"),
        (DateStyle.ISO, "2026-03-05", "03-05", "2026-03"),
    ],
)
def test_dates(style: DateStyle, whole: str, short: str, month: str) -> None:
    with reading.reading_as(Reading.of("en", dates=style)):
        for moment in (date(2026, 3, 5), datetime(2026, 3, 5, 12, tzinfo=UTC)):
            assert (reading.day(moment), reading.day_of_year(moment), reading.month(moment)) == (whole, short, month)


def test_the_choice_counts_before_the_browser() -> None:
    request = RequestFactory().get("/", headers={"accept-language": "fr, de-AT;q=0.9, en;q=0.5"})
    request.user = User()
    assert reading.of_request(request).language == "de"
    request.user = User(language="en", number_style=NumberStyle.SPACE_COMMA)
    assert reading.of_request(request) == Reading("en", NumberStyle.SPACE_COMMA, DateStyle.MONTH_FIRST)
    assert Reading.of("xx") == reading.PLAIN


def test_it_holds_within_and_no_longer() -> None:
    with reading.reading_as(Reading.of("de")):
        assert translation.get_language() == "de"
        assert reading.digits("1.5") == "1,5"
    assert translation.get_language() == "en"
    assert reading.active() == reading.PLAIN
