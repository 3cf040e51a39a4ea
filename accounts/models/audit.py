from django.contrib.postgres.indexes import BrinIndex
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from accounts.ids import uuid7
from accounts.models.fields import WrittenInField


class AuditEvent(models.Model):
    """Who changed what, when, from where. Append-only: the database refuses any change to a row.

    Subjects and actors are named by id and label, not by foreign key: a deleted account must not take the trail with
    it, and the trail must not keep an account from being deleted.
    """

    class Actor(models.TextChoices):
        USER = "user", "Person"
        API_KEY = "api_key", "API key"
        SYSTEM = "system", "System"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    actor_kind = models.CharField(max_length=16, choices=Actor.choices)
    actor_id = models.UUIDField(null=True, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    organization_id = models.UUIDField(null=True, blank=True)
    action = models.CharField(max_length=64, help_text="A stored code such as customer.created.")
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=255)
    before = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    written_in = WrittenInField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="accounts_audit_object"),
            models.Index(fields=["organization_id", "-id"], name="accounts_audit_organization"),
            BrinIndex(fields=["written_in"], name="accounts_audit_written_in"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label or self.actor_kind}"
