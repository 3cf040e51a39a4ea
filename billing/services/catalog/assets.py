"""Assets: what wallets can hold."""

from django.db import IntegrityError, transaction

from accounts.services import audit
from billing.errors import AlreadyExists
from billing.models import Asset


def create(*, actor: audit.Actor, code: str, name: str, kind: str, precision: int) -> Asset:
    """Add an asset. Raises ``AlreadyExists`` where the code is taken."""
    try:
        with transaction.atomic():
            asset = Asset.objects.create(code=code, name=name, kind=kind, precision=precision)
            audit.record(
                actor=actor,
                action="asset.created",
                object_type="asset",
                object_id=code,
                after={"name": name, "kind": kind, "precision": precision},
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is an asset {code} already.") from error
    return asset
