"""The cost catalogue, compiled once in each process and kept until somebody changes a cost."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.engine.costs import Catalogue, Cost, Overhead, Rate, split
from billing.models import CostVersion, ProviderCost
from billing.models import Overhead as OverheadRow
from billing.pipeline import Query

CHECKED_SECONDS = 1.0
"""How long a process may go on with costs that were changed elsewhere."""
_VERSION = "SELECT number FROM billing_costversion"


@dataclass(slots=True)
class _Kept:
    version: int
    catalogue: Catalogue
    checked: float


_kept: _Kept | None = None


def catalogue() -> Catalogue:
    """The costs as this process knows them; ``check`` and ``note`` keep it up to date."""
    kept = _kept
    return kept.catalogue if kept is not None else _load()


def current() -> Catalogue:
    """The costs as they are now, for who is not in a hurry: asks the database whether they have changed."""
    number = CostVersion.objects.values_list("number", flat=True).first() or 0
    if _kept is None or _kept.version != number:
        return _load()
    return _kept.catalogue


def cost(data: Mapping[str, Any], moment: datetime) -> Cost | None:
    """What an event with this data, at ``moment``, cost the operator; None where it is not known."""
    return catalogue().cost(data, moment)


def shares(data: Mapping[str, Any], moment: datetime, fields: Sequence[str | None]) -> Sequence[Decimal | None]:
    """The event's cost divided among its lines, of which ``fields`` says what each counts; None where not known."""
    found = catalogue().cost(data, moment)
    return [None] * len(fields) if found is None or not fields else split(found, fields)


def check() -> Query | None:
    """A query that asks for the version, to go along with others; None where it was asked for just now."""
    if _kept is None or time.monotonic() - _kept.checked < CHECKED_SECONDS:
        return None
    return Query(_VERSION)


def note(checked: Query | None) -> None:
    """Take in the answer to ``check``: costs that have changed are read anew."""
    if checked is None or _kept is None:
        return
    number = checked.rows[0][0] if checked.rows else 0
    if number == _kept.version:
        _kept.checked = time.monotonic()
    else:
        _load()


def forget() -> None:
    """Read the costs anew when they are next asked for."""
    global _kept  # noqa: PLW0603
    _kept = None


def _load() -> Catalogue:
    """The version first: costs that are changed meanwhile are then found by the next check."""
    global _kept  # noqa: PLW0603
    started = time.monotonic()
    version = CostVersion.objects.values_list("number", flat=True).first() or 0
    rates = (
        Rate(provider, model, tuple(aliases), unit, unit_cost, per, above, starts, ends, source == _MANUAL)
        for provider, model, aliases, unit, unit_cost, per, above, starts, ends, source in (
            ProviderCost.objects.order_by("pk").values_list(
                "provider",
                "model",
                "aliases",
                "unit",
                "unit_cost",
                "per",
                "above",
                "effective_from",
                "effective_to",
                "source",
            )
        )
    )
    overheads = (
        Overhead(*row)
        for row in OverheadRow.objects.order_by("pk").values_list(
            "provider", "share", "fixed_amount", "cache_apart", "effective_from", "effective_to"
        )
    )
    found = Catalogue(rates, overheads)
    _kept = _Kept(version, found, started)
    return found


_MANUAL = ProviderCost.Source.MANUAL
