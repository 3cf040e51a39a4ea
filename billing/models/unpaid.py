from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.usage import UsageEvent


class UnpaidUsage(models.Model):
    """An event that the wallet could not pay when it came, and whether it has been paid since.

    The event itself never changes; once it is collected it has charges like any other.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    event = models.ForeignKey(
        UsageEvent, on_delete=models.PROTECT, related_name="unpaid", db_constraint=False, db_index=False
    )
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, related_name="+", db_index=False, help_text="What there is too little of."
    )
    required = AmountField(help_text="How much of it the event takes.")
    open = models.BooleanField(default=True, help_text="Whether it is still to be collected.")
    collected_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["customer", "id"], name="billing_unpaidusage_open", condition=Q(open=True))]
        constraints = [
            models.UniqueConstraint(fields=["event", "customer"], name="billing_unpaidusage_once"),
            models.CheckConstraint(
                name="billing_unpaidusage_collected", condition=Q(open=False) | Q(collected_at__isnull=True)
            ),
            number_check("billing_unpaidusage", "required", at_least=0),
        ]

    def __str__(self) -> str:
        return f"Unpaid event {self.event_id}"
