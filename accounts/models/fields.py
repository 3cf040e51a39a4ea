from typing import Any

from django.core.exceptions import FieldError
from django.db import models

from accounts import encryption


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
