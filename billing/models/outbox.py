from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.models.customers import Customer


class OutboxEvent(models.Model):
    """Something the world will be told, written in the transaction that made it true: both commit or neither.

    The relay claims rows by their state. A reader that remembers the highest id would miss one that commits late.
    """

    class State(models.TextChoices):
        NEW = "new", "New"
        RELAYED = "relayed", "Relayed"
        PARKED = "parked", "Parked"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    type = models.CharField(max_length=64)
    payload = models.JSONField(encoder=DjangoJSONEncoder)
    state = models.CharField(max_length=16, choices=State.choices, default=State.NEW)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(help_text="Not to be tried before.")
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    relayed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["due_at"], name="billing_outbox_due", condition=Q(state="new"))]
        constraints = [
            models.CheckConstraint(name="billing_outbox_state", condition=Q(state__in=["new", "relayed", "parked"])),
        ]

    def __str__(self) -> str:
        return self.type
