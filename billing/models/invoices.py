from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.wallets import Balance


class InvoiceSeries(models.Model):
    """Numbers without a gap: the row is locked while one is given, and the number commits with its invoice."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.CharField(max_length=16, unique=True)
    last = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "invoice series"

    def __str__(self) -> str:
        return self.code


class Invoice(models.Model):
    """What a customer owes for a run of entries of one balance, put on paper. Append-only.

    It is derived from the ledger and never the other way round: ``first_seq`` to ``last_seq`` are the entries that it
    is for, and each entry is in one document at most. What was given back since, and is more than what was used, makes
    a credit note. Amounts are in coins; ``owed_after`` is exact.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice", "Invoice"
        CREDIT_NOTE = "credit_note", "Credit note"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoices")
    balance = models.ForeignKey(Balance, on_delete=models.PROTECT, related_name="invoices", db_index=False)
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    series = models.CharField(max_length=16)
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=32)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    total = AmountField()
    prepaid = AmountField(help_text="What the wallet had paid of it already.")
    due = AmountField()
    due_before = AmountField(help_text="What was due on all documents of this balance before.")
    owed_after = AmountField(help_text="What was taken beyond the wallet up to and with these entries, exact.")
    due_on = models.DateField()
    seller = models.JSONField(default=list, help_text="The lines that say who asks for it.")
    buyer = models.JSONField(default=list)
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer", "-id"], name="billing_invoice_customer")]
        constraints = [
            models.UniqueConstraint(fields=["series", "sequence"], name="billing_invoice_sequence_once"),
            models.UniqueConstraint(fields=["number"], name="billing_invoice_number_once"),
            models.UniqueConstraint(fields=["balance", "first_seq"], name="billing_invoice_entries_once"),
            number_check("billing_invoice", "total", "prepaid", "due", "due_before", "owed_after"),
            models.CheckConstraint(name="billing_invoice_adds_up", condition=Q(total=F("prepaid") + F("due"))),
            models.CheckConstraint(name="billing_invoice_entries", condition=Q(last_seq__gte=F("first_seq"))),
            models.CheckConstraint(
                name="billing_invoice_kind",
                condition=Q(kind="invoice", due__gt=0) | Q(kind="credit_note", due__lt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.number


class InvoiceLine(models.Model):
    """A line of an invoice. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=16)
    product = models.CharField(max_length=100, blank=True)
    description = models.CharField(max_length=200)
    quantity = AmountField(null=True)
    unit = models.CharField(max_length=50, blank=True)
    amount = AmountField(help_text="In coins.")
    exact = AmountField(help_text="As the ledger has it.")

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="billing_invoiceline_once"),
            number_check("billing_invoiceline", "quantity", "amount", "exact"),
            models.CheckConstraint(
                name="billing_invoiceline_kind", condition=Q(kind__in=["usage", "fee", "adjustment", "chargeback"])
            ),
        ]

    def __str__(self) -> str:
        return self.description
