"""Who an external id means."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.models import Customer

_KEPT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes about a customer."""

    id: UUID
    organization_id: UUID


_known: dict[str, Identity] = {}


def identities(external_ids: Collection[str]) -> dict[str, Identity]:
    """The customers with these external ids; unknown ones are left out.

    An external id never changes hands and a customer is never deleted, so each process keeps those it has seen.
    """
    _learn([external_id for external_id in external_ids if external_id not in _known])
    return {external_id: _known[external_id] for external_id in external_ids if external_id in _known}


def forget() -> None:
    """Start anew: for tests, whose databases do delete customers."""
    _known.clear()


def _learn(external_ids: Sequence[str]) -> None:
    if not external_ids:
        return
    if len(_known) + len(external_ids) > _KEPT_MAX:
        _known.clear()
    rows = Customer.objects.filter(external_id__in=external_ids).values_list("external_id", "id", "organization_id")
    _known.update({external_id: Identity(*fields) for external_id, *fields in rows})
