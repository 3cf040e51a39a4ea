from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import ApiKey, User
from billing.models.assets import Asset
from billing.models.catalog import Plan
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class Budget(models.Model):
    """A limit on what usage may come to in a window of time: of a whole customer, or of what has these values.

    A hard one refuses what would pass it, a soft one only tells. All budgets that cover an event must let it pass.
    """

    class Counts(models.TextChoices):
        SPEND = "spend", "What usage is charged"
        EVENTS = "events", "Events"

    class Period(models.TextChoices):
        HOUR = "hour", _("Each hour")
        DAY = "day", _("Each day")
        WEEK = "week", _("Each week")
        MONTH = "month", _("Each month")
        TOTAL = "total", _("In all")

    class AtCap(models.TextChoices):
        REFUSE = "refuse", _("Refuse it")
        THROTTLE = "throttle", _("Ask to come again later")
        PAUSE_KEY = "pause_key", _("Refuse it and pause the API key")
        CHANGE_PLAN = "change_plan", _("Move to another plan")

    class SetBy(models.TextChoices):
        OPERATOR = "operator", _("The operator")
        CUSTOMER = "customer", _("The customer")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="budgets", db_index=False)
    name = models.CharField(max_length=100)
    scope = models.JSONField(default=dict, help_text="Values of the usage; * stands for each value by itself.")
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Usage reported with it, or with a key that renews it.",
    )
    member = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Usage of the user of that e-mail address, or reported with a key that they made.",
    )
    people = ArrayField(
        models.UUIDField(), default=list, blank=True, db_default=[], help_text="Several such, who share it: their ids."
    )
    counts = models.CharField(max_length=16, choices=Counts.choices, default=Counts.SPEND)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, related_name="+", help_text="What is spent.")
    limit = AmountField(db_column="limit_amount")
    period = models.CharField(max_length=16, choices=Period.choices)
    hard = models.BooleanField(default=True, help_text="Refuses what would pass the limit; else it only tells.")
    at_cap = models.CharField(max_length=16, choices=AtCap.choices, default=AtCap.REFUSE)
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="That the customer moves to."
    )
    plan_failed_at = models.DateTimeField(null=True, blank=True, help_text="When they could not be moved to it.")
    plan_failure = models.CharField(max_length=300, blank=True)
    alert_at = ArrayField(models.CharField(max_length=16), default=list, help_text="Shares of the limit, rising.")
    set_by = models.CharField(max_length=16, choices=SetBy.choices)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer"], name="billing_budget_kept", condition=Q(removed_at=None))]
        constraints = [
            number_check("billing_budget", "limit", at_least=0),
            models.CheckConstraint(name="billing_budget_counts", condition=Q(counts="spend") ^ Q(asset=None)),
            models.CheckConstraint(
                name="billing_budget_period", condition=Q(period__in=["hour", "day", "week", "month", "total"])
            ),
            models.CheckConstraint(
                name="billing_budget_at_cap",
                condition=Q(at_cap="refuse")
                | (Q(hard=True) & (Q(at_cap__in=["pause_key", "change_plan"]) | ~Q(period="total"))),
            ),
            models.CheckConstraint(name="billing_budget_plan", condition=Q(at_cap="change_plan") ^ Q(plan=None)),
            models.CheckConstraint(name="billing_budget_people", condition=Q(member=None) | Q(people=[])),
            models.CheckConstraint(name="billing_budget_set_by", condition=Q(set_by__in=["operator", "customer"])),
        ]

    def __str__(self) -> str:
        return self.name


class BudgetCounter(models.Model):
    """What counts against a budget in its latest window; of one that is for each value, one row a value.

    A row is taken over by the next window. Written under the customer's lock, together with the charges.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="counters", db_index=False)
    value = models.CharField(max_length=255, blank=True)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField(null=True)
    spent = AmountField(help_text="In the asset, or events.")
    level = models.PositiveSmallIntegerField(default=0, help_text="How many of its shares were told of.")
    exceeded = models.BooleanField(default=False, help_text="Whether it was told that the limit was hit.")

    class Meta:
        indexes = [
            models.Index(fields=["window_end"], name="billing_budgetcounter_hit", condition=Q(exceeded=True)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["budget", "value", "customer"], name="billing_budgetcounter_once"),
            number_check("billing_budgetcounter", "spent"),
        ]

    def __str__(self) -> str:
        return f"{self.spent} from {self.window_start:%Y-%m-%d}"
