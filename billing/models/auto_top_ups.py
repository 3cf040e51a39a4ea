"""Standing orders to top up: by themselves where the balance falls, and at fixed times."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.funding import Pack
from billing.models.payments import PaymentAttempt, PaymentMethod


class AutoTopUp(models.Model):
    """A customer's order to charge a kept payment method: when a balance falls below ``threshold``, or every period.

    What is bought is ``amount`` of the wallet's currency (a multiple of it where one does not reach the threshold), or
    as much as fills the balance up to ``target``, or packs of another asset. Armed, it runs; three declines, or one
    that no repeat can cure, suspend it until somebody puts it right.
    """

    class Purpose(models.TextChoices):
        AUTO_TOP_UP = PaymentAttempt.Purpose.AUTO_TOP_UP.value, _("When the balance falls")
        SCHEDULED = PaymentAttempt.Purpose.SCHEDULED.value, _("At fixed times")

    class State(models.TextChoices):
        ARMED = "armed", "Armed"
        SUSPENDED = "suspended", "Suspended"

    class Every(models.TextChoices):
        DAY = "day", _("Day")
        WEEK = "week", _("Week")
        MONTH = "month", _("Month")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="auto_top_ups")
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    enabled = models.BooleanField(default=True)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", help_text="Watched, and bought.")
    threshold = AmountField(null=True, blank=True, help_text="A balance below it is too low.")
    amount = AmountField(null=True, blank=True, help_text="Bought at a time.")
    target = AmountField(null=True, blank=True, help_text="Or: filled up to this.")
    pack = models.ForeignKey(Pack, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    every = models.CharField(max_length=8, choices=Every.choices, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True, help_text="Of what comes at fixed times: the first.")
    method = models.ForeignKey(
        PaymentMethod,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Without one: the card that was kept last.",
    )
    monthly_limit = AmountField(null=True, blank=True, help_text="At most this much is bought in a calendar month.")
    count_limit = models.PositiveIntegerField(null=True, blank=True, help_text="At most so often in one.")
    cooldown_seconds = models.PositiveIntegerField(default=60, help_text="The least time from one to the next.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.ARMED)
    declines = models.PositiveSmallIntegerField(default=0, help_text="In a row.")
    reason_code = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it is suspended, or failed last.")
    due_at = models.DateTimeField(help_text="Not before this: a cool-down, a back-off, or the next fixed time.")
    limit_told_at = models.DateTimeField(null=True, blank=True, help_text="When the customer was told of the limit.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "automatic top-up"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["due_at"], name="billing_auto_top_up_due", condition=Q(enabled=True, state="armed")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["customer", "purpose"], name="billing_auto_top_up_once"),
            models.CheckConstraint(
                name="billing_auto_top_up_positive",
                condition=(Q(amount__isnull=True) | Q(amount__gt=0))
                & (Q(monthly_limit__isnull=True) | Q(monthly_limit__gt=0))
                & (Q(count_limit__isnull=True) | Q(count_limit__gt=0)),
            ),
            number_check("billing_auto_top_up", "threshold", "amount", "target", "monthly_limit"),
            models.CheckConstraint(
                name="billing_auto_top_up_buys_one_thing",
                condition=Q(amount__isnull=False, target__isnull=True, pack__isnull=True)
                | Q(amount__isnull=True, target__isnull=False, pack__isnull=True)
                | Q(amount__isnull=True, target__isnull=True, pack__isnull=False),
            ),
            models.CheckConstraint(
                name="billing_auto_top_up_when",
                condition=Q(purpose="auto_top_up", threshold__isnull=False, every="", starts_at__isnull=True)
                | Q(
                    purpose="scheduled",
                    threshold__isnull=True,
                    target__isnull=True,
                    every__in=["day", "week", "month"],
                    starts_at__isnull=False,
                ),
            ),
            models.CheckConstraint(name="billing_auto_top_up_state", condition=Q(state__in=["armed", "suspended"])),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.customer}"

    @property
    def runs(self) -> bool:
        return self.enabled and self.state == self.State.ARMED
