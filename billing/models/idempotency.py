from django.db import models

from accounts.ids import uuid7
from accounts.models.fields import SealedField


class IdempotencyRecord(models.Model):
    """The answer to a request that moved value, under the key its sender chose.

    The row, the effect and the stored answer commit together, so that after a crash either all are there or none.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    principal = models.CharField(max_length=80, help_text="Whose key it is; two principals may choose the same one.")
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField()
    body = models.JSONField(null=True)
    secret = SealedField(null=True, editable=False, help_text="What ``secret`` says in the body, which has null there.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["principal", "key"], name="billing_idempotency_once"),
        ]

    def __str__(self) -> str:
        return self.key
