"""What is asked of the payment provider, what it reports, and what it keeps for payers."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class PaymentProfile(models.Model):
    """Who a customer is at the payment provider. ``mode`` tells live, test and stand-in accounts apart."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payment_profiles")
    mode = models.CharField(max_length=16)
    provider_id = models.CharField(max_length=255)
    methods_read_at = models.DateTimeField(null=True, help_text="When the kept methods were last read.")
    forget_asked_at = models.DateTimeField(null=True, help_text="Since when the provider is to forget the customer.")
    forget_tried_at = models.DateTimeField(null=True, help_text="When it was last asked to.")
    forgotten_at = models.DateTimeField(null=True, help_text="When it said that it did.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "mode"], name="billing_payment_profile_once"),
            models.UniqueConstraint(fields=["provider_id", "mode"], name="billing_payment_profile_provider"),
        ]

    def __str__(self) -> str:
        return self.provider_id


class PaymentMethod(models.Model):
    """A means of payment that the provider keeps: here only what its owner knows it by. Never a card number."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payment_methods")
    mode = models.CharField(max_length=16)
    provider_id = models.CharField(max_length=255)
    type = models.CharField(max_length=32)
    brand = models.CharField(max_length=64, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    exp_month = models.PositiveSmallIntegerField(null=True, blank=True)
    exp_year = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "provider_id"], name="billing_payment_method_once"),
            models.CheckConstraint(name="billing_payment_method_last4", condition=Q(last4__regex=r"^[0-9]{0,4}$")),
        ]

    def __str__(self) -> str:
        return f"{self.brand or self.type} ···· {self.last4}".strip()


class PaymentAttempt(models.Model):
    """The intent to be paid, committed before the provider is asked, so that no charge is without its row.

    created → sent → requires_action | processing | unknown → succeeded | failed | canceled | expired. ``unknown`` is
    left only by looking at the provider. Money that was taken after all outweighs every other end: ``succeeded`` may
    follow them, and nothing follows it.
    """

    class Purpose(models.TextChoices):
        TOP_UP = "top_up", "Top-up"
        AUTO_TOP_UP = "auto_top_up", "Automatic top-up"
        SCHEDULED = "scheduled", "Scheduled top-up"
        INVOICE = "invoice", "Invoice"

    class Way(models.TextChoices):
        CHECKOUT = "checkout", "On the provider's page"
        METHOD = "method", "With a kept method"
        OFF_SESSION = "off_session", "With a kept method, nobody present"

    class Status(models.TextChoices):
        CREATED = "created", _("Created")
        SENT = "sent", _("Sent")
        UNKNOWN = "unknown", _("Unknown")
        REQUIRES_ACTION = "requires_action", _("Waits for the payer")
        PROCESSING = "processing", _("Processing")
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        CANCELED = "canceled", _("Canceled")
        EXPIRED = "expired", _("Expired")

    OPEN = (Status.CREATED, Status.SENT, Status.UNKNOWN, Status.REQUIRES_ACTION, Status.PROCESSING)
    BLOCKING = (Status.CREATED, Status.SENT, Status.UNKNOWN, Status.REQUIRES_ACTION)
    """Nothing more may be tried while one of these is there. A bank debit that takes days does not stand in a person's
    way; in that of the automatic it does."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payment_attempts")
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    way = models.CharField(max_length=16, choices=Way.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.CREATED)
    mode = models.CharField(max_length=16)
    amount = AmountField(help_text="All that the payer is asked for.")
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    keep_method = models.BooleanField(default=False)
    return_url = models.CharField(max_length=2000, blank=True)
    cancel_url = models.CharField(max_length=2000, blank=True)
    provider_customer_id = models.CharField(max_length=255, blank=True)
    session_id = models.CharField(max_length=255, blank=True)
    payment_id = models.CharField(max_length=255, blank=True)
    charge_id = models.CharField(max_length=255, blank=True)
    checkout_url = models.CharField(max_length=2000, blank=True)
    method_type = models.CharField(max_length=32, blank=True)
    method_brand = models.CharField(max_length=64, blank=True)
    method_last4 = models.CharField(max_length=4, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure = models.CharField(max_length=300, blank=True)
    fee = AmountField(null=True, blank=True, help_text="What the provider keeps of it.")
    fee_currency = models.CharField(max_length=3, blank=True)
    revision = models.PositiveIntegerField(default=0, help_text="Counts changes: what was read before one is stale.")
    looked_up = models.PositiveIntegerField(default=0)
    check_at = models.DateTimeField(null=True, blank=True, help_text="When to look at the provider, unless it reports.")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["customer", "-id"], name="billing_attempt_customer"),
            models.Index(fields=["check_at"], name="billing_attempt_due", condition=Q(check_at__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "purpose"],
                name="billing_attempt_one_at_a_time",
                condition=Q(status__in=["created", "sent", "unknown", "requires_action"])
                | Q(status="processing", purpose__in=["auto_top_up", "scheduled", "invoice"]),
            ),
            models.UniqueConstraint(
                fields=["payment_id"], name="billing_attempt_payment_once", condition=~Q(payment_id="")
            ),
            models.UniqueConstraint(
                fields=["session_id"], name="billing_attempt_session_once", condition=~Q(session_id="")
            ),
            models.CheckConstraint(name="billing_attempt_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_attempt", "amount", "fee"),
            models.CheckConstraint(
                name="billing_attempt_finished",
                condition=Q(status__in=["created", "sent", "unknown", "requires_action", "processing"])
                ^ Q(finished_at__isnull=False),
            ),
            models.CheckConstraint(
                name="billing_attempt_status",
                condition=Q(
                    status__in=[
                        "created",
                        "sent",
                        "unknown",
                        "requires_action",
                        "processing",
                        "succeeded",
                        "failed",
                        "canceled",
                        "expired",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="billing_attempt_purpose",
                condition=Q(purpose__in=["top_up", "auto_top_up", "scheduled", "invoice"]),
            ),
            models.CheckConstraint(
                name="billing_attempt_way", condition=Q(way__in=["checkout", "method", "off_session"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()}: {amount_string(self.amount)} {self.currency_id}"


class ProviderEvent(models.Model):
    """A message of the provider's: stored before it is answered, worked through afterwards, as often as it takes.

    What it is about is noted, not what it says: the truth is asked for when it is worked through. So nothing about a
    person is kept here either.
    """

    class State(models.TextChoices):
        NEW = "new", "New"
        DONE = "done", "Done"
        PARKED = "parked", "Parked"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False)
    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    about = models.CharField(max_length=64, blank=True, help_text="What kind of object; empty for what is not needed.")
    object_id = models.CharField(max_length=255)
    related = models.JSONField(default=dict)
    live = models.BooleanField()
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.NEW)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    note = models.CharField(max_length=500, blank=True, help_text="Why it is parked, or what went wrong last.")
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "provider event"
        ordering = ["-id"]
        indexes = [models.Index(fields=["due_at"], name="billing_provider_event_due", condition=Q(state="new"))]
        constraints = [
            models.CheckConstraint(
                name="billing_provider_event_state", condition=Q(state__in=["new", "done", "parked"])
            ),
        ]

    def __str__(self) -> str:
        return self.type
