from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from accounts.ids import uuid7


class BookCheck(models.Model):
    """One look at the books by themselves: every hour at what is quick, every night at everything.

    ``results`` has a row for each of the twelve checks: its code, ``ok``, ``wrong`` or ``skipped``, what differs in
    words, and the milliseconds it took.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        RIGHT = "right", "Right"
        WRONG = "wrong", "Wrong"
        FAILED = "failed", "Did not end"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    full = models.BooleanField(help_text="Every row, and not only what is stored as sums.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    wrong = models.PositiveSmallIntegerField(default=0, help_text="How many of the checks found something.")
    results = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="billing_bookcheck_state",
                condition=Q(state="running", finished_at__isnull=True)
                | Q(state="right", finished_at__isnull=False, wrong=0)
                | Q(state="wrong", finished_at__isnull=False, wrong__gt=0)
                | Q(state="failed", finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{'Everything' if self.full else 'What is quick'}, {self.started_at:%Y-%m-%d %H:%M}"
