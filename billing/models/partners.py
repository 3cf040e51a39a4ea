from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.engine.sharing import GRADUATED, VOLUME
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class Partner(models.Model):
    """Somebody who gets a share of what customers that they brought pay. The rates are steps."""

    class Base(models.TextChoices):
        REVENUE = "revenue", "Recognised revenue: usage and fees"
        USAGE = "usage", "Recognised revenue of metered charges alone"
        PAYMENTS = "payments", "Money that came in for grants"

    class Mode(models.TextChoices):
        VOLUME = VOLUME, "All of the month at the rate that it reaches"
        GRADUATED = GRADUATED, "Each part of the month at its own rate"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    base = models.CharField(max_length=16, choices=Base.choices, help_text="What the share is of.")
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.VOLUME)
    steps = models.JSONField(help_text="From which volume of a month on which rate holds, as texts of exact numbers.")
    starts_on = models.DateField(help_text="The first day that counts.")
    accrued_on = models.DateField(null=True, help_text="The last closed day that was accrued.")
    accrued_version = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Which version of that day.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="billing_partner_base", condition=Q(base__in=["revenue", "usage", "payments"])),
            models.CheckConstraint(name="billing_partner_mode", condition=Q(mode__in=["volume", "graduated"])),
        ]

    def __str__(self) -> str:
        return self.name


class PartnerCustomer(models.Model):
    """A customer whom a partner brought."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="customers")
    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, related_name="brought_by")
    starts_on = models.DateField(help_text="The first day of the customer's that counts.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.customer} by {self.partner}"


class PartnerAccrual(models.Model):
    """What a closed day brought a partner of one customer. Append-only. ``base`` is the day's, ``amount`` what the
    month's share came to grow by: a step of the rate counts for the days before as well. A further version of the day
    has what it changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="accruals")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    date = models.DateField()
    version = models.PositiveSmallIntegerField(default=1, db_default=1, help_text="Of the closed day.")
    base = AmountField()
    amount = AmountField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-date", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "customer", "date", "version"], name="billing_partneraccrual_once"
            ),
            number_check("billing_partneraccrual", "base", "amount"),
        ]

    def __str__(self) -> str:
        return f"{self.partner}, {self.date}"


class PartnerPayout(models.Model):
    """What was paid out to a partner for the days up to ``upto``. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="payouts")
    upto = models.DateField(help_text="The last day that it is for.")
    amount = AmountField(help_text="In coins; the rest of a coin is for the next one.")
    reference = models.CharField(max_length=100, help_text="The bank's.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["partner", "upto"], name="billing_partnerpayout_once"),
            number_check("billing_partnerpayout", "amount", at_least=0),
        ]

    def __str__(self) -> str:
        return f"{self.partner}, up to {self.upto}"
