"""What an organization lays down for itself."""

from collections.abc import Sequence

from django.db import transaction

from accounts.models import Organization
from accounts.services import api_keys, audit


def allow_from(organization: Organization, networks: Sequence[str], *, actor: audit.Actor) -> None:
    """Let the organization's people and keys in from these CIDR blocks only; from everywhere if there are none."""
    with transaction.atomic():
        row = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before, row.allowed_networks = row.allowed_networks, list(networks)
        row.save(update_fields=["allowed_networks"])
        audit.record(
            actor=actor,
            action="organization.networks_changed",
            object_type="organization",
            object_id=str(row.pk),
            organization_id=row.pk,
            before={"allowed_networks": before},
            after={"allowed_networks": row.allowed_networks},
        )
    api_keys.forget()
