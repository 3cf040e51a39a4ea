from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models.fields import WrittenInField
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.catalog import Meter, PlanVersion, Price
from billing.models.customers import Customer
from billing.models.fields import AMOUNT_BELOW, AmountField, ExactJSONDecoder, number_check
from billing.models.subscriptions import Subscription


class UsageEvent(models.Model):
    """The fact as the application sent it, and what became of it. Append-only, one for ever per (customer, source, id).

    A refused event is kept as well, with its reason: the same event again gets the same answer.
    """

    class Status(models.TextChoices):
        CHARGED = "charged", _("Charged")
        UNPAID = "unpaid", _("Unpaid")
        REJECTED = "rejected", _("Rejected")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    data = models.JSONField(decoder=ExactJSONDecoder)
    extensions = models.JSONField(
        null=True, decoder=ExactJSONDecoder, help_text="CloudEvents attributes beyond the ones we use."
    )
    fingerprint = models.BinaryField(max_length=16, help_text="Of the content, to tell a repeat from a conflict.")
    status = models.CharField(max_length=16, choices=Status.choices)
    refusal = models.JSONField(null=True, help_text="For a rejected event: the code and the figures it was told.")
    balance_after = models.JSONField(null=True, help_text="What the answer said was left, by asset.")
    api_key_id = models.UUIDField(null=True)
    origin = models.CharField(
        max_length=96,
        blank=True,
        default="",
        db_default="",
        help_text="The id of the request that reported it, and a keyed hash of the address.",
    )
    written_in = WrittenInField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            BrinIndex(fields=["received_at"], name="billing_event_received"),
            BrinIndex(fields=["written_in"], name="billing_event_written_in"),
            models.Index(fields=["customer", "-id"], name="billing_event_customer"),
            models.Index(fields=["customer", "-id"], name="billing_event_refused", condition=~Q(status="charged")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["event_id", "source", "customer"], name="billing_event_once"),
            models.CheckConstraint(
                name="billing_event_status", condition=Q(status__in=["charged", "unpaid", "rejected"])
            ),
        ]

    def __str__(self) -> str:
        return self.event_id


class Charge(models.Model):
    """What we take for one meter of one event: quantity, price and amount, for ever. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    event = models.ForeignKey(UsageEvent, on_delete=models.PROTECT, related_name="charges", db_constraint=False)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    plan_version = models.ForeignKey(
        PlanVersion, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    quantity = AmountField(help_text="Negative where a level that was charged for goes down.")
    amount = AmountField(help_text="Negative where reaching a cheaper tier gives something back.")
    waived = AmountField(
        null=True, help_text="What was used and is not charged, for the run failed and the price asks nothing then."
    )
    cost = AmountField(
        null=True, help_text="Its part of what the provider charged us for the event, in US dollars; empty: not known."
    )
    quantity_before = AmountField(
        null=True, help_text="What the period stood at before, where the amount depends on it."
    )
    list_amount = AmountField(null=True, help_text="Before the discount, where there is one.")
    price_given = models.BooleanField(default=False, db_default=False, help_text="The event itself said what it costs.")
    dimensions = models.JSONField(default=dict)
    late = models.BooleanField(
        default=False, db_default=False, help_text="Its own period was settled before: it counts for the one after."
    )
    occurred_at = models.DateTimeField()
    posted_at = models.DateTimeField()
    written_in = WrittenInField()
    correction = models.ForeignKey(
        "billing.Correction",
        on_delete=models.PROTECT,
        null=True,
        related_name="charges",
        db_constraint=False,
        db_index=False,
        help_text="The decision to take something back that this charge carries out.",
    )
    reverses = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="reversals",
        db_constraint=False,
        db_index=False,
        help_text="The charge that this one takes back, quantity and all that was left of the amount.",
    )
    refunds = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="refunded_by",
        db_constraint=False,
        db_index=False,
        help_text="The charge of whose amount this one gives back a part.",
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            # Pages that are not summarized are read by everybody who asks what is new.
            BrinIndex(fields=["written_in"], name="billing_charge_written_in", autosummarize=True),
            models.Index(fields=["customer", "occurred_at"], name="billing_charge_usage"),
            models.Index(fields=["customer", "posted_at"], name="billing_charge_late", condition=Q(late=True)),
            # What paid for a price, the latest first: for those that may give something back.
            models.Index(
                fields=["customer", "price", "-id"],
                name="billing_charge_counted",
                condition=Q(quantity_before__isnull=False),
            ),
        ]
        constraints = [
            number_check("billing_charge", "waived", "quantity_before", at_least=0),
            models.CheckConstraint(
                name="billing_charge_waived", condition=Q(waived__isnull=True) | Q(quantity=0, amount=0)
            ),
            models.CheckConstraint(
                name="billing_charge_cost",
                condition=Q(cost__isnull=True) | Q(cost__gte=0, cost__lt=AMOUNT_BELOW),
            ),
            number_check("billing_charge", "quantity", "amount", "list_amount"),
            models.CheckConstraint(
                name="billing_charge_direction",
                condition=Q(correction__isnull=True, reverses__isnull=True, refunds__isnull=True)
                | Q(correction__isnull=False, reverses__isnull=False, refunds__isnull=True)
                | Q(
                    correction__isnull=False,
                    reverses__isnull=True,
                    refunds__isnull=False,
                    quantity=0,
                    amount__lt=0,
                ),
            ),
            models.UniqueConstraint(
                fields=["customer", "reverses"],
                name="billing_charge_reversed_once",
                condition=Q(reverses__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.amount)} {self.asset_id}"


class UsageCounter(models.Model):
    """The running quantity of one price in one billing period, where the next charge depends on it.

    A linear price whose amounts come out even at the asset's precision needs none: its charges add up by themselves.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="+", db_index=False)
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_index=False)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    quantity = AmountField()
    level = AmountField(null=True, help_text="What a level over time stands at.")
    level_at = models.DateTimeField(null=True, help_text="Up to when that level is counted in the quantity.")
    level_rest = models.BigIntegerField(
        default=0, db_default=0, help_text="What rounding left of the quantity, in parts of its last decimal."
    )

    class Meta:
        indexes = [
            # Few: the levels that have not been counted to the end of their period.
            models.Index(fields=["customer"], name="billing_usagecounter_open", condition=Q(level__gt=0)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "period_start", "subscription", "price"], name="billing_usagecounter_once"
            ),
            number_check("billing_usagecounter", "quantity", "level", at_least=0),
            models.CheckConstraint(
                name="billing_usagecounter_level",
                condition=Q(level__isnull=True, level_at__isnull=True) | Q(level__isnull=False, level_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price} from {self.period_start:%Y-%m-%d}"


class CountedValue(models.Model):
    """A value that a meter of unique values has seen in a billing period, so that it counts once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    period_start = models.DateTimeField()
    digest = models.BinaryField(max_length=16, help_text="Of the value: what it was, the event says.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "period_start", "subscription", "price", "digest"], name="billing_countedvalue_once"
            ),
        ]

    def __str__(self) -> str:
        return bytes(self.digest).hex()
