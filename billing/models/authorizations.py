from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, ExactJSONDecoder, number_check
from billing.models.wallets import Balance, Grant


class Authorization(models.Model):
    """Value set aside for work that is about to run: open, then captured, voided or expired, once and for all.

    What it sets aside is in its holds, a row for each grant. ``asset``, ``amount`` and ``captured`` sum up those of its
    main asset: the customer's currency, if that is among them.
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CAPTURED = "captured", "Captured"
        VOIDED = "voided", "Voided"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="authorizations")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    amount = AmountField()
    captured = AmountField(default=0)
    type = models.CharField(max_length=255, blank=True, help_text="Of the usage that was announced.")
    data = models.JSONField(default=dict, decoder=ExactJSONDecoder)
    used = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        help_text="What partial captures have charged of each meter, by its id.",
    )
    api_key_id = models.UUIDField(null=True)
    opened_by_id = models.UUIDField(
        null=True, help_text="The operator's key that opened it, where it counts for the customer's own that was named."
    )
    reason = models.CharField(max_length=200, blank=True, help_text="Why it was voided.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["expires_at"], name="billing_authorization_open", condition=Q(status="open")),
            models.Index(fields=["customer", "-id"], name="billing_authorization_customer"),
            models.Index(fields=["customer"], name="billing_authorization_held", condition=Q(status="open")),
        ]
        constraints = [
            models.CheckConstraint(
                name="billing_authorization_status", condition=Q(status__in=["open", "captured", "voided", "expired"])
            ),
            models.CheckConstraint(
                name="billing_authorization_closed", condition=Q(status="open") ^ Q(closed_at__isnull=False)
            ),
            number_check("billing_authorization", "amount", "captured", at_least=0),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} authorization {self.pk}"


class Hold(models.Model):
    """What an authorization sets aside of one grant, or, without a grant, of the overdraft.

    On a particular grant, so that the grant's expiry cannot take what work in flight relies on.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    authorization = models.ForeignKey(Authorization, on_delete=models.PROTECT, related_name="holds")
    balance = models.ForeignKey(Balance, on_delete=models.PROTECT, related_name="holds")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, null=True, related_name="holds", db_index=False)
    amount = AmountField()
    outstanding = AmountField(help_text="What is still set aside.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["authorization", "balance", "grant"], nulls_distinct=False, name="billing_hold_once"
            ),
            models.CheckConstraint(
                name="billing_hold_outstanding", condition=Q(outstanding__gte=0, outstanding__lte=F("amount"))
            ),
            number_check("billing_hold", "amount", "outstanding", at_least=0),
        ]

    def __str__(self) -> str:
        return f"{self.outstanding} of {self.amount} {self.asset_id}"
