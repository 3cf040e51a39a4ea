"""Sealing secrets at rest anew, under the ring's first key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.functions import Cast

from accounts import encryption
from accounts.models.fields import SealedField

ROWS = 500


@dataclass(slots=True)
class Found:
    """What became of one column."""

    column: str
    current: int = 0
    sealed_anew: int = 0
    unreadable: int = 0


def sealed_fields() -> Iterator[tuple[type[models.Model], SealedField]]:
    """Every sealed column of every app."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, SealedField) and not model._meta.proxy:
                yield model, field


def rotate(*, dry_run: bool = False) -> list[Found]:
    """Seal what an older key sealed with the first key. What no key opens is left as it is, and counted."""
    return [_rotate(model, field, dry_run=dry_run) for model, field in sealed_fields()]


def _rotate(model: type[models.Model], field: SealedField, *, dry_run: bool) -> Found:
    found = Found(f"{model._meta.db_table}.{field.column}")
    newest = encryption.sealing_key_id()
    rows: Any = model._default_manager.exclude(**{f"{field.name}__isnull": True})
    stored = rows.annotate(as_stored=Cast(field.name, models.TextField())).order_by("pk")
    keys = list(stored.values_list("pk", flat=True))
    for start in range(0, len(keys), ROWS):
        for pk, sealed in stored.filter(pk__in=keys[start : start + ROWS]).values_list("pk", "as_stored"):
            text = _opened(field, sealed)
            if text is None:
                found.unreadable += 1
            elif encryption.key_id_of(sealed) == newest:
                found.current += 1
            else:
                found.sealed_anew += 1
                if not dry_run:
                    # Only over what was read: whoever changed it meanwhile has sealed it with the first key.
                    stored.filter(pk=pk, as_stored=sealed).update(**{field.name: text})
    return found


def _opened(field: SealedField, sealed: str) -> str | None:
    try:
        return encryption.unseal(sealed, purpose=field.purpose)
    except encryption.CannotOpen:
        return None
