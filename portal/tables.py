"""Tables that their address sorts, filters and pages. The database does it, and plain links and forms ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from portal import access

M = TypeVar("M", bound=Model)

PAGES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. ``by`` is the field that the column sorts by; without one it does not sort."""

    name: str
    label: Any
    by: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """Values of a field to choose from, each with its words. ``search``: a text that the field begins with instead."""

    name: str
    label: Any
    choices: Sequence[tuple[str, Any]] = ()
    search: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """A column as it is shown. ``state`` is what ``aria-sort`` says, ``href`` sorts by it or turns the order round."""

    label: str
    number: bool = False
    state: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter as it is shown: what it is set to."""

    filter: Filter
    value: str


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """What of a table is shown. ``first`` and ``last`` count its rows from 1; ``previous`` and ``next`` are addresses
    or empty, ``address`` is that of the whole table."""

    rows: list[M]
    count: int
    first: int
    headings: list[Heading]
    filters: list[Asked]
    previous: str
    next: str
    address: str

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def filtered(self) -> bool:
        return any(asked.value for asked in self.filters)


@dataclass(frozen=True, slots=True)
class Table:
    """On the portal's page ``name``, at ``anchor``. ``usual`` is how it is sorted unless the address says otherwise: a
    column's name, led by ``-`` for the largest first. What in an address makes no sense counts as not asked."""

    name: str
    columns: Sequence[Column]
    usual: str
    anchor: str
    filters: Sequence[Filter] = ()
    page_rows: int = 25

    def page(self, request: HttpRequest, found: QuerySet[M]) -> Page[M]:
        """The rows that the address asks for: one count and one statement."""
        sort = self._sort(access.asked(request, "sort"))
        asked = {one.name: self._value(one, access.asked(request, one.name).strip()) for one in self.filters}
        found = found.filter(**self._conditions(asked))
        count = found.count()
        pages = max(1, -(-count // self.page_rows))
        number = min(page_number(request.GET.get("page", "")), pages)
        first = (number - 1) * self.page_rows
        address = reverse(f"portal:{self.name}")

        def link(sort: str = sort, page: int = 1) -> str:
            query = {name: value for name, value in asked.items() if value}
            query |= ({"sort": sort} if sort != self.usual else {}) | ({"page": str(page)} if page > 1 else {})
            return f"{address}?{urlencode(query)}#{self.anchor}"

        by = next(column.by for column in self.columns if column.name == sort.removeprefix("-"))
        order = f"-{by}" if sort.startswith("-") else by
        return Page(
            rows=list(found.order_by(order, "-id")[first : first + self.page_rows]),
            count=count,
            first=first + 1,
            headings=[self._heading(column, sort, link) for column in self.columns],
            filters=[Asked(one, asked[one.name]) for one in self.filters],
            previous=link(page=number - 1) if number > 1 else "",
            next=link(page=number + 1) if number < pages else "",
            address=f"{address}#{self.anchor}",
        )

    def _sort(self, sort: str) -> str:
        known = {column.name for column in self.columns if column.by}
        return sort if sort.removeprefix("-") in known else self.usual

    def _value(self, one: Filter, value: str) -> str:
        if one.search:
            return value[:100]
        return value if value in {choice for choice, _ in one.choices} else ""

    def _conditions(self, asked: Mapping[str, str]) -> dict[str, str]:
        searched = {one.name for one in self.filters if one.search}
        return {f"{name}__istartswith" if name in searched else name: value for name, value in asked.items() if value}

    def _heading(self, column: Column, sort: str, link: Any) -> Heading:
        if not column.by:
            return Heading(str(column.label), column.number)
        state = ""
        if column.name == sort.removeprefix("-"):
            state = "descending" if sort.startswith("-") else "ascending"
        other = column.name if state == "descending" else f"-{column.name}"
        return Heading(str(column.label), column.number, state, link(sort=other))


def page_number(value: str) -> int:
    """A page as an address names it; the first for what is no number."""
    if not value.isascii() or not value.isdigit():
        return 1
    # Python reads no number that is much longer.
    return max(1, min(int(value[:20]), PAGES_MAX))
