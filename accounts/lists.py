"""Lists of the back office that stay quick however many rows there are.

Three measures, for no list may read a table whole:

- pages are counted to ``ROWS_MAX`` and no further;
- periods, customers and moments at which rows were made are followed along an index;
- everything else that a list is narrowed by, and every other order, looks through ``LOOKED_THROUGH`` rows at a time,
  the latest first, and the list says so. A filter that knows of none after some id begins there (``up_to_its_end``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.views.main import ORDER_VAR
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.utils import parse_datetime_str
from unfold.views import ChangeList

from accounts.ids import first_id

ROWS_MAX = 10_000
LOOKED_THROUGH = 100_000
BEFORE = "before"
"""The parameter that says where to go on looking: the last id that was looked at."""
SLACK = timedelta(hours=1)
"""An id is made a little before the moment that its row bears, never this much."""
YEARS = range(1970, 9999)
"""Those in which a little before and after any moment is a moment as well, and ids can tell it."""


def made_within(field: str, start: datetime | None, end: datetime | None) -> Q:
    """Rows whose ``field``, the moment at which they were made or booked, is in [``start``, ``end``): found by their
    ids, which grow with time. None leaves that side open."""
    found = Q()
    if start is not None:
        found &= Q(**{f"{field}__gte": start, "pk__gte": first_id(start - SLACK)})
    if end is not None:
        found &= Q(**{f"{field}__lt": end, "pk__lt": first_id(end + SLACK)})
    return found


class MomentFilter(RangeDateTimeFilter):  # type: ignore[misc]
    """From one moment to another, in the time zone that the pages show. A day without a time is the whole day."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        start, end = self._moment("from", "00:00:00"), self._moment("to", "23:59:59")
        return queryset.filter(self.within(start, None if end is None else end + timedelta(seconds=1)))

    def within(self, start: datetime | None, end: datetime | None) -> Q:
        found = Q() if start is None else Q(**{f"{self.field_path}__gte": start})
        return found if end is None else found & Q(**{f"{self.field_path}__lt": end})

    def _moment(self, side: str, otherwise: str) -> datetime | None:
        day, time = (self.used_parameters.get(f"{self.field_path}_{side}_{part}") for part in (0, 1))
        found = parse_datetime_str(f"{day} {time or otherwise}") if day else None
        return None if found is None or found.year not in YEARS else timezone.make_aware(found)


class MadeFilter(MomentFilter):
    """The same of the moment at which rows were made, with ids that grow with time."""

    runs_along_ids = True

    def within(self, start: datetime | None, end: datetime | None) -> Q:
        return made_within(self.field_path, start, end)


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than ``ROWS_MAX``: beyond it people narrow the list down, and the database is left in peace."""

    template_name = "admin/ante/pagination.html"

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through. One more than that is looked for, to know whether there are more."""
        return min(self._counted, ROWS_MAX)

    @property
    def is_capped(self) -> bool:
        return self._counted > ROWS_MAX

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        if isinstance(rows, list):
            return len(rows)
        counted: int = rows.order_by()[: ROWS_MAX + 1].count()
        return counted


@dataclass(frozen=True, slots=True)
class Look:
    """How far a list looked for what it shows, where it did not look at everything."""

    rows: str
    further: str | None
    """The address at which the rows before them are looked through; None where there are none."""
    latest: str | None
    """The address at which looking began; None where this is it."""


class QuickList(ChangeList):  # type: ignore[misc]
    """A list that says how many rows it found and how far it looked for them, not how many there would be in all."""

    look: Look | None = None

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        found.pop(BEFORE, None)
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        along = [spec for spec in self.filter_specs if self._runs_along_index(spec)]
        return self._looked_through(request, found, along) if self._is_sifted(along) else found

    def _looked_through(self, request: HttpRequest, found: QuerySet[Any], along: Iterable[Any]) -> QuerySet[Any]:
        """Those of ``found`` that are among the ``LOOKED_THROUGH`` rows before a place, or before all others."""
        rows = self.model._default_manager.all()
        for spec in along:
            rows = spec.queryset(request, rows)
        for spec in self.filter_specs:
            if hasattr(spec, "up_to_its_end"):
                rows = spec.up_to_its_end(rows)
        rows, _ = self.model_admin.get_search_results(request, rows, self.query)
        place = self._place(request)
        if place is not None:
            rows, found = rows.filter(pk__lt=place), found.filter(pk__lt=place)
        last = rows.order_by("-pk").values_list("pk", flat=True)[LOOKED_THROUGH - 1 : LOOKED_THROUGH + 1]
        match list(last):
            case [floor, _]:
                further, found = self.get_query_string({BEFORE: str(floor)}), found.filter(pk__gte=floor)
                if ORDER_VAR not in self.params:  # Another order's index would lead through all rows.
                    found = found.order_by("-pk")
            case _:
                further = None
        if further or place is not None:
            latest = None if place is None else self.get_query_string(remove=[BEFORE])
            self.look = Look(f"{LOOKED_THROUGH:,}", further, latest)
        return found

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count

    def _runs_along_index(self, spec: Any) -> bool:
        return getattr(spec, "runs_along_ids", False) or getattr(spec, "field_path", "") in self.model_admin.indexed

    def _is_sifted(self, along: Iterable[Any]) -> bool:
        """Whether anything is asked for, an order or a value, for which no index is there."""
        known = {name for spec in along for name in spec.expected_parameters()}
        asked = {name for name, values in self.get_filters_params().items() if any(values)}
        return bool(asked - known) or bool(self.params.get(ORDER_VAR))

    def _place(self, request: HttpRequest) -> Any:
        value = request.GET.get(BEFORE)
        if not value or "\x00" in value:
            return None
        try:
            return self.opts.pk.to_python(value)
        except ValidationError:
            return None
