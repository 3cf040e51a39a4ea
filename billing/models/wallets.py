from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class Wallet(models.Model):
    """A customer's wallet: one per customer, one balance in it for each asset."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, related_name="wallet")
    frozen_at = models.DateTimeField(null=True, blank=True)
    frozen_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Wallet of {self.customer}"


class Balance(models.Model):
    """How much of one asset a wallet holds: the row that is locked before anything moves.

    ``available`` is what may still be spent: the remainders of the active grants, less what is ``owed`` and held on
    the overdraft. ``held`` is set aside by open authorizations and no longer part of ``available``. ``seq`` counts
    the ledger entries that touched the balance, without gaps, so that a lost update becomes visible.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="balances")
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="balances")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    available = AmountField(default=0)
    held = AmountField(default=0)
    overdraft_held = AmountField(
        default=0, db_default=0, help_text="The part of held that rests on the overdraft, not on grants."
    )
    owed = AmountField(default=0, help_text="What usage took beyond the grants. The next money in pays it first.")
    overdraft_limit = AmountField(default=0, help_text="How far usage may take the balance below zero.")
    plan_overdraft = AmountField(
        default=0, db_default=0, help_text="The part of overdraft_limit that plans allow: it goes with them."
    )
    plan_overdraft_cap = AmountField(
        null=True,
        blank=True,
        help_text="The most that plans may allow, where staff set a lower limit. Empty: no other.",
    )
    dispute_debt = AmountField(
        default=0, db_default=0, help_text="The part of owed that a lost dispute left behind: no limit stops that."
    )
    refill_below = AmountField(
        null=True, blank=True, help_text="Falling below it sets off an automatic top-up that is armed."
    )
    seq = models.BigIntegerField(default=0)
    lifetime_granted = AmountField(default=0)
    lifetime_spent = AmountField(default=0)
    frozen = models.BooleanField(
        default=False, db_default=False, help_text="Pays for no usage. All balances of a wallet are, or none."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["asset_id"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "asset"], name="billing_balance_once"),
            models.CheckConstraint(
                name="billing_balance_floor",
                condition=Q(available__gte=-F("overdraft_limit") - F("dispute_debt")),
            ),
            models.CheckConstraint(name="billing_balance_dispute_debt", condition=Q(dispute_debt__lte=F("owed"))),
            models.CheckConstraint(
                name="billing_balance_plan_overdraft", condition=Q(plan_overdraft__lte=F("overdraft_limit"))
            ),
            number_check("billing_balance", "available", "refill_below", "lifetime_spent"),
            number_check(
                "billing_balance",
                "held",
                "overdraft_held",
                "owed",
                "dispute_debt",
                "overdraft_limit",
                "plan_overdraft",
                "plan_overdraft_cap",
                "seq",
                "lifetime_granted",
                at_least=0,
            ),
        ]
        indexes = [
            models.Index(fields=["customer"], name="billing_balance_plans", condition=Q(plan_overdraft__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} of {self.customer}"


class Grant(models.Model):
    """Value put into a balance: bought, given or allowed. Charges draw it down in the burn order; it may expire.

    Every unit of ``amount`` is in exactly one place: ``remaining``, ``held``, ``drawn``, ``expired`` or ``voided``.
    It may pay in the half-open interval [``effective_at``, ``expires_at``).
    """

    class Kind(models.TextChoices):
        PURCHASE = "purchase", _("Purchase")
        PROMOTIONAL = "promotional", _("Promotional")
        ALLOWANCE = "allowance", _("Allowance")
        ADJUSTMENT = "adjustment", _("Adjustment")
        ROLLOVER = "rollover", _("Rollover")

    RENEWED = (Kind.ALLOWANCE, Kind.ROLLOVER)
    """Given anew each period: nobody needs to hear that the old one ends."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        ACTIVE = "active", _("Active")
        DEPLETED = "depleted", _("Depleted")
        EXPIRED = "expired", _("Expired")
        VOIDED = "voided", _("Voided")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="grants")
    balance = models.ForeignKey(Balance, on_delete=models.PROTECT, related_name="grants")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=200, blank=True)
    amount = AmountField()
    remaining = AmountField()
    held = AmountField(default=0)
    drawn = AmountField(default=0)
    expired = AmountField(default=0)
    voided = AmountField(default=0, help_text="Taken back by the operator, or refunded.")
    priority = models.PositiveSmallIntegerField(default=50, help_text="0 to 100; the lower burns first.")
    effective_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    posted = models.BooleanField(default=False, help_text="In the balance. A scheduled grant is not, until it starts.")
    open = models.BooleanField(default=True, help_text="Still has units that can be drawn, expire or be voided.")
    voided_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was taken back. What its holds give back later goes out as well."
    )
    applies_to = models.JSONField(default=dict, blank=True, help_text='What it may pay for, as {"meters": [...]}.')
    paid_amount = AmountField(default=0, help_text="What was paid for all of it: the cost basis.")
    paid_currency = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    period = models.ForeignKey(
        "billing.SubscriptionPeriod",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="grants",
        db_index=False,
        help_text="The billing period that it was included in.",
    )
    replaces = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="replacements",
        db_index=False,
        help_text="The lapsed grant whose units came back into this one.",
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["period"], name="billing_grant_period", condition=Q(period__isnull=False)),
            models.Index(fields=["replaces"], name="billing_grant_replaces", condition=Q(replaces__isnull=False)),
            models.Index(fields=["balance"], name="billing_grant_open", condition=Q(open=True)),
            models.Index(fields=["expires_at"], name="billing_grant_expiring", condition=Q(open=True)),
            models.Index(fields=["effective_at"], name="billing_grant_scheduled", condition=Q(open=True, posted=False)),
            models.Index(fields=["customer", "-id"], name="billing_grant_customer"),
        ]
        constraints = [
            models.CheckConstraint(
                name="billing_grant_every_unit_once",
                condition=Q(amount=F("remaining") + F("held") + F("drawn") + F("expired") + F("voided")),
            ),
            number_check("billing_grant", "remaining", "held", "drawn", "expired", "voided", "paid_amount", at_least=0),
            models.CheckConstraint(name="billing_grant_amount_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="billing_grant_priority", condition=Q(priority__lte=100)),
            models.CheckConstraint(
                name="billing_grant_interval",
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("effective_at")),
            ),
            models.CheckConstraint(
                name="billing_grant_closed_when_empty", condition=Q(open=True) | Q(remaining=0, held=0)
            ),
            models.CheckConstraint(
                name="billing_grant_voided",
                condition=Q(voided_at__isnull=True) | Q(remaining=0),
            ),
            models.CheckConstraint(
                name="billing_grant_kind",
                condition=Q(kind__in=["purchase", "promotional", "allowance", "adjustment", "rollover"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.get_kind_display()} of {amount_string(self.amount)} {self.asset_id}"

    def status_at(self, moment: datetime) -> "Grant.Status":
        """What the grant is at ``moment``, whether or not a worker has come by."""
        if self.voided_at is not None:
            return self.Status.VOIDED
        if self.expired > 0 or (self.expires_at is not None and self.expires_at <= moment and self.remaining > 0):
            return self.Status.EXPIRED
        if self.remaining + self.held == 0:
            return self.Status.DEPLETED
        if self.effective_at > moment:
            return self.Status.SCHEDULED
        return self.Status.ACTIVE
