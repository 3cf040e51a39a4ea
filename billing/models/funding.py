"""Money in: packs, top-ups, and what of them goes back."""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.engine.money import EXACT, amount_string
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.payments import PaymentAttempt


class Pack(models.Model):
    """An amount of an asset at a price: 1,000 image credits for $40."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=100)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    amount = AmountField()
    price = AmountField()
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["currency_id", "price"]
        constraints = [
            models.CheckConstraint(name="billing_pack_positive", condition=Q(amount__gt=0, price__gt=0)),
            number_check("billing_pack", "amount", "price"),
        ]

    def __str__(self) -> str:
        return self.name


class TopUp(models.Model):
    """Money that a customer puts in: what is paid, what of it are fee and tax, and what the wallet gets for it.

    ``amount`` + ``fee`` + ``tax`` is what the payer is asked for, in ``currency``; ``credit`` of ``asset`` is what
    comes in for ``amount``, at ``rate`` where that is another currency; ``bonus`` of the same asset comes on top. The
    ids of its grants are chosen when it is made: the database refuses to make the same grant twice.
    """

    class Status(models.TextChoices):
        REQUIRES_ACTION = "requires_action", _("Waits for the payer")
        PROCESSING = "processing", _("Processing")
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        CANCELED = "canceled", _("Canceled")
        EXPIRED = "expired", _("Expired")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="top_ups")
    attempt = models.OneToOneField(PaymentAttempt, on_delete=models.PROTECT, related_name="top_up")
    status = models.CharField(max_length=16, choices=Status.choices)
    amount = AmountField()
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    fee = AmountField(default=0)
    tax = AmountField(default=0)
    tax_included = models.BooleanField(
        default=False, db_default=False, help_text="What was asked for had the tax in it."
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    credit = AmountField()
    bonus = AmountField(default=0)
    rate = AmountField(null=True, blank=True, help_text="What one unit of currency was in asset, where they differ.")
    pack = models.ForeignKey(Pack, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    refunded = AmountField(default=0, help_text="Of amount: what went back, or is on its way.")
    tax_refunded = AmountField(default=0)
    invoiced_tax = AmountField(
        default=0, db_default=0, help_text="Of its tax: what was owed by invoice, and is on its way to the office."
    )
    grant_id = models.UUIDField(default=uuid7, unique=True)
    bonus_grant_id = models.UUIDField(default=uuid7, unique=True)
    expected_at = models.DateTimeField(null=True, blank=True, help_text="When a payment that takes days should be in.")
    settled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "top-up"
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer", "-id"], name="billing_top_up_customer")]
        constraints = [
            models.CheckConstraint(
                name="billing_top_up_positive",
                condition=Q(amount__gt=0, credit__gt=0)
                # The tax of an invoice whose amount is paid.
                | Q(invoice__isnull=False, amount=0, credit=0, bonus=0, fee=0, tax__gt=0),
            ),
            number_check("billing_top_up", "amount", "credit", "rate"),
            number_check(
                "billing_top_up", "fee", "tax", "bonus", "refunded", "tax_refunded", "invoiced_tax", at_least=0
            ),
            models.CheckConstraint(name="billing_top_up_rate", condition=Q(rate__isnull=True) | Q(rate__gt=0)),
            models.CheckConstraint(
                name="billing_top_up_refunded",
                condition=Q(refunded__lte=F("amount"), tax_refunded__lte=F("tax")),
            ),
            models.CheckConstraint(name="billing_top_up_invoiced_tax", condition=Q(invoiced_tax__lte=F("tax"))),
            models.CheckConstraint(
                name="billing_top_up_settled", condition=~Q(status="succeeded") ^ Q(settled_at__isnull=False)
            ),
            models.CheckConstraint(
                name="billing_top_up_refunds_need_money",
                condition=Q(status="succeeded") | Q(refunded=0, tax_refunded=0),
            ),
            models.CheckConstraint(
                name="billing_top_up_status",
                condition=Q(status__in=["requires_action", "processing", "succeeded", "failed", "canceled", "expired"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} top-up of {amount_string(self.amount)} {self.currency_id.upper()}"


class Refund(models.Model):
    """Money that goes back to the payer of a top-up, and what the wallet gave up for it.

    Like an attempt: committed, with the value taken out of the wallet, before the provider is asked; the value comes
    back if the provider does not pay.
    """

    class Status(models.TextChoices):
        CREATED = "created", "Created"
        SENT = "sent", "Sent"
        UNKNOWN = "unknown", "Unknown"
        PROCESSING = "processing", "Processing"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    OPEN = (Status.CREATED, Status.SENT, Status.UNKNOWN, Status.PROCESSING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="refunds")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="refunds")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.CREATED)
    amount = AmountField(help_text="Of the top-up's amount.")
    tax = AmountField(default=0, help_text="Of its tax, in proportion.")
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    credit = AmountField(help_text="What the paid grant gave up.")
    recovered = AmountField(
        default=0,
        help_text="Of that: in place of a bonus that is spent. Below zero: of the bonus, in place of what was paid.",
    )
    bonus = AmountField(default=0, help_text="What the bonus grant gave up.")
    reason = models.CharField(max_length=500, blank=True)
    provider_id = models.CharField(max_length=255, blank=True)
    failure = models.CharField(max_length=300, blank=True)
    check_at = models.DateTimeField(null=True, blank=True)
    looked_up = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["check_at"], name="billing_refund_due", condition=Q(check_at__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["provider_id"], name="billing_refund_provider_once", condition=~Q(provider_id="")
            ),
            models.CheckConstraint(name="billing_refund_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_refund", "amount", "recovered"),
            number_check("billing_refund", "tax", "credit", "bonus", at_least=0),
            models.CheckConstraint(
                name="billing_refund_recovered",
                condition=Q(recovered__lte=F("credit"), recovered__gte=-F("bonus")),
            ),
            models.CheckConstraint(
                name="billing_refund_status",
                condition=Q(status__in=["created", "sent", "unknown", "processing", "succeeded", "failed"]),
            ),
            models.CheckConstraint(
                name="billing_refund_finished",
                condition=Q(status__in=["created", "sent", "unknown", "processing"]) ^ Q(finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} refund of {amount_string(self.amount)} {self.currency_id.upper()}"

    @property
    def total(self) -> Decimal:
        """What the payer gets back."""
        return EXACT.add(self.amount, self.tax)
