from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from billing.models.catalog import Plan, PlanVersion
from billing.models.customers import Customer


class Subscription(models.Model):
    """A customer on a plan version, for the half-open interval [``starts_at``, ``ends_at``)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="subscriptions")
    starts_at = models.DateTimeField(help_text="Its billing periods are counted from here.")
    ends_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "plan"], condition=Q(ends_at__isnull=True), name="billing_subscription_plan_once"
            ),
            models.CheckConstraint(
                name="billing_subscription_interval", condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} on {self.plan_version}"
