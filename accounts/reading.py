"""How a person reads: their language, and how they write numbers and dates. What is shown to them keeps to it.

``reading_as`` makes it hold for a while, as Django's ``translation.override`` does for the language alone. Outside of
it everything is English, with ``1,234.56`` and ``Nov 21, 2026``: the API, the back office, files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.dateformat import format as date_format
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from accounts.models import User

MINUS = "\N{MINUS SIGN}"
_THIN = "\N{NARROW NO-BREAK SPACE}"


class NumberStyle(models.TextChoices):
    COMMA_POINT = "comma_point", "1,234.56"
    POINT_COMMA = "point_comma", "1.234,56"
    SPACE_COMMA = "space_comma", f"1{_THIN}234,56"
    MARK_POINT = "mark_point", "1’234.56"


class DateStyle(models.TextChoices):
    MONTH_FIRST = "month_first", _("Nov 21, 2026")
    DAY_FIRST = "day_first", _("21 Nov 2026")
    DOTTED = "dotted", "21.11.2026"
    ISO = "iso", "2026-11-21"


_SEPARATORS = {
    NumberStyle.COMMA_POINT: (",", "."),
    NumberStyle.POINT_COMMA: (".", ","),
    NumberStyle.SPACE_COMMA: (_THIN, ","),
    NumberStyle.MARK_POINT: ("’", "."),
}
_DATES = {
    # With the year, without it, the month alone: Django's letters for dates.
    DateStyle.MONTH_FIRST: ("M j, Y", "M j", "M Y"),
    DateStyle.DAY_FIRST: ("j M Y", "j M", "M Y"),
    DateStyle.DOTTED: ("d.m.Y", "d.m.", "M Y"),
    DateStyle.ISO: ("Y-m-d", "m-d", "Y-m"),
}
_USUAL = {
    "en": (NumberStyle.COMMA_POINT, DateStyle.MONTH_FIRST),
    "de": (NumberStyle.POINT_COMMA, DateStyle.DOTTED),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A language that there is, and how numbers and dates are written."""

    language: str
    numbers: NumberStyle
    dates: DateStyle

    @classmethod
    def of(cls, language: str, numbers: str = "", dates: str = "") -> "Reading":
        """What was chosen; where nothing was, what is usual in the language."""
        language = language if language in _USUAL else settings.LANGUAGE_CODE
        usual_numbers, usual_dates = _USUAL[language]
        return cls(language, NumberStyle(numbers or usual_numbers), DateStyle(dates or usual_dates))

    @property
    def group(self) -> str:
        return _SEPARATORS[self.numbers][0]

    @property
    def point(self) -> str:
        return _SEPARATORS[self.numbers][1]


PLAIN = Reading.of("en")
_active: ContextVar[Reading] = ContextVar("reading", default=PLAIN)


def active() -> Reading:
    """The one that holds now."""
    return _active.get()


@contextmanager
def reading_as(reading: Reading) -> Iterator[None]:
    """Let it hold within."""
    token = _active.set(reading)
    try:
        with translation.override(reading.language):
            yield
    finally:
        _active.reset(token)


def of_request(request: HttpRequest) -> Reading:
    """The person's own choice, and where there is none, what their browser asks for."""
    user = request.user
    asked = translation.get_language_from_request(request)
    if not user.is_authenticated:
        return Reading.of(asked)
    return Reading.of(user.language or asked, user.number_style, user.date_style)


def of_user(user: "User") -> Reading:
    """For what is written to the person: where they chose no language, the one that is spoken now."""
    return Reading.of(user.language or active().language, user.number_style, user.date_style)


def digits(plain: str) -> str:
    """``1,234.56`` as the reader writes it."""
    reading = active()
    return plain.translate({ord(","): reading.group, ord("."): reading.point})


def ungrouped(plain: str) -> str:
    """``1234.5`` as the reader would type it: what a form is filled in with."""
    return plain.replace(".", active().point)


def typed(text: str) -> str:
    """A number as the reader typed it, as programs write it: ``1.234,5`` becomes ``1234.5``.

    What stands between thousands is dropped. A single comma or point that is no place for thousands is the decimal
    point, whichever of the two the reader writes: ``12,5`` and ``12.5`` are the same everywhere, ``1.250`` is not.
    """
    text = "".join(text.split()).replace("'", "").replace("’", "")
    last = max(text.rfind(","), text.rfind("."))
    if last < 0:
        return text
    mark, whole, fraction = text[last], text[:last], text[last + 1 :]
    other = "." if mark == "," else ","
    thousands = len(fraction) == 3 and whole.lstrip("-+").isdigit() and 1 <= len(whole.lstrip("-+0")) <= 3
    if text.count(mark) > 1 or (other not in whole and mark != active().point and thousands):
        return text.replace(mark, "") if other not in text else text
    return f"{whole.replace(other, '')}.{fraction}"


def typed_several(text: str) -> list[str]:
    """Several numbers, with or without percent signs: ``50, 80``, or ``12,5; 50`` where a comma is a decimal point."""
    between = "%;" if active().point == "," else "%;,"
    return [typed(part.strip(",")) for part in text.translate(str.maketrans(between, " " * len(between))).split()]


def day(moment: date) -> str:
    """``Nov 21, 2026``; of a moment the day in the zone that is active."""
    return _date(moment, 0)


def day_of_year(moment: date) -> str:
    """``Nov 21``."""
    return _date(moment, 1)


def month(moment: date) -> str:
    """``Nov 2026``."""
    return _date(moment, 2)


def moment(at: datetime) -> str:
    """``Nov 21, 2026 17:05``, in the zone that is active."""
    return f"{day(at)} {timezone.localtime(at):%H:%M}"


def _date(moment: date, which: int) -> str:
    local = timezone.localtime(moment) if isinstance(moment, datetime) and timezone.is_aware(moment) else moment
    return date_format(local, _DATES[active().dates][which])
