from typing import Any

from django.contrib.admin import display
from django.contrib.postgres.indexes import BrinIndex
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models.fields import WrittenInField


class AuditEventManager(models.Manager["AuditEvent"]):
    """Lines with what lies beside them."""

    def get_queryset(self) -> models.QuerySet["AuditEvent"]:
        return super().get_queryset().select_related("detail")


class AuditEvent(models.Model):
    """Who changed what, when, from where. Append-only: the database refuses any change to a row.

    Subjects and actors are named by id, not by foreign key: a deleted account must not take the trail with it, and the
    trail must not keep an account from being deleted. The row is sealed for ever, so names and addresses of people
    are not in it but beside it, in ``AuditDetail``; ``actor_label``, ``ip_address``, ``before`` and ``after`` are both.
    """

    class Actor(models.TextChoices):
        USER = "user", _("Person")
        API_KEY = "api_key", _("API key")
        SYSTEM = "system", _("System")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField("when", auto_now_add=True)
    actor_kind = models.CharField("who is", max_length=16, choices=Actor.choices)
    actor_id = models.UUIDField("their id", null=True, blank=True)
    sealed_label = models.CharField(max_length=200, blank=True, db_column="actor_label", help_text="Of the system.")
    organization_id = models.UUIDField("organization", null=True, blank=True)
    action = models.CharField("what", max_length=64, help_text="A stored code such as customer.created.")
    object_type = models.CharField("of what", max_length=64)
    object_id = models.CharField("its id", max_length=255)
    sealed_before = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder, db_column="before")
    sealed_after = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder, db_column="after")
    sealed_address = models.GenericIPAddressField(
        null=True, blank=True, db_column="ip_address", help_text="Of lines that were written before there were details."
    )
    request_id = models.CharField("request", max_length=64, blank=True)
    written_in = WrittenInField()

    objects = AuditEventManager()

    class Meta:
        ordering = ["-id"]
        base_manager_name = "objects"
        indexes = [
            models.Index(fields=["object_id", "object_type"], name="accounts_audit_object_id"),
            models.Index(fields=["actor_id", "-id"], name="accounts_audit_actor"),
            models.Index(
                fields=["action", "-id"], name="accounts_audit_action", opclasses=["varchar_pattern_ops", "uuid_ops"]
            ),
            models.Index(fields=["request_id"], name="accounts_audit_request", condition=~models.Q(request_id="")),
            models.Index(fields=["organization_id", "-id"], name="accounts_audit_organization"),
            BrinIndex(fields=["created_at"], name="accounts_audit_created"),
            BrinIndex(fields=["written_in"], name="accounts_audit_written_in"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label or self.actor_kind}"

    @property
    def _beside(self) -> "AuditDetail":
        return getattr(self, "detail", None) or AuditDetail()

    @property
    @display(description="who")
    def actor_label(self) -> str:
        """Who, in words: empty for a person who was forgotten."""
        return self.sealed_label or self._beside.label

    @property
    @display(description="from")
    def ip_address(self) -> str | None:
        return self.sealed_address or self._beside.ip_address

    @property
    def before(self) -> dict[str, Any] | None:
        return _together(self.sealed_before, self._beside.before)

    @property
    def after(self) -> dict[str, Any] | None:
        return _together(self.sealed_after, self._beside.after)


def _together(sealed: dict[str, Any] | None, beside: dict[str, Any] | None) -> dict[str, Any] | None:
    return sealed if beside is None else {**(sealed or {}), **beside}


class AuditDetail(models.Model):
    """What of a line of the trail is about a person. Not sealed: it is forgotten with the person, addresses earlier."""

    line = models.OneToOneField(AuditEvent, on_delete=models.CASCADE, primary_key=True, related_name="detail")
    label = models.CharField(max_length=200, blank=True, db_index=True, help_text="The person's address at the time.")
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    before = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)

    def __str__(self) -> str:
        return self.label
