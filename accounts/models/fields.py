"""Column types that every app shares."""

from typing import Any

from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Func

from accounts import encryption


class DatabaseTransaction(Func):
    """The number of the database transaction that runs, in PostgreSQL's own count. It never wraps."""

    template = "(pg_current_xact_id()::text::bigint)"
    arity = 0


class WrittenInField(models.BigIntegerField):  # type: ignore[type-arg]
    """Which database transaction wrote the row; PostgreSQL fills it in.

    By it alone can be told what has been committed since some moment: identifiers and times are given before the
    commit, so that a row can turn up behind one that is newer.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs["db_default"] = DatabaseTransaction()
        kwargs["editable"] = False
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["db_default"], kwargs["editable"]
        return name, path, args, kwargs


class SealedField(models.TextField):  # type: ignore[type-arg]
    """A text that the database holds only sealed, see ``accounts.encryption``.

    Bound to its table and column. It cannot be searched for: two seals of one text differ.
    ``manage.py rotate_secrets`` finds every such field by its class.
    """

    @property
    def purpose(self) -> str:
        return f"{self.model._meta.label_lower}.{self.name}"

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else encryption.seal(str(value), purpose=self.purpose)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return None if value is None else encryption.unseal(value, purpose=self.purpose)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is sealed: it cannot be searched for.")
        return super().get_lookup(lookup_name)
