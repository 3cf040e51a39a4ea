from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.fields import AmountField, number_check

_code = RegexValidator(r"^[a-z][a-z0-9_-]*\Z", "Lower case a-z, 0-9, _ and -.")


class Meter(models.Model):
    """Which number of which events is counted. What it counts never changes once it exists."""

    class Aggregation(models.TextChoices):
        SUM = "sum", "Sum of the value"
        COUNT = "count", "Number of events"

    class Phase(models.TextChoices):
        INPUT = "input", "What goes into a run"
        OUTPUT = "output", "What comes out of it"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.CharField(max_length=64, unique=True, validators=[_code])
    name = models.CharField(max_length=100)
    event_type = models.CharField(max_length=255)
    aggregation = models.CharField(max_length=16, choices=Aggregation.choices)
    value = models.CharField(
        max_length=500, blank=True, help_text="A field of the event's data, or arithmetic on such fields."
    )
    filter = models.JSONField(default=dict, blank=True, help_text='Only events with these values: {"status": ["ok"]}.')
    dimensions = models.JSONField(default=list, blank=True, help_text="Fields of the data that usage is grouped by.")
    unit = models.CharField(max_length=32, blank=True)
    phase = models.CharField(
        max_length=8, blank=True, choices=Phase.choices, help_text="What of a run it counts, where that matters."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="billing_meter_aggregation", condition=Q(aggregation__in=["sum", "count"])),
            models.CheckConstraint(name="billing_meter_phase", condition=Q(phase__in=["", "input", "output"])),
            models.CheckConstraint(name="billing_meter_value", condition=Q(aggregation="count") | ~Q(value="")),
        ]

    def __str__(self) -> str:
        return self.name


class Plan(models.Model):
    """What a customer subscribes to: a name for a row of versions."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.CharField(max_length=64, unique=True, validators=[_code])
    name = models.CharField(max_length=100)
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name

    def latest(self) -> "PlanVersion | None":
        """The public version that new subscriptions get; None while there are only drafts."""
        return self.versions.filter(derived_from__isnull=True).order_by("-number").first()


class PlanVersion(models.Model):
    """A published set of terms: fee, allowances, prices. Never changes: a change of price is the next version.

    What was agreed otherwise with one customer is a version of its own, ``derived_from`` the public one and with its
    number: rating knows no difference.
    """

    class Interval(models.TextChoices):
        DAY = "day", "Day"
        WEEK = "week", "Week"
        MONTH = "month", "Month"
        QUARTER = "quarter", "Quarter"
        YEAR = "year", "Year"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    interval = models.CharField(max_length=16, choices=Interval.choices, default=Interval.MONTH)
    base_fee = AmountField(default=0, help_text="For each period, in the plan's currency, before the discount.")
    trial_days = models.PositiveSmallIntegerField(default=0, help_text="How long a new subscription costs nothing.")
    minimum_commitment = AmountField(
        default=0, help_text="What a period's usage comes to at least; the rest is charged at its end."
    )
    discount = AmountField(default=0, help_text="The share off the fee and every charge: 0.15 is 15 %.")
    derived_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="derived", help_text="The public version."
    )
    agreed_with = models.ForeignKey(
        "billing.Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_constraint=False
    )
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["plan", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "number"],
                condition=Q(derived_from__isnull=True),
                name="billing_planversion_number_once",
            ),
            number_check("billing_planversion", "base_fee", "minimum_commitment", "discount", at_least=0),
            models.CheckConstraint(name="billing_planversion_discount", condition=Q(discount__lte=1)),
            models.CheckConstraint(
                name="billing_planversion_interval",
                condition=Q(interval__in=["day", "week", "month", "quarter", "year"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


class Allowance(models.Model):
    """What a plan version includes: so much of an asset for each period. What is left over may be carried once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="allowances")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    amount = AmountField()
    rollover_limit = AmountField(default=0, help_text="How much of what is left goes over into the next period.")

    class Meta:
        ordering = ["plan_version", "asset"]
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "asset"], name="billing_allowance_asset_once"),
            models.CheckConstraint(name="billing_allowance_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_allowance", "amount", "rollover_limit", at_least=0),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.amount)} {self.asset_id}"


class PlanDraft(models.Model):
    """The terms of a plan's next version while they are worked on. Publishing makes a version of them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="drafts")
    terms = models.JSONField(default=dict, help_text="As they are sent to publish a version.")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.plan}, draft"


class Price(models.Model):
    """What one meter costs in one asset. Belongs to a plan version and never changes."""

    class Model(models.TextChoices):
        PER_UNIT = "per_unit", "Per unit"

    class FailurePolicy(models.TextChoices):
        """What a run that failed is charged at this price."""

        PORTION = "portion", "What it used"
        PROMPT_ONLY = "prompt_only", "What it used, if that is input"
        NONE = "none", "Nothing"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="prices")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="prices")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    model = models.CharField(max_length=24, choices=Model.choices)
    per = AmountField(default=1, help_text="How many units the amount is for.")
    unit_amount = AmountField(help_text="What that many units cost.")
    match = models.JSONField(default=dict, blank=True, help_text='Only usage with these values: {"model": ["gpt-4o"]}.')
    failure_policy = models.CharField(
        max_length=16,
        choices=FailurePolicy.choices,
        default=FailurePolicy.PORTION,
        help_text="What a run that failed is charged at this price.",
    )
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["plan_version", "position"]
        constraints = [
            models.CheckConstraint(
                name="billing_price_failure_policy", condition=Q(failure_policy__in=["portion", "prompt_only", "none"])
            ),
            models.CheckConstraint(name="billing_price_model", condition=Q(model__in=["per_unit"])),
            models.CheckConstraint(name="billing_price_per_positive", condition=Q(per__gt=0)),
            number_check("billing_price", "unit_amount", "per", at_least=0),
            models.UniqueConstraint(fields=["plan_version", "position"], name="billing_price_position_once"),
        ]

    def __str__(self) -> str:
        return f"{self.meter} at {amount_string(self.unit_amount)} {self.asset_id} per {amount_string(self.per)}"
