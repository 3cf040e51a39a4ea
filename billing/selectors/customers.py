"""Who an external id means."""

from collections.abc import Collection, Iterable
from uuid import UUID

from billing.models import Customer

_KEPT_MAX = 100_000

_known: dict[str, tuple[UUID, UUID]] = {}


def ids(external_ids: Collection[str], *, organization_id: UUID | None = None) -> dict[str, UUID]:
    """The customers with these external ids; unknown and, given an organization, foreign ones are left out.

    An external id never changes hands and a customer is never deleted, so each process keeps those it has seen.
    """
    wanted = set(external_ids)
    _learn(wanted - _known.keys())
    found = {external_id: _known[external_id] for external_id in wanted if external_id in _known}
    return {
        external_id: customer_id
        for external_id, (customer_id, owner_id) in found.items()
        if organization_id is None or owner_id == organization_id
    }


def forget() -> None:
    """Start anew: for tests, whose databases do delete customers."""
    _known.clear()


def _learn(external_ids: Iterable[str]) -> None:
    external_ids = list(external_ids)
    if not external_ids:
        return
    if len(_known) + len(external_ids) > _KEPT_MAX:
        _known.clear()
    rows = Customer.objects.filter(external_id__in=external_ids).values_list("external_id", "id", "organization_id")
    for external_id, customer_id, organization_id in rows:
        _known[external_id] = (customer_id, organization_id)
