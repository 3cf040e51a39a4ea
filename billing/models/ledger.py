from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models.fields import WrittenInField
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.wallets import Balance, Grant


class Account(models.TextChoices):
    """The chart of accounts. A balance on the customer's side; a plain sum over entries on the operator's.

    No account has a row of its own: account, customer and asset name it. A stored running balance for an operator's
    account would be one hot row for all customers.
    """

    WALLET_AVAILABLE = "wallet_available", _("Wallet: available")
    WALLET_HELD = "wallet_held", _("Wallet: held")
    RECEIVABLE = "receivable", _("Receivable from customers")
    CASH_CLEARING = "cash_clearing", _("Cash clearing")
    PROMOTIONAL_EXPENSE = "promotional_expense", _("Promotional expense")
    ALLOWANCES = "allowances", _("Allowances given with a plan")
    ADJUSTMENT = "adjustment", _("Adjustments")
    USAGE = "usage", _("Usage")
    FEES = "fees", _("Fees of plans")
    BREAKAGE = "breakage", _("Breakage")
    REFUNDS = "refunds", _("Refunds")
    DISPUTED = "disputed", _("Disputed")
    TAX_PAYABLE = "tax_payable", _("Tax payable")
    PARTNER_PAYABLE = "partner_payable", _("Partner payable")
    PARTNER_EXPENSE = "partner_expense", _("Share of partners")
    PAYMENT_FEES = "payment_fees", _("Payment fees")
    PROVIDER_FEES = "provider_fees", _("Fees of the payment provider")
    FX = "fx", _("Foreign exchange")


class EntryKind(models.TextChoices):
    """What an entry is on the customer's statement."""

    TOP_UP = "top_up", _("Top-up")
    GRANT = "grant", _("Grant")
    USAGE = "usage", _("Usage")
    HOLD = "hold", _("Hold")
    RELEASE = "release", _("Release")
    EXPIRY = "expiry", _("Expiry")
    VOID = "void", _("Void")
    REFUND = "refund", _("Refund")
    ADJUSTMENT = "adjustment", _("Adjustment")
    FEE = "fee", _("Fee")
    SETTLEMENT = "settlement", _("Settlement of what was owed")
    REVERSAL = "reversal", _("Reversal")
    REINSTATEMENT = "reinstatement", _("Reversal into a new grant")
    DISPUTE = "dispute", _("Frozen by a dispute")
    CHARGEBACK = "chargeback", _("Payment taken back by the bank")


class LedgerTransaction(models.Model):
    """Entries that were posted together, for one reason. Append-only.

    A usage event's transaction bears the event's own id, so that either leads to the other without a look-up table.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    template = models.CharField(max_length=40, help_text="The posting template, such as usage.charged.")
    reference = models.CharField(max_length=80, help_text="What it was posted for. A second post is refused.")
    reverses = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reversals",
        db_constraint=False,
        db_index=False,
    )
    description = models.CharField(max_length=200, blank=True)
    occurred_at = models.DateTimeField(help_text="When it happened in the world.")
    posted_at = models.DateTimeField(help_text="When the books learned of it.")
    written_in = WrittenInField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            BrinIndex(fields=["posted_at"], name="billing_transaction_posted"),
            BrinIndex(fields=["written_in"], name="billing_transaction_written_in"),
            models.Index(
                fields=["reverses"], name="billing_transaction_reversals", condition=Q(reverses__isnull=False)
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["customer", "reference"], name="billing_transaction_reference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.template} {self.reference}"


class LedgerEntry(models.Model):
    """A positive amount of one asset moved from the ``debit`` account to the ``credit`` account. Append-only.

    One row names both sides, so that it balances by construction; a correction is a new row. Entries that touch a
    customer's balance carry that balance's gapless ``seq`` and what it was afterwards.

    References are not checked by the database here: on the append-only tables that would cost a fifth of the
    throughput, and ``verify_ledger`` proves the same.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    transaction = models.ForeignKey(
        LedgerTransaction, on_delete=models.PROTECT, related_name="entries", db_constraint=False
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    balance = models.ForeignKey(
        Balance, on_delete=models.PROTECT, null=True, related_name="entries", db_constraint=False, db_index=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    seq = models.BigIntegerField(null=True)
    kind = models.CharField(max_length=16, choices=EntryKind.choices)
    debit = models.CharField(max_length=24, choices=Account.choices)
    credit = models.CharField(max_length=24, choices=Account.choices)
    amount = AmountField()
    grant = models.ForeignKey(
        Grant, on_delete=models.PROTECT, null=True, related_name="entries", db_constraint=False, db_index=False
    )
    charge = models.ForeignKey(
        "billing.Charge",
        on_delete=models.PROTECT,
        null=True,
        related_name="entries",
        db_constraint=False,
        db_index=False,
    )
    available_after = AmountField(null=True)
    held_after = AmountField(null=True)
    occurred_at = models.DateTimeField()
    posted_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ["-id"]
        indexes = [
            BrinIndex(fields=["posted_at"], name="billing_entry_posted"),
            models.Index(fields=["customer", "-id"], name="billing_entry_statement"),
            models.Index(fields=["grant"], name="billing_entry_grant", condition=Q(grant__isnull=False)),
            # The few entries by which value comes in and goes out: usage, which is nearly all, does not touch it.
            models.Index(
                fields=["balance", "seq"],
                name="billing_entry_value",
                condition=~Q(kind__in=["usage", "hold", "release", "settlement", "reversal", "reinstatement"]),
            ),
            models.Index(
                fields=["balance", "seq"],
                name="billing_entry_settled",
                condition=Q(kind__in=["settlement", "reinstatement"]),
            ),
            # What is bought and given, by time: the first page of the back office asks for today's.
            models.Index(
                fields=["id"],
                name="billing_entry_granted",
                condition=Q(debit__in=["cash_clearing", "promotional_expense"], credit="wallet_available"),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["balance", "seq"], name="billing_entry_seq_once", condition=Q(balance__isnull=False)
            ),
            models.CheckConstraint(name="billing_entry_amount_positive", condition=Q(amount__gt=0)),
            number_check("billing_entry", "amount", "available_after", "held_after"),
            models.CheckConstraint(name="billing_entry_two_accounts", condition=~Q(debit=F("credit"))),
            models.CheckConstraint(
                name="billing_entry_balance_is_whole",
                condition=Q(
                    balance__isnull=True, seq__isnull=True, available_after__isnull=True, held_after__isnull=True
                )
                | Q(
                    balance__isnull=False,
                    seq__isnull=False,
                    seq__gt=0,
                    available_after__isnull=False,
                    held_after__isnull=False,
                ),
            ),
            models.CheckConstraint(
                name="billing_entry_accounts",
                condition=Q(debit__in=Account.values) & Q(credit__in=Account.values),
            ),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.amount)} {self.asset_id}: {self.debit} to {self.credit}"
