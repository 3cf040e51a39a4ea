"""Files for the operator's own books and warehouse, and how far they have come."""

from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.models.revenue import RevenueDay


class ExportFile(models.Model):
    """A file that is to be where ``EXPORT_TO`` says, or is there.

    The row is there before anything is sent: which rows of the books a file has is settled by then, so whoever sends it
    again sends the same under the same name. A journal is a closed day's; the others hold what was written by the
    database transactions ``since`` <= number < ``until``, all of which had ended. Without ``since`` it is everything
    that can be seen when the file is made, and some of it may come again.
    """

    class Kind(models.TextChoices):
        JOURNAL = "journal", "Journal of a day"
        EVENTS = "events", "Usage events"
        CHARGES = "charges", "Charges"
        ENTRIES = "entries", "Ledger entries"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    format = models.CharField(max_length=16)
    name = models.CharField(max_length=200, unique=True, help_text="Its path below EXPORT_TO.")
    day = models.ForeignKey(RevenueDay, on_delete=models.PROTECT, null=True, related_name="exports")
    since = models.BigIntegerField(null=True)
    until = models.BigIntegerField(null=True)
    cluster = models.CharField(max_length=20, blank=True, help_text="The PostgreSQL cluster that numbered what writes.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(help_text="Not to be tried before.")
    last_error = models.CharField(max_length=300, blank=True)
    rows = models.BigIntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["due_at"], name="billing_exportfile_due", condition=Q(state="waiting"))]
        constraints = [
            models.CheckConstraint(
                name="billing_exportfile_state",
                condition=Q(state="waiting", delivered_at__isnull=True, sha256="")
                | (Q(state="delivered", delivered_at__isnull=False) & ~Q(sha256="")),
            ),
            models.CheckConstraint(
                name="billing_exportfile_of_one",
                condition=Q(kind="journal", day__isnull=False, until__isnull=True)
                | (Q(kind__in=["events", "charges", "entries"], day__isnull=True, until__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return self.name
