from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.catalog import PlanVersion
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.wallets import Grant


class RecurringGrant(models.Model):
    """What a customer is given anew each period, beside any plan.

    Its rows are written by whoever holds the customer's balance locks. ``next_at`` is the start of the period that is
    to be granted next; none where there is no further one.
    """

    class Kind(models.TextChoices):
        PROMOTIONAL = Grant.Kind.PROMOTIONAL.value, Grant.Kind.PROMOTIONAL.label
        ALLOWANCE = Grant.Kind.ALLOWANCE.value, Grant.Kind.ALLOWANCE.label

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        ACTIVE = "active", _("Active")
        PAUSED = "paused", _("Paused")
        ENDED = "ended", _("Ended")
        CANCELED = "canceled", _("Canceled")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="recurring_grants")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    amount = AmountField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=200, blank=True)
    priority = models.PositiveSmallIntegerField(help_text="0 to 100; the lower burns first.")
    applies_to = models.JSONField(default=dict, blank=True, help_text='What it may pay for, as {"meters": [...]}.')
    metadata = models.JSONField(default=dict, blank=True)
    interval = models.CharField(max_length=16, choices=PlanVersion.Interval.choices)
    starts_at = models.DateTimeField(help_text="Its periods are counted from here.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="No period starts then or later.")
    timezone = models.CharField(max_length=64, help_text="The customer's when it was made: later changes move nothing.")
    times = models.PositiveIntegerField(null=True, blank=True, help_text="How many periods there are.")
    lapses = models.BooleanField(default=True, help_text="What is left of each grant expires with its period.")
    rollover_limit = AmountField(default=0, help_text="How much of what lapses comes again with the next period.")
    next_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["next_at"],
                name="billing_recurring_due",
                condition=Q(next_at__isnull=False, paused_at__isnull=True),
            ),
        ]
        constraints = [
            models.CheckConstraint(name="billing_recurring_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_recurring", "amount", "rollover_limit", at_least=0),
            models.CheckConstraint(name="billing_recurring_kind", condition=Q(kind__in=["promotional", "allowance"])),
            models.CheckConstraint(
                name="billing_recurring_interval", condition=Q(interval__in=["day", "week", "month", "quarter", "year"])
            ),
            models.CheckConstraint(name="billing_recurring_priority", condition=Q(priority__lte=100)),
            models.CheckConstraint(name="billing_recurring_times", condition=Q(times__isnull=True) | Q(times__gte=1)),
            models.CheckConstraint(
                name="billing_recurring_ends", condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(name="billing_recurring_rollover", condition=Q(lapses=True) | Q(rollover_limit=0)),
            models.CheckConstraint(
                name="billing_recurring_canceled", condition=Q(canceled_at__isnull=True) | Q(next_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return (
            f"{self.name or self.get_kind_display()}: {amount_string(self.amount)} {self.asset_id} each {self.interval}"
        )

    def status_at(self, moment: datetime) -> "RecurringGrant.Status":
        """What it is at ``moment``."""
        if self.canceled_at is not None:
            return self.Status.CANCELED
        if self.next_at is None:
            return self.Status.ENDED
        if self.paused_at is not None:
            return self.Status.PAUSED
        return self.Status.SCHEDULED if self.starts_at > moment else self.Status.ACTIVE


class RecurringGrantPeriod(models.Model):
    """A period of a recurring grant, one row each, written when its grant was made: the last guard against a second.

    ``grant`` is none where the period was over, without anything to carry on, before a worker came by. ``carried`` is
    what was left of the period before.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    recurring = models.ForeignKey(RecurringGrant, on_delete=models.PROTECT, related_name="periods", db_index=False)
    number = models.PositiveIntegerField()
    start = models.DateTimeField()
    end = models.DateTimeField()
    grant = models.OneToOneField(Grant, on_delete=models.PROTECT, null=True, related_name="recurring_period")
    carried = models.OneToOneField(Grant, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["recurring", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["recurring", "number"], name="billing_recurringperiod_number_once"),
            models.UniqueConstraint(fields=["recurring", "start"], name="billing_recurringperiod_start_once"),
            models.CheckConstraint(name="billing_recurringperiod_interval", condition=Q(end__gt=F("start"))),
            models.CheckConstraint(name="billing_recurringperiod_number", condition=Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}"
