"""Payments that their payers' banks want back."""

from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.funding import TopUp


class Dispute(models.Model):
    """A payment that its payer's bank has taken back, or asks about, and what the books have done about it so far.

    While it is open, what is left of the payment is frozen. Lost, the rest is taken from what else the wallet holds,
    and what it does not hold is owed. Won, all of that is undone. ``frozen``, ``frozen_bonus``, ``recovered`` and
    ``withdrawn`` are what is in effect: every change brings them to what the status asks for, from wherever they are.
    """

    class Status(models.TextChoices):
        INQUIRY = "inquiry", "The bank asks"
        OPEN = "open", "Needs an answer"
        UNDER_REVIEW = "under_review", "Under review"
        WON = "won", "Won"
        LOST = "lost", "Lost"
        CLOSED = "closed", "Closed"

    UNDECIDED = (Status.OPEN, Status.UNDER_REVIEW)
    HARMLESS = (Status.INQUIRY, Status.WON, Status.CLOSED)
    """No money is gone, or it is back."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="disputes")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="disputes")
    mode = models.CharField(max_length=16)
    provider_id = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=16, choices=Status.choices)
    amount = AmountField(help_text="Of all that was paid, fee and tax included.")
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=100, blank=True)
    opened_at = models.DateTimeField()
    answer_by = models.DateTimeField(null=True, blank=True, help_text="Evidence counts until then.")
    frozen = AmountField(default=0, help_text="Of the grant that was paid for.")
    frozen_bonus = AmountField(default=0, help_text="Of the bonus.")
    recovered = AmountField(default=0, help_text="In place of what was spent: from other grants, or owed.")
    recovered_tax = AmountField(
        default=0, db_default=0, help_text="Of the tax: what a credit note had put into the wallet, taken there."
    )
    returned_tax = AmountField(
        default=0,
        db_default=0,
        help_text="Of the tax: what went into the wallet when a loss was undone, as no invoice asked for it by then.",
    )
    withdrawn = AmountField(default=0, help_text="What the provider took.")
    fee = AmountField(default=0, db_default=0, help_text="What the provider took for it beside, as booked.")
    loss_id = models.UUIDField(null=True, blank=True, help_text="The transaction that booked the loss, if it is one.")
    revision = models.PositiveIntegerField(default=0)
    evidence_key = models.CharField(max_length=64, blank=True, help_text="Of the evidence that is being sent.")
    evidence_sent_at = models.DateTimeField(null=True, blank=True)
    check_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["check_at"], name="billing_dispute_due", condition=Q(check_at__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(name="billing_dispute_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_dispute", "amount"),
            number_check(
                "billing_dispute",
                *("frozen", "frozen_bonus", "recovered", "recovered_tax", "returned_tax", "withdrawn", "fee"),
                at_least=0,
            ),
            models.CheckConstraint(
                name="billing_dispute_status",
                condition=Q(status__in=["inquiry", "open", "under_review", "won", "lost", "closed"]),
            ),
            models.CheckConstraint(
                name="billing_dispute_effects",
                condition=Q(status__in=["open", "under_review", "lost"])
                | Q(frozen=0, frozen_bonus=0, recovered=0, recovered_tax=0, withdrawn=0),
            ),
            models.CheckConstraint(
                name="billing_dispute_loss",
                condition=Q(status="lost", loss_id__isnull=False)
                | Q(loss_id__isnull=True, recovered=0, recovered_tax=0) & ~Q(status="lost"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()}: dispute over {amount_string(self.amount)} {self.currency_id.upper()}"
