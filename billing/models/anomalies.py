from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class SpendWatch(models.Model):
    """What is to be done where a customer's spending runs away. Without a row it is told, and nothing is paused."""

    class Action(models.TextChoices):
        TELL = "tell", "Tell"
        PAUSE = "pause", "Tell, and pause the API key"
        NOTHING = "nothing", "Do not watch"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.OneToOneField(Customer, on_delete=models.CASCADE, related_name="spend_watch")
    action = models.CharField(max_length=16, choices=Action.choices, default=Action.TELL)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="billing_spendwatch_action", condition=Q(action__in=["tell", "pause", "nothing"])
            )
        ]

    def __str__(self) -> str:
        return self.get_action_display()


class SpendAnomaly(models.Model):
    """An hour in which one customer, or one of its API keys or features, spent far more than such an hour usually."""

    class Level(models.TextChoices):
        SPIKE = "spike", "Spike"
        RUNAWAY = "runaway", "Runaway"

    class Scope(models.TextChoices):
        CUSTOMER = "customer", "All usage"
        API_KEY = "api_key", "API key"
        FEATURE = "feature", "Feature"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    hour = models.DateTimeField()
    scope = models.CharField(max_length=16, choices=Scope.choices)
    value = models.CharField(max_length=255, blank=True, help_text="Which API key, by its id, or which feature.")
    level = models.CharField(max_length=16, choices=Level.choices)
    spent = AmountField(help_text="In that hour, when it was noticed.")
    usual = AmountField(help_text="What such an hour usually comes to.")
    above = AmountField(help_text="The bound that was exceeded.")
    paused = models.BooleanField(default=False, help_text="Whether an API key was paused for it.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "spend anomalies"
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "hour", "asset", "scope", "value", "level"], name="billing_anomaly_once"
            ),
            number_check("billing_anomaly", "spent", "usual", "above", at_least=0),
            models.CheckConstraint(name="billing_anomaly_level", condition=Q(level__in=["spike", "runaway"])),
            models.CheckConstraint(
                name="billing_anomaly_scope", condition=Q(scope__in=["customer", "api_key", "feature"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_level_display()} of {self.customer}"
