from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from accounts.models.fields import WrittenInField
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.fields import AmountField, number_check

_code = RegexValidator(r"^[a-z][a-z0-9_-]*\Z", "Lower case a-z, 0-9, _ and -.")


def _numbers_of_models() -> Q:
    """Each model has the numbers that it cannot do without."""
    wanted = Q()
    for model, fields in {
        "per_unit": ["unit_amount"],
        "package": ["unit_amount"],
        "flat": ["unit_amount"],
        "percentage": ["rate"],
        "cost_plus": ["markup"],
    }.items():
        wanted |= Q(model=model, **{f"{field}__isnull": False for field in fields})
    wanted |= Q(model__in=["graduated", "volume", "graduated_percentage"], unit_amount__isnull=True)
    return wanted | (Q(model="event") & ~Q(amount_field=""))


class Meter(models.Model):
    """Which number of which events is counted. What it counts never changes once it exists."""

    class Aggregation(models.TextChoices):
        SUM = "sum", "Sum of the value"
        COUNT = "count", "Number of events"
        MAX = "max", "Highest value of the period"
        UNIQUE = "unique", "Number of different values"
        LATEST = "latest", "Last value reported"
        TIME_WEIGHTED = "time_weighted", "Level × hours"

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
    section = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="The heading that invoices and statements put it under: Speech. Empty: none.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                name="billing_meter_aggregation",
                condition=Q(aggregation__in=["sum", "count", "max", "unique", "latest", "time_weighted"]),
            ),
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
    offered = models.BooleanField(
        default=False, help_text="Customers may choose it by themselves, and the price page shows it."
    )
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

    class CachedTokens(models.TextChoices):
        """What tokens cost that the provider found in its cache."""

        OWN = "own", "Their own price"
        RETAIL = "retail", "The price of the tokens that they stand for"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    interval = models.CharField(max_length=16, choices=Interval.choices, default=Interval.MONTH)
    base_fee = AmountField(default=0, help_text="For each period, in the plan's currency, before the discount.")
    trial_days = models.PositiveSmallIntegerField(default=0, help_text="How long a new subscription costs nothing.")
    minimum_commitment = AmountField(
        default=0, help_text="What a period's usage comes to at least; the rest is charged at its end."
    )
    overage_limit = AmountField(
        default=0,
        db_default=0,
        help_text="How far usage, not fees, goes on when the wallet is empty, for the invoice. 0: it is refused.",
    )
    commitment_discounts = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text='What share is off from which commitment on: [{"from": "1000", "discount": "0.1"}].',
    )
    discount = AmountField(default=0, help_text="The share off the fee and every charge: 0.15 is 15 %.")
    derived_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="derived", help_text="The public version."
    )
    agreed_with = models.ForeignKey(
        "billing.Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_constraint=False
    )
    cached_tokens = models.CharField(
        max_length=8,
        choices=CachedTokens.choices,
        default=CachedTokens.OWN,
        help_text="Which price cached tokens have.",
    )
    published_at = models.DateTimeField(auto_now_add=True)
    written_in = WrittenInField()
    """What belongs to the version is written in the same transaction: a trigger refuses what comes later."""

    class Meta:
        ordering = ["plan", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "number"],
                condition=Q(derived_from__isnull=True),
                name="billing_planversion_number_once",
            ),
            number_check(
                "billing_planversion", "base_fee", "minimum_commitment", "overage_limit", "discount", at_least=0
            ),
            models.CheckConstraint(name="billing_planversion_discount", condition=Q(discount__lte=1)),
            models.CheckConstraint(
                name="billing_planversion_interval",
                condition=Q(interval__in=["day", "week", "month", "quarter", "year"]),
            ),
            models.CheckConstraint(
                name="billing_planversion_cached_tokens", condition=Q(cached_tokens__in=["own", "retail"])
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
    """What one meter costs in one asset. Belongs to a plan version and never changes.

    Which of the numbers a price has is its model's to say (``billing.engine.prices.terms``); the others are null.
    """

    class Model(models.TextChoices):
        PER_UNIT = "per_unit", "Per unit"
        PACKAGE = "package", "Package"
        GRADUATED = "graduated", "Graduated"
        VOLUME = "volume", "Volume"
        FLAT = "flat", "Flat"
        PERCENTAGE = "percentage", "Percentage"
        GRADUATED_PERCENTAGE = "graduated_percentage", "Graduated percentage"
        COST_PLUS = "cost_plus", "Cost plus"
        EVENT = "event", "Given by the event"

    class Rounding(models.TextChoices):
        UP = "up", "Started packages"
        DOWN = "down", "Full packages"

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
    unit_amount = AmountField(null=True, help_text="What that many units cost.")
    rounding = models.CharField(max_length=8, blank=True, choices=Rounding.choices)
    rate = AmountField(null=True, help_text="The share of the metered amount: 0.15 is 15 %.")
    fixed_amount = AmountField(null=True, help_text="For each event, beside the share.")
    minimum = AmountField(null=True, help_text="The least that an event costs.")
    maximum = AmountField(null=True, help_text="The most that an event costs.")
    markup = AmountField(null=True, help_text="What is put on the provider's cost: 0.40 is 40 %.")
    cost_field = models.CharField(max_length=200, blank=True, help_text="The field of the data that is that cost.")
    amount_field = models.CharField(max_length=200, blank=True, help_text="The field of the data that is the price.")
    free_units = AmountField(default=0, help_text="The period's first units, which cost nothing.")
    minimum_amount = AmountField(null=True, help_text="The least that a period costs: the rest is due at its end.")
    maximum_amount = AmountField(null=True, help_text="The most that a period costs.")
    covered_by = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    cached_of = models.ForeignKey(
        Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    valid = models.JSONField(default=dict, blank=True, help_text='Only at these times: {"hours": [[22, 6]], …}.')
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
            models.CheckConstraint(name="billing_price_model", condition=_numbers_of_models()),
            models.CheckConstraint(name="billing_price_rounding", condition=Q(rounding__in=["", "up", "down"])),
            models.CheckConstraint(name="billing_price_covered", condition=~Q(covered_by=F("asset"))),
            models.CheckConstraint(name="billing_price_per_positive", condition=Q(per__gt=0)),
            number_check(
                "billing_price",
                "unit_amount",
                "per",
                "rate",
                "fixed_amount",
                "minimum",
                "maximum",
                "markup",
                "free_units",
                "minimum_amount",
                "maximum_amount",
                at_least=0,
            ),
            models.UniqueConstraint(fields=["plan_version", "position"], name="billing_price_position_once"),
        ]

    def __str__(self) -> str:
        return f"{self.meter}, {self.get_model_display().lower()}, in {self.asset_id}"


class Tier(models.Model):
    """A step of a price's staircase: units beyond the tier before and up to, and with, ``up_to``.

    A trigger keeps the tiers of a price ascending and without gaps, with the last one open.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="tiers")
    number = models.PositiveSmallIntegerField(help_text="Counted from 1.")
    up_to = AmountField(null=True, help_text="Its last unit; empty for the last tier.")
    unit_amount = AmountField(help_text="What ``per`` units of the price cost in it; for percentages the share.")
    flat_amount = AmountField(default=0, help_text="Due once, as soon as a unit falls in it.")

    class Meta:
        ordering = ["price", "number"]
        constraints = [
            models.UniqueConstraint(fields=["price", "number"], name="billing_tier_once"),
            models.CheckConstraint(name="billing_tier_number", condition=Q(number__gte=1)),
            models.CheckConstraint(name="billing_tier_up_to", condition=Q(up_to__isnull=True) | Q(up_to__gt=0)),
            number_check("billing_tier", "up_to", "unit_amount", "flat_amount", at_least=0),
        ]

    def __str__(self) -> str:
        return f"Tier {self.number}"
