from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.catalog import Plan, PlanVersion
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class Subscription(models.Model):
    """A customer on a plan, for the half-open interval [``starts_at``, ``ends_at``).

    Its rows are written by whoever holds the customer's balance locks, so that nobody else is at it.
    """

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        TRIALING = "trialing", _("Trialing")
        ACTIVE = "active", _("Active")
        PAST_DUE = "past_due", _("Past due")
        CANCELED = "canceled", _("Canceled")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="subscriptions")
    next_version = models.ForeignKey(
        PlanVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="From the next period.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    trial_ends_at = models.DateTimeField(null=True, blank=True)
    anchor = models.DateTimeField(help_text="Its billing periods are counted from here.")
    timezone = models.CharField(max_length=64, help_text="The customer's when it started: later changes move nothing.")
    discount = AmountField(
        default=0,
        help_text="What was agreed, and goes along to another plan. 0: what the plan has for the commitment.",
    )
    minimum_commitment = AmountField(null=True, blank=True, help_text="What was agreed instead of the plan's own.")
    spend_cap = AmountField(
        null=True,
        blank=True,
        help_text="What usage of a period may come to, as agreed instead of the plan's own.",
    )
    renews_at = models.DateTimeField(null=True, blank=True, help_text="When the next period is to be opened.")
    settled_until = models.DateTimeField(help_text="Usage from before counts for the period that is open.")
    past_due_since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        indexes = [
            models.Index(
                fields=["renews_at"], name="billing_subscription_renewal", condition=Q(renews_at__isnull=False)
            ),
            models.Index(
                fields=["past_due_since"], name="billing_subscription_due", condition=Q(past_due_since__isnull=False)
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "plan"], condition=Q(ends_at__isnull=True), name="billing_subscription_plan_once"
            ),
            # An empty interval is one that was canceled before it started.
            models.CheckConstraint(
                name="billing_subscription_interval", condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at"))
            ),
            number_check("billing_subscription", "discount", "minimum_commitment", "spend_cap", at_least=0),
            models.CheckConstraint(name="billing_subscription_discount", condition=Q(discount__lte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.customer} on {self.plan_version}"

    @property
    def has_agreed_terms(self) -> bool:
        """Whether anything was agreed with this customer, for now or from the next period."""
        terms = (self.discount or None, self.minimum_commitment, self.spend_cap, self.plan_version.agreed_with_id)
        if any(term is not None for term in terms):
            return True
        return self.next_version is not None and self.next_version.agreed_with_id is not None

    def status_at(self, moment: datetime) -> "Subscription.Status":
        """What it is at ``moment``."""
        if self.ends_at is not None and self.ends_at <= max(moment, self.starts_at):
            return self.Status.CANCELED
        if self.starts_at > moment:
            return self.Status.SCHEDULED
        if self.past_due_since is not None:
            return self.Status.PAST_DUE
        if self.trial_ends_at is not None and self.trial_ends_at > moment:
            return self.Status.TRIALING
        return self.Status.ACTIVE


class SubscriptionPhase(models.Model):
    """Which plan version rates a subscription's usage of [``starts_at``, ``ends_at``), and what its periods count from.

    Usage that is reported late finds the terms of its own time here.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="phases")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+", db_index=False)
    anchor = models.DateTimeField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["subscription", "starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["subscription", "starts_at"], name="billing_subscriptionphase_once"),
            models.CheckConstraint(
                name="billing_subscriptionphase_interval",
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_version} from {self.starts_at:%Y-%m-%d}"


class SubscriptionPeriod(models.Model):
    """A billing period, one row each: opened when it starts, settled when its usage is in. No gap between them."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Settled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="periods")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    start = models.DateTimeField()
    end = models.DateTimeField()
    trial = models.BooleanField(default=False)
    granted = models.BooleanField(default=False, help_text="Its allowances are in the wallet.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    opened_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["subscription", "-number"]
        indexes = [models.Index(fields=["end"], name="billing_period_open", condition=Q(state="open"))]
        constraints = [
            models.UniqueConstraint(fields=["subscription", "number"], name="billing_period_number_once"),
            models.UniqueConstraint(fields=["subscription", "start"], name="billing_period_start_once"),
            models.CheckConstraint(name="billing_period_interval", condition=Q(end__gt=F("start"))),
            models.CheckConstraint(name="billing_period_number", condition=Q(number__gte=1)),
            models.CheckConstraint(
                name="billing_period_state",
                condition=Q(state="open", settled_at__isnull=True) | Q(state="settled", settled_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}"


class Fee(models.Model):
    """What a subscription costs beside its usage, or gives back. A paid one's ledger transaction bears its id."""

    class Kind(models.TextChoices):
        BASE = "base", _("Base fee")
        CHANGE = "change", _("Base fee after a change")
        CREDIT = "credit", _("Credit for unused time")
        TRUE_UP = "true_up", _("Minimum commitment")

    class State(models.TextChoices):
        DUE = "due", _("Due")
        PAID = "paid", _("Paid")
        LAPSED = "lapsed", _("Lapsed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="fees")
    period = models.ForeignKey(SubscriptionPeriod, on_delete=models.PROTECT, related_name="fees")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    description = models.CharField(max_length=200)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    list_amount = AmountField(help_text="Before the discount.")
    amount = AmountField(help_text="What is charged, or for a credit given back.")
    start = models.DateTimeField(help_text="The time that it is for.")
    end = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.DUE)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["customer"], name="billing_fee_due", condition=Q(state="due")),
            models.Index(fields=["end"], name="billing_fee_end"),
        ]
        constraints = [
            models.CheckConstraint(name="billing_fee_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_fee", "amount", "list_amount", at_least=0),
            models.CheckConstraint(name="billing_fee_discount", condition=Q(list_amount__gte=F("amount"))),
            models.CheckConstraint(name="billing_fee_interval", condition=Q(end__gt=F("start"))),
            models.CheckConstraint(
                name="billing_fee_kind", condition=Q(kind__in=["base", "change", "credit", "true_up"])
            ),
            models.CheckConstraint(
                name="billing_fee_state",
                condition=Q(state="due", closed_at__isnull=True)
                | Q(state__in=["paid", "lapsed"], closed_at__isnull=False),
            ),
            # A period's own fee once: the last guard against renewing twice.
            models.UniqueConstraint(fields=["period"], condition=Q(kind="base"), name="billing_fee_base_once"),
            models.UniqueConstraint(fields=["period"], condition=Q(kind="true_up"), name="billing_fee_true_up_once"),
        ]

    def __str__(self) -> str:
        return f"{self.description}: {amount_string(self.amount)} {self.asset_id}"
