from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.ids import uuid7


class Seal(models.Model):
    """What up to ten thousand rows of one table were when they were sealed, chained to the seal before. Append-only.

    ``engine/sealing.py`` says which columns are covered and how they become bytes.
    """

    class Covers(models.TextChoices):
        LEDGER_TRANSACTION = "ledger_transaction", "Ledger transactions"
        LEDGER_ENTRY = "ledger_entry", "Ledger entries"
        USAGE_EVENT = "usage_event", "Usage events"
        CHARGE = "charge", "Charges"
        CORRECTION = "correction", "Corrections"
        AUDIT_EVENT = "audit_event", "Audit trail"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.BigIntegerField(unique=True, help_text="From 1, without a gap.")
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32, help_text="SHA-256 of everything else that the seal says.")
    form = models.PositiveSmallIntegerField(help_text="Of the bytes that were hashed.")
    covers = models.CharField(max_length=32, choices=Covers.choices)
    rows = models.PositiveIntegerField()
    first_id = models.UUIDField()
    last_id = models.UUIDField()
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the rows' own digests, by id.")
    row_ids = ArrayField(models.UUIDField(), help_text="The rows, in order.")
    checks = models.BinaryField(
        help_text="For each row four bytes of its digest and one of each field's, to name what was changed."
    )
    cluster = models.CharField(max_length=20, help_text="The PostgreSQL cluster that numbered the transactions.")
    written_before = models.BigIntegerField(
        help_text="When it was made, every database transaction before this one had ended."
    )
    made_at = models.DateTimeField(help_text="The same for all seals that were made in one go.")

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(name="billing_seal_numbers", condition=models.Q(number__gt=0, rows__gt=0)),
            models.CheckConstraint(
                name="billing_seal_covers",
                condition=models.Q(
                    covers__in=[
                        "ledger_transaction",
                        "ledger_entry",
                        "usage_event",
                        "charge",
                        "correction",
                        "audit_event",
                    ]
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"Seal {self.number}"
