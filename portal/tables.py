"""Tables that their address sorts, filters and pages. The database does it, and plain links and forms ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest
from django.urls import reverse

from portal import access

M = TypeVar("M", bound=Model)

PAGES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. ``by`` is the field that the column sorts by; without one it does not sort. ``optional``: the field
    may be empty, and rows in which it is come last either way."""

    name: str
    label: Any
    by: str = ""
    number: bool = False
    optional: bool = False

    def order(self, *, falling: bool) -> OrderBy:
        """What the database sorts by. Without empty fields nothing is said of them, so that an index serves."""
        return OrderBy(F(self.by), descending=falling, nulls_last=self.optional or None)


@dataclass(frozen=True, slots=True)
class Filter:
    """Values of the field ``by`` (without one, of that called ``name``) to choose from, each with its words.
    ``search``: a text that the field begins with instead. ``where``: what a value asks for that no field says."""

    name: str
    label: Any
    choices: Sequence[tuple[str, Any]] = ()
    search: bool = False
    by: str = ""
    where: Mapping[str, Q] = field(default_factory=dict)

    def condition(self, value: str) -> Q:
        """What fits ``value``, which is one of the choices or, of a search, any text."""
        if value in self.where:
            return self.where[value]
        return Q(**{f"{self.by or self.name}{'__istartswith' if self.search else ''}": value})


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
    """What of a table is shown. ``first`` and ``last`` count its rows from 1; ``sort`` is the name and the value
    that ask for its order. ``previous`` and ``next`` are addresses or empty, ``address`` is that of the whole table."""

    rows: list[M]
    count: int
    first: int
    headings: list[Heading]
    filters: list[Asked]
    sort: tuple[str, str]
    previous: str
    next: str
    address: str

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def many(self) -> bool:
        """Whether there is anything to choose from or to sort."""
        return self.count > 1 or self.filtered

    @property
    def filtered(self) -> bool:
        return any(asked.value for asked in self.filters)


@dataclass(frozen=True, slots=True)
class Table:
    """On the portal's page ``name``, at ``anchor``. ``usual`` is how it is sorted unless the address says otherwise: a
    column's name, led by ``-`` for the largest first. Where a page has several tables, ``prefix`` tells what is asked
    of them apart. What in an address makes no sense counts as not asked."""

    name: str
    columns: Sequence[Column]
    usual: str
    anchor: str
    filters: Sequence[Filter] = ()
    page_rows: int = 25
    prefix: str = ""

    def page(self, request: HttpRequest, found: QuerySet[M], *arguments: object) -> Page[M]:
        """The rows that the address asks for: one count and one statement. ``arguments`` are those of the address."""
        sort = self._sort(access.asked(request, f"{self.prefix}sort"))
        asked = {one.name: self._value(one, access.asked(request, one.name).strip()) for one in self.filters}
        for one in self.filters:
            if asked[one.name]:
                found = found.filter(one.condition(asked[one.name]))
        count = found.count()
        pages = max(1, -(-count // self.page_rows))
        number = min(page_number(request.GET.get(f"{self.prefix}page", "")), pages)
        first = (number - 1) * self.page_rows
        address = reverse(f"portal:{self.name}", args=arguments)

        def link(sort: str = sort, page: int = 1) -> str:
            query = {name: value for name, value in asked.items() if value}
            query |= {f"{self.prefix}sort": sort} if sort != self.usual else {}
            query |= {f"{self.prefix}page": str(page)} if page > 1 else {}
            return f"{address}?{urlencode(query)}#{self.anchor}"

        column = next(column for column in self.columns if column.name == sort.removeprefix("-"))
        order = column.order(falling=sort.startswith("-"))
        return Page(
            rows=list(found.order_by(order, "-pk")[first : first + self.page_rows]),
            count=count,
            first=first + 1,
            headings=[self._heading(column, sort, link) for column in self.columns],
            filters=[Asked(one, asked[one.name]) for one in self.filters],
            sort=(f"{self.prefix}sort", sort),
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
