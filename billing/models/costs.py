from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from accounts.ids import uuid7
from billing.engine.costs import UNITS
from billing.engine.money import amount_string
from billing.models.fields import AmountField, number_check


class _Interval(Func):
    """[``effective_from``, ``effective_to``) as PostgreSQL's own range."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


_INTERVAL = (_Interval("effective_from", "effective_to", RangeBoundary()), RangeOperators.OVERLAPS)
_ORDERED = Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from"))


class ProviderCost(models.Model):
    """What the provider of a model charges the operator for one unit, in US dollars, over a stretch of time.

    ``unit_cost`` is for every ``per`` units, in requests with more than ``above`` input tokens. Of two that hold at the
    same moment, the one made by hand counts and not the imported one.
    """

    class Unit(models.TextChoices):
        INPUT = "input", "Input tokens"
        CACHED_INPUT = "cached_input", "Cached input tokens"
        CACHE_WRITE = "cache_write", "Tokens written to the cache"
        OUTPUT = "output", "Output tokens"
        REASONING = "reasoning", "Reasoning tokens"
        IMAGE = "image", "Images"
        AUDIO_SECOND = "audio_second", "Seconds of audio"
        GPU_SECOND = "gpu_second", "Seconds of a GPU"
        REQUEST = "request", "Requests"

    class Source(models.TextChoices):
        IMPORTED = "imported", "Imported"
        MANUAL = "manual", "By hand"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=64, help_text="In lower case: openai, anthropic, our-own-gpus.")
    model = models.CharField(max_length=255, help_text="As the event's data names it: gpt-4o.")
    aliases = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        help_text="Other names of the model. One that ends in * stands for all names that begin so.",
    )
    unit = models.CharField(max_length=16, choices=Unit.choices)
    unit_cost = AmountField(help_text="US dollars for that many units.")
    per = AmountField(default=1, help_text="How many units the cost is for.")
    above = models.PositiveIntegerField(
        default=0, help_text="Only for requests with more input tokens than this. 0: for all."
    )
    source = models.CharField(max_length=16, choices=Source.choices)
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True, help_text="It no longer holds at this moment.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "model", "unit", "above", "-effective_from"]
        constraints = [
            models.CheckConstraint(name="billing_providercost_unit", condition=Q(unit__in=list(UNITS))),
            models.CheckConstraint(name="billing_providercost_source", condition=Q(source__in=["imported", "manual"])),
            models.CheckConstraint(name="billing_providercost_per_positive", condition=Q(per__gt=0)),
            models.CheckConstraint(name="billing_providercost_interval", condition=_ORDERED),
            number_check("billing_providercost", "unit_cost", "per", at_least=0),
            ExclusionConstraint(
                name="billing_providercost_no_overlap",
                expressions=[
                    _INTERVAL,
                    *((field, RangeOperators.EQUAL) for field in ("source", "provider", "model", "unit", "above")),
                ],
            ),
        ]

    def __str__(self) -> str:
        cost = f"{amount_string(self.unit_cost)} per {amount_string(self.per)}"
        return f"{self.model}, {self.get_unit_display().lower()}: {cost}"


class Overhead(models.Model):
    """What a request costs the operator beside the model: database, vector search, bandwidth, ...

    ``share`` of the model's cost and ``fixed_amount`` US dollars a request, for one provider, or for all that have no
    rule of their own where ``provider`` is empty.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=64, blank=True, help_text="Empty: every provider without its own rule.")
    share = AmountField(default=0, help_text="Of the model's cost: 0.05 is 5 %.")
    fixed_amount = AmountField(default=0, help_text="US dollars for each request.")
    cache_apart = models.BooleanField(
        default=False, help_text="The provider reports cached tokens beside its input tokens and not among them."
    )
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "-effective_from"]
        constraints = [
            models.CheckConstraint(name="billing_overhead_interval", condition=_ORDERED),
            number_check("billing_overhead", "share", "fixed_amount", at_least=0),
            ExclusionConstraint(
                name="billing_overhead_no_overlap", expressions=[_INTERVAL, ("provider", RangeOperators.EQUAL)]
            ),
        ]

    def __str__(self) -> str:
        return self.provider or "Every other provider"


class CostVersion(models.Model):
    """Goes up with every change of costs, in the transaction of the change: so a process knows that it is behind."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.PositiveBigIntegerField(default=0)
    only = models.BooleanField(default=True, unique=True, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="billing_costversion_only_one", condition=Q(only=True))]

    def __str__(self) -> str:
        return str(self.number)
