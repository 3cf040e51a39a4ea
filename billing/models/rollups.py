from django.db import models
from django.db.models import F, Func, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from accounts.ids import uuid7
from billing.models.assets import Asset
from billing.models.catalog import Meter
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class UsageSums(models.Model):
    """What the charges of one kind in one stretch of time come to.

    A line is one meter, asset and set of dimensions. Events whose charges fall on the same lines have the same shape
    and are counted together, beside each line of it: so an event of several meters can be counted once, whatever the
    lines are grouped by. Found by what it sums, so it needs no key of its own.
    """

    shape = models.UUIDField(help_text="Of the lines that each of the events has.")
    line = models.UUIDField(help_text="Of meter, asset, dimensions and API key.")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    dimensions = models.JSONField(default=dict)
    api_key_id = models.UUIDField(null=True)
    quantity = AmountField()
    amount = AmountField()
    events = models.BigIntegerField(help_text="How many events have this shape, less those that were reversed.")

    class Meta:
        abstract = True


class CustomersUsageSums(UsageSums):
    """The same of one customer."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )

    class Meta:
        abstract = True


VALUE = Coalesce(
    Cast("api_key_id", models.TextField()),
    Func(
        F("dimensions"), F("grain"), arg_joiner=" ->> ", output_field=models.TextField(), template="(%(expressions)s)"
    ),
)
"""The value of the one dimension that lines keep apart, where they keep just one apart."""
ALONE = Q(grain__in=["user", "project", "feature", "api_key"])


class UsageRollup(CustomersUsageSums):
    """An hour's sums: derived, and made anew by ``manage.py rebuild_rollups``."""

    class Grain(models.TextChoices):
        """Which dimensions its lines keep apart: see ``selectors/usage/rollups.py``."""

        MODEL = "model", "By model"
        WORK = "work", "By model, user, project, feature and API key"
        SESSION = "session", "By session"
        USER = "user", "By user"
        PROJECT = "project", "By project"
        FEATURE = "feature", "By feature"
        API_KEY = "api_key", "By API key"

    pk = models.CompositePrimaryKey("customer_id", "grain", "hour", "shape", "line")
    grain = models.CharField(max_length=8, choices=Grain.choices)
    hour = models.DateTimeField(help_text="When the events occurred: from here up to an hour later.")

    class Meta:
        indexes = [
            models.Index(fields=["grain", "hour"], name="billing_rollup_hour"),
            models.Index("customer", "grain", VALUE, "hour", name="billing_rollup_value", condition=ALONE),
        ]
        constraints = [
            number_check("billing_usagerollup", "quantity", "amount"),
            models.CheckConstraint(
                name="billing_usagerollup_grain",
                condition=Q(grain__in=["model", "work", "session", "user", "project", "feature", "api_key"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.hour:%Y-%m-%d %H:%M}"


class UsageTotal(UsageSums):
    """What all customers used in an hour, by model: their sums of that grain added up."""

    pk = models.CompositePrimaryKey("hour", "shape", "line")
    hour = models.DateTimeField(help_text="When the events occurred: from here up to an hour later.")

    class Meta:
        constraints = [number_check("billing_usagetotal", "quantity", "amount")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}"


class UsageDay(models.Model):
    """A day of a customer's, from ``start`` up to ``until``, in whose hours something is summed.

    Where it is ``made``, its sums are what its hours come to: whoever adds to one of them unmakes it, in the same
    transaction. No two days of a customer overlap.
    """

    pk = models.CompositePrimaryKey("customer_id", "start")
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    start = models.DateTimeField()
    until = models.DateTimeField()
    made = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["until"], name="billing_usageday_unmade", condition=Q(made=False))]
        constraints = [models.CheckConstraint(name="billing_usageday_time", condition=Q(start__lt=F("until")))]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}"


class UsageDaySum(CustomersUsageSums):
    """A made day's sums: of those of its hours, for customers of whom an hour has many."""

    class Grain(models.TextChoices):
        """What its lines keep apart: see ``selectors/usage/rollups.py``."""

        MODEL = "model", "By model"
        USER = "user", "By user"
        PROJECT = "project", "By project"
        FEATURE = "feature", "By feature"
        API_KEY = "api_key", "By API key"
        WORK = "work", "By all of these"

    pk = models.CompositePrimaryKey("customer_id", "grain", "start", "shape", "line")
    grain = models.CharField(max_length=8, choices=Grain.choices)
    start = models.DateTimeField(help_text="Of the day.")

    class Meta:
        indexes = [
            models.Index("customer", "grain", VALUE, "start", name="billing_usagedaysum_value", condition=ALONE),
            *(
                models.Index(
                    "customer",
                    KeyTextTransform(name, "dimensions"),
                    "start",
                    name=f"billing_usagedaysum_{name}",
                    condition=Q(grain="work"),
                )
                for name in ("user", "project", "feature")
            ),
        ]
        constraints = [
            number_check("billing_usagedaysum", "quantity", "amount"),
            models.CheckConstraint(
                name="billing_usagedaysum_grain",
                condition=Q(grain__in=["model", "user", "project", "feature", "api_key", "work"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.start:%Y-%m-%d %H:%M}"


class RollupMark(models.Model):
    """How far the rollups are: they hold every charge that a database transaction before this one wrote."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    only = models.BooleanField(default=True, unique=True, editable=False)
    cluster = models.CharField(
        max_length=20, blank=True, help_text="The PostgreSQL cluster that numbered the transactions; empty: not ready."
    )
    written_before = models.BigIntegerField(default=0)
    restored_until = models.DateTimeField(
        null=True, help_text="Charges posted up to here bear numbers of another cluster, and are held too."
    )

    class Meta:
        constraints = [models.CheckConstraint(name="billing_rollupmark_only_one", condition=Q(only=True))]

    def __str__(self) -> str:
        return str(self.written_before)
