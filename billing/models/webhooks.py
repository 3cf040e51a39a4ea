from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models.fields import SealedField
from billing.engine.crm import FORMATS, STANDARD
from billing.models.customers import Customer
from billing.models.fields import ExactJSONDecoder


class WebhookEndpoint(models.Model):
    """An address that wants to be told: the operator's (no customer), or one customer's, told of that one alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    url = models.CharField(max_length=500)
    events = ArrayField(models.CharField(max_length=64), help_text="Types, or * for all.")
    description = models.CharField(max_length=200, blank=True)
    format = models.CharField(
        max_length=16,
        choices=list(FORMATS.items()),
        default=STANDARD,
        db_default=STANDARD,
        help_text="What is sent.",
    )
    secret = SealedField(editable=False)
    previous_secret = SealedField(null=True, editable=False)
    previous_until = models.DateTimeField(null=True, help_text="Until then the secret before signs as well.")
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=200, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Attempts that failed since the last that did not.")
    failing_since = models.DateTimeField(null=True)
    rests_until = models.DateTimeField(null=True, help_text="While it fails it is tried now and then only.")
    deleted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(name="billing_webhookendpoint_wants", condition=Q(events__len__gt=0)),
            models.CheckConstraint(name="billing_webhookendpoint_format", condition=Q(format__in=list(FORMATS))),
        ]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One message for one endpoint, with what became of it. ``message`` is its id wherever it goes, however often."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Given up")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    lane = models.UUIDField(help_text="The customer that it is about: what is about the same one goes in order.")
    message = models.UUIDField()
    type = models.CharField(max_length=64)
    data = models.JSONField(encoder=DjangoJSONEncoder, decoder=ExactJSONDecoder)
    happened_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Since it was last asked for.")
    due_at = models.DateTimeField()
    log = models.JSONField(default=list, help_text="The latest attempts: when, how long, what was answered.")
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="billing_webhook_endpoint"),
            models.Index(fields=["due_at"], name="billing_webhook_due", condition=Q(state="pending")),
            models.Index(fields=["endpoint", "lane", "id"], name="billing_webhook_lane", condition=Q(state="pending")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["message", "endpoint"], name="billing_webhook_once"),
            models.CheckConstraint(
                name="billing_webhook_state", condition=Q(state__in=["pending", "delivered", "failed"])
            ),
        ]

    def __str__(self) -> str:
        return self.type
