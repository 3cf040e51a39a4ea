"""Our books against the provider's: each comparison, and what differed."""

from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class Reconciliation(models.Model):
    """A comparison of what the provider has with what we have, over the half-open span [``since``, ``until``)."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    mode = models.CharField(max_length=16)
    since = models.DateTimeField()
    until = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    note = models.CharField(max_length=300, blank=True)
    totals = models.JSONField(default=dict, help_text="By currency: what the provider took, kept, paid back and out.")
    found = models.PositiveIntegerField(default=0)
    repaired = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="billing_reconciliation_state", condition=Q(state__in=["running", "done", "failed"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class Discrepancy(models.Model):
    """Something that the provider and we see differently. One row for each thing, however often it is found."""

    class Kind(models.TextChoices):
        CHARGE_NOT_CREDITED = "charge_not_credited", "Charged and not credited"
        CHARGE_FOREIGN = "charge_foreign", "A charge that was not asked for here"
        CHARGE_TWICE = "charge_twice", "Charged more than once"
        CHARGE_MISSING = "charge_missing", "Credited, and no charge is there"
        CHARGE_AMOUNT = "charge_amount", "Charged another amount"
        FEE = "fee", "The provider's fee is not noted"
        REFUND_FOREIGN = "refund_foreign", "A refund that was not asked for here"
        REFUND_STATE = "refund_state", "A refund stands differently"
        REFUND_AMOUNT = "refund_amount", "Another amount was paid back"
        DISPUTE = "dispute", "A dispute stands differently"
        DISPUTE_FOREIGN = "dispute_foreign", "A dispute about a payment that was not asked for here"
        PAYOUT = "payout", "A payout is not what is known here"
        PAYOUT_FAILED = "payout_failed", "A payout failed"

    class State(models.TextChoices):
        OPEN = "open", "To be looked at"
        REPAIRED = "repaired", "Put right"
        GONE = "gone", "Found no more"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    mode = models.CharField(max_length=16)
    kind = models.CharField(max_length=24, choices=Kind.choices)
    object_id = models.CharField(max_length=255, help_text="At the provider; ours, where it has none.")
    amount = AmountField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    words = models.CharField(max_length=500, help_text="What differs, and what to do.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    happened_at = models.DateTimeField()
    first_run = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="first_found")
    last_run = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="last_found")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "discrepancies"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["mode", "kind", "object_id"], name="billing_discrepancy_once"),
            models.CheckConstraint(
                name="billing_discrepancy_state", condition=Q(state__in=["open", "repaired", "gone"])
            ),
            number_check("billing_discrepancy", "amount"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.object_id}"
