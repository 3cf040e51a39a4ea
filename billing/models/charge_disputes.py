"""Charges for usage that a customer disputes with us. What a payer's bank wants back is a ``Dispute``."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.models.customers import Customer
from billing.models.usage import UsageEvent


class ChargeDispute(models.Model):
    """A customer's case: these events were charged wrongly, and why. Nothing moves until staff have decided.

    open → accepted | declined | withdrawn, once and for all. Accepted, what is left of the charges goes back as
    corrections, in the same commit.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        ACCEPTED = "accepted", _("Accepted")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="charge_disputes", db_index=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    reason = models.CharField(max_length=1000, help_text="The customer's words.")
    answer = models.CharField(max_length=1000, blank=True, help_text="What the customer is told.")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "disputed charge"
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer", "-id"], name="billing_chargedispute_customer")]
        constraints = [
            models.CheckConstraint(
                name="billing_chargedispute_status",
                condition=Q(status__in=["open", "accepted", "declined", "withdrawn"]),
            ),
            models.CheckConstraint(
                name="billing_chargedispute_closed", condition=Q(status="open") ^ Q(closed_at__isnull=False)
            ),
            models.CheckConstraint(
                name="billing_chargedispute_answered",
                condition=~Q(status__in=["accepted", "declined"]) | ~Q(answer=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()}: charges disputed by {self.customer}"


class DisputedEvent(models.Model):
    """One of the events that a case is about. An event is in one open case at most."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    dispute = models.ForeignKey(ChargeDispute, on_delete=models.PROTECT, related_name="lines")
    event = models.ForeignKey(UsageEvent, on_delete=models.PROTECT, related_name="disputed", db_constraint=False)
    open = models.BooleanField(default=True, help_text="The case is.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["dispute", "event"], name="billing_disputedevent_in_case_once"),
            models.UniqueConstraint(
                fields=["customer", "event"], name="billing_disputedevent_open_once", condition=Q(open=True)
            ),
        ]

    def __str__(self) -> str:
        return str(self.event)
