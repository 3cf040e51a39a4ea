from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from billing.models.catalog import PlanVersion
from billing.models.customers import Customer
from billing.models.fields import ExactJSONDecoder


class WhatIfRun(models.Model):
    """Usage replayed under another plan version or with other models, for the back office to show. Nothing rests on it.

    ``rows`` has a row for each customer that is done, in the order of their ids; ``position`` is the last one's.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, null=True, related_name="+")
    only = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    instead = models.JSONField(default=dict, help_text="Which model is to have answered in place of which.")
    start = models.DateTimeField()
    end = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    done = models.PositiveBigIntegerField(default=0, help_text="How many events are replayed.")
    total = models.PositiveBigIntegerField(default=0)
    position = models.UUIDField(null=True)
    rows = models.JSONField(default=list, decoder=ExactJSONDecoder)
    detail = models.CharField(max_length=500, blank=True, help_text="Why it failed.")
    asked_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="billing_whatifrun_state", condition=Q(state__in=["queued", "running", "done", "failed"])
            ),
            models.CheckConstraint(name="billing_whatifrun_interval", condition=Q(end__gt=F("start"))),
        ]

    def __str__(self) -> str:
        return f"{self.plan_version or 'Other models'}, {self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}"
