from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from billing.engine import taxes
from billing.engine.money import EXACT
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
        INVOICE = "invoice", _("Invoice")
        CREDIT_NOTE = "credit_note", _("Credit note")

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
    tax = AmountField(default=0, db_default=0, help_text="On top of what is due.")
    tax_base = AmountField(
        default=0, db_default=0, help_text="What it is on: of what is due, what was not paid when it was issued."
    )
    tax_given = AmountField(
        default=0, db_default=0, help_text="Of the tax of a credit note: what had been paid, and went into the wallet."
    )
    tax_withheld = AmountField(
        default=0,
        db_default=0,
        help_text="Of a credit note: tax that it does not give back, because a payer's bank had taken it back.",
    )
    tax_treatment = models.CharField(max_length=16, default=taxes.NONE, db_default=taxes.NONE)
    owed_after = AmountField(help_text="What was taken beyond the wallet up to and with these entries, exact.")
    due_on = models.DateField()
    voids = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="voided_by",
        help_text="The invoice that this credit note takes back as a whole.",
    )
    seller = models.JSONField(default=list, help_text="The lines that say who asks for it.")
    buyer = models.JSONField(default=list)
    parties = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField()), help_text="Both, as programs read them."
    )
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer", "-id"], name="billing_invoice_customer")]
        constraints = [
            models.UniqueConstraint(fields=["series", "sequence"], name="billing_invoice_sequence_once"),
            models.UniqueConstraint(fields=["number"], name="billing_invoice_number_once"),
            models.UniqueConstraint(fields=["balance", "first_seq"], name="billing_invoice_entries_once"),
            number_check("billing_invoice", "total", "prepaid", "due", "due_before", "owed_after", "tax", "tax_base"),
            number_check("billing_invoice", "tax_given", "tax_withheld", at_least=0),
            models.CheckConstraint(
                name="billing_invoice_tax",
                condition=Q(kind="invoice", tax__gte=0, tax_base__gte=0, tax_base__lte=F("due"))
                | Q(kind="credit_note", tax__lte=0, tax_base__lte=0),
            ),
            models.CheckConstraint(name="billing_invoice_adds_up", condition=Q(total=F("prepaid") + F("due"))),
            models.CheckConstraint(name="billing_invoice_entries", condition=Q(last_seq__gte=F("first_seq"))),
            models.CheckConstraint(
                name="billing_invoice_kind",
                condition=Q(kind="invoice", due__gt=0, voids__isnull=True) | Q(kind="credit_note", due__lt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def payable(self) -> Decimal:
        """What is due with its tax."""
        return EXACT.add(self.due, self.tax)


class InvoiceTax(models.Model):
    """One of the taxes on an invoice: they add up to its tax. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="taxes")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=40)
    rate = AmountField()
    amount = AmountField()

    class Meta:
        ordering = ["invoice", "position"]
        verbose_name_plural = "invoice taxes"
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="billing_invoicetax_once"),
            number_check("billing_invoicetax", "rate", "amount"),
        ]

    def __str__(self) -> str:
        return self.name


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
    unit_amount = AmountField(null=True, help_text="What per of them cost, where there is one such rate.")
    per = AmountField(null=True)
    metadata = models.JSONField(default=dict, help_text="Of the events, as far as invoices have it.")
    amount = AmountField(help_text="In coins.")
    exact = AmountField(help_text="As the ledger has it.")

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="billing_invoiceline_once"),
            number_check("billing_invoiceline", "quantity", "amount", "exact", "unit_amount", "per"),
            models.CheckConstraint(
                name="billing_invoiceline_kind",
                condition=Q(kind__in=["usage", "fee", "discount", "adjustment", "chargeback"]),
            ),
        ]

    def __str__(self) -> str:
        return self.description


class Collection(models.Model):
    """Where the collecting of an invoice is. What is paid of it is in the ledger, never here.

    ``open`` → ``paid`` or ``uncollectible``; ``paid`` → ``open`` where what had paid it was taken back; ``voiding``
    from when the invoice is to be taken back, ``voided`` once it is. ``closed_at`` is when it ended; of one that is
    being voided when it was paid, if it was. ``tries`` counts the charges of a kept method, ``reminders`` the letters.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        VOIDING = "voiding", "Being voided"
        PAID = "paid", "Paid"
        UNCOLLECTIBLE = "uncollectible", "Uncollectible"
        VOIDED = "voided", "Void"

    UNSETTLED = (State.OPEN, State.VOIDING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="collection")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    reminders = models.PositiveSmallIntegerField(default=0)
    froze = models.BooleanField(default=False, help_text="The wallet is frozen because of it.")
    reason = models.CharField(max_length=500, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], name="billing_collection_open", condition=Q(state="open")),
            models.Index(fields=["id"], name="billing_collection_voiding", condition=Q(state="voiding")),
        ]
        constraints = [
            models.CheckConstraint(
                name="billing_collection_state",
                condition=Q(state__in=["open", "voiding", "paid", "uncollectible", "voided"]),
            ),
            models.CheckConstraint(
                name="billing_collection_closed",
                condition=Q(state="voiding") | (Q(state="open") ^ Q(closed_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_state_display()}: {self.invoice}"


class InvoicePayment(models.Model):
    """What was noted by hand for an invoice: money that came by bank, or what is given up. Append-only.

    ``amount`` + ``tax`` is what came in. ``grant_id`` is the grant that the amount came into the wallet with.
    """

    class Kind(models.TextChoices):
        MONEY = "money", "Paid outside of the payment provider"
        WRITE_OFF = "write_off", "Written off"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    amount = AmountField()
    tax = AmountField(default=0)
    reference = models.CharField(max_length=100)
    grant_id = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "reference"], name="billing_invoicepayment_once"),
            number_check("billing_invoicepayment", "amount", "tax", at_least=0),
            models.CheckConstraint(name="billing_invoicepayment_some", condition=Q(amount__gt=0) | Q(tax__gt=0)),
            models.CheckConstraint(
                name="billing_invoicepayment_grant", condition=Q(amount=0) ^ Q(grant_id__isnull=False)
            ),
            models.CheckConstraint(name="billing_invoicepayment_kind", condition=Q(kind__in=["money", "write_off"])),
        ]

    def __str__(self) -> str:
        return self.reference
