"""Column types that every app shares."""

from typing import Any

from django.db import models
from django.db.models import Func


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
