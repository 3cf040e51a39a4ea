from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models.fields import WrittenInField
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.usage import UsageEvent


class Correction(models.Model):
    """An operator's decision about a usage event: to take all of it back, or to refund a part. Append-only.

    The event and its charges stay as they are; what the decision changes are further charges, which point at the first
    ones, and a ledger transaction that bears the correction's id.
    """

    class Kind(models.TextChoices):
        REVERSAL = "reversal", _("Reversal")
        REFUND = "refund", _("Refund")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    event = models.ForeignKey(UsageEvent, on_delete=models.PROTECT, related_name="corrections", db_constraint=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    amount = AmountField(null=True, help_text="Of a refund: how much of the asset. A reversal gives back all.")
    reason = models.CharField(max_length=500)
    actor = models.CharField(max_length=200, help_text="Who decided. The trail has the rest.")
    created_at = models.DateTimeField()
    written_in = WrittenInField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["customer", "-id"], name="billing_correction_customer"),
            BrinIndex(fields=["written_in"], name="billing_correction_written_in"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "event"], name="billing_correction_reversal_once", condition=Q(kind="reversal")
            ),
            number_check("billing_correction", "amount"),
            models.CheckConstraint(
                name="billing_correction_kind",
                condition=Q(kind="reversal", asset__isnull=True, amount__isnull=True)
                | Q(kind="refund", asset__isnull=False, amount__isnull=False, amount__gt=0),
            ),
        ]

    def __str__(self) -> str:
        if self.amount is None:
            return "Reversal"
        return f"Refund of {amount_string(self.amount)} {self.asset_id}"
