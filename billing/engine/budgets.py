"""Budgets: what they cover, and the windows of time that they are for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.engine.metering import dimension, find
from billing.engine.money import EXACT
from billing.engine.periods import period

FIELDS = ("user", "project", "feature", "model", "session")
"""The fields of an event's data that a budget can be for."""
EACH = "*"
"""In place of a value: each value has the whole limit for itself."""

_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Use:
    """Usage as budgets see it: what kind of event, its data, and the key that reports it."""

    type: str
    data: Mapping[str, Any]
    api_key_id: UUID | None

    def text(self, name: str) -> str | None:
        """The value of ``type`` or of a field in ``FIELDS``; None where the usage does not say."""
        if name == "type":
            return self.type or None
        value = find(self.data, name)
        return dimension(value) if isinstance(value, str | int | Decimal) else None

    def texts(self) -> list[str]:
        """All values that a budget's counters may be kept under."""
        return [text for name in ("type", *FIELDS) if (text := self.text(name))]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which usage a budget covers: all of it, or what has all of these values.

    ``values`` gives for a field, or ``type``, the value or ``EACH``; ``keys`` are the API keys it is for, None for any.
    ``members`` are people's e-mail addresses, all in lower case: usage of users of these names, and what
    ``member_keys`` report. Without any it is for everybody.
    """

    values: Mapping[str, str]
    keys: Collection[UUID] | None = None
    members: Collection[str] = ()
    member_keys: Collection[UUID] = ()

    def counter(self, use: Use) -> str | None:
        """Under which value the usage counts: what stands for ``EACH``, empty without one. None: it is not covered."""
        if self.keys is not None and use.api_key_id not in self.keys:
            return None
        if self.members and not self._is_members(use):
            return None
        found = ""
        for name, wanted in self.values.items():
            text = use.text(name)
            if text is None or wanted not in {text, EACH}:
                return None
            if wanted == EACH:
                found = text
        return found

    def _is_members(self, use: Use) -> bool:
        return use.api_key_id in self.member_keys or (use.text("user") or "").lower() in self.members


def window(moment: datetime, kind: str, *, zone: tzinfo) -> tuple[datetime, datetime | None]:
    """The window [start, end) of an ``hour``, ``day``, ``week`` (from Monday) or ``month`` that holds ``moment``.

    By the clock of ``zone``, given in UTC. ``total`` is one window, from ``moment`` on and without an end.
    """
    if kind == "total":
        return moment, None
    if kind == "hour":
        local = moment.astimezone(zone)
        start = moment - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return start.astimezone(UTC), (start + _HOUR).astimezone(UTC)
    return period(moment, anchor=_MONDAY.replace(tzinfo=zone), interval=kind, zone=zone)


def level(spent: Decimal, *, limit: Decimal, alert_at: Sequence[Decimal]) -> int:
    """How many of the shares ``alert_at``, in rising order, of ``limit`` are reached."""
    if limit <= 0:
        return 0
    return sum(spent >= EXACT.multiply(share, limit) for share in alert_at)
