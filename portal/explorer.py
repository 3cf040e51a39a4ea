"""What the explorer's address asks for, and the addresses that lead on from there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Membership
from billing.models import Meter
from billing.selectors.ledger import balances
from billing.selectors.usage import usage
from portal import access
from portal.periods import Period
from portal.tables import page_number

TIME = "time"
DIMENSIONS = {
    "model": _("Model"),
    "user": _("User"),
    "project": _("Project"),
    "feature": _("Feature"),
    usage.API_KEY: _("API key"),
    "session": _("Session"),
}
GROUPS = {TIME: _("Time"), "model": _("Model"), usage.METER: _("Meter"), **DIMENSIONS}
_WITHOUT_WORDS = {
    "model": _("No model"),
    usage.METER: _("No meter"),
    "user": _("No user"),
    "project": _("No project"),
    "feature": _("No feature"),
    usage.API_KEY: _("No API key"),
    "session": _("No session"),
}
_WITHOUT = "without"


@dataclass(frozen=True, slots=True)
class Filter:
    """One value that the usage shown has; ``value`` is None for none. ``removed`` is the address without it."""

    name: str
    value: str | None
    shown: str
    removed: str

    @property
    def label(self) -> str:
        return str(DIMENSIONS[self.name])


@dataclass(frozen=True, slots=True)
class Question:
    """What the address asks for, made whole. What makes no sense counts as not asked."""

    period: Period
    hour: datetime | None
    """Of this hour alone. Only the list of events is asked for so little."""
    group: str
    meter: Meter | None
    asset: str
    usual_asset: str
    where: Mapping[str, str | None] = field(default_factory=dict)
    member: Membership | None = None
    """Of this member's usage alone. Only the list of events is asked for it."""
    order: str = "amount"
    descending: bool = True
    page: int = 1

    @classmethod
    def read(cls, request: HttpRequest, visit: access.Visit) -> "Question":
        group = request.GET.get("group", "")
        group = group if group in groups_for(visit) else "model"
        sort = request.GET.get("sort", "")
        usual = "-name" if group == TIME else "-amount"
        sort = sort if sort.removeprefix("-") in usage.ORDERS else usual
        return cls(
            period=Period.read(request.GET, today=timezone.now().astimezone(visit.zone).date(), zone=visit.zone),
            hour=_hour(request.GET.get("hour", "")),
            group=group,
            meter=Meter.objects.filter(code=code).first() if (code := access.asked(request, "meter")) else None,
            asset=_asset(request, visit),
            usual_asset=visit.customer.currency_id,
            where=dict(_where(request, visit)),
            member=_member(request, visit),
            order=sort.removeprefix("-"),
            descending=sort.startswith("-"),
            page=page_number(request.GET.get("page", "")),
        )

    @property
    def start(self) -> datetime:
        return self.hour or self.period.start

    @property
    def end(self) -> datetime:
        return self.hour + timedelta(hours=1) if self.hour else self.period.end

    @property
    def sort(self) -> str:
        return f"-{self.order}" if self.descending else self.order

    def query(self) -> dict[str, str]:
        """The shortest address that asks for the same."""
        asked = {"period": self.period.choice, "group": self.group}
        if self.period.choice == "custom":
            asked = {"from": self.period.first.isoformat(), "to": self.period.last.isoformat(), "group": self.group}
        if self.hour:
            asked["hour"] = self.hour.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
        if self.meter:
            asked["meter"] = self.meter.code
        if self.asset != self.usual_asset:
            asked["asset"] = self.asset
        if self.member:
            asked["member"] = str(self.member.pk)
        asked |= self.kept()
        if self.sort != ("-name" if self.group == TIME else "-amount"):
            asked["sort"] = self.sort
        if self.page > 1:
            asked["page"] = str(self.page)
        return asked

    def kept(self) -> dict[str, str]:
        """The filters alone: what a form that asks for other things sends along."""
        asked = {name: value for name, value in self.where.items() if value is not None}
        if without := [name for name, value in self.where.items() if value is None]:
            asked[_WITHOUT] = ",".join(without)
        return asked

    def link(self, *, to: str = "usage", **changes: Any) -> str:
        """The address of this question with ``changes``, from its first page on."""
        return f"{reverse(f'portal:{to}')}?{urlencode(replace(self, **({'page': 1} | changes)).query())}"

    def only(self, name: str, value: str | None) -> str:
        """The address of that value alone, over time."""
        return self.link(where={**self.where, name: value}, group=TIME, order="name", descending=True)

    def at(self, mark: datetime) -> str:
        """The address of one bar of the chart: a month by days, a day by hours, an hour's events."""
        period = self.period
        if period.granularity == "hour":
            return self.link(to="usage-events", hour=mark)
        return self.link(period=period.within(mark), group=TIME, order="name", descending=True)

    def filters(self, keys: Mapping[str, str]) -> list[Filter]:
        """Those that are set; ``keys`` are the names of API keys by id."""
        return [
            Filter(
                name,
                value,
                shown=value_name(name, value, keys),
                removed=self.link(where={each: its for each, its in self.where.items() if each != name}),
            )
            for name, value in self.where.items()
        ]


def groups_for(visit: access.Visit) -> dict[str, Any]:
    """What the person may tell usage apart by: the keys' names are not for everybody."""
    return {name: label for name, label in GROUPS.items() if name != usage.API_KEY or visit.may("keys:read")}


def key_names(visit: access.Visit) -> dict[str, str]:
    """The customer's API keys by id."""
    if not visit.may("keys:read"):
        return {}
    keys = ApiKey.objects.filter(organization=visit.membership.organization_id)
    return {str(pk): name for pk, name in keys.values_list("pk", "name")}


def value_name(name: str, value: str | None, names: Mapping[str, str]) -> str:
    """What a group is called: a meter and a key by its name, anything else by its value."""
    if value:
        return names.get(value, gettext("A key of the service") if name == usage.API_KEY else value)
    return str(_WITHOUT_WORDS[name])


def _where(request: HttpRequest, visit: access.Visit) -> Iterator[tuple[str, str | None]]:
    allowed = groups_for(visit)
    without = request.GET.get(_WITHOUT, "").split(",")
    for name in DIMENSIONS:
        if name in allowed and (value := access.asked(request, name)[:255]):
            if name != usage.API_KEY or _is_uuid(value):
                yield name, value
        elif name in allowed and name in without:
            yield name, None


def _member(request: HttpRequest, visit: access.Visit) -> Membership | None:
    """Raises ``Http404`` for one whom the person may not look at: all events instead of theirs would be wrong."""
    asked = request.GET.get("member", "")
    if asked and not _is_uuid(asked):
        raise Http404
    return access.member(visit, UUID(asked)) if asked else None


def _is_uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False


def _asset(request: HttpRequest, visit: access.Visit) -> str:
    asset = request.GET.get("asset", "")
    held = {balance.asset for balance in balances.current([visit.customer.pk])} if asset else set()
    return asset if asset in held else visit.customer.currency_id


def _hour(value: str) -> datetime | None:
    try:
        hour = datetime.strptime(value, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return hour if 2000 <= hour.year <= 2100 else None
