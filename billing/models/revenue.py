from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.engine.recognition import MOVEMENTS
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.subscriptions import Fee
from billing.models.wallets import Grant


class RevenueDay(models.Model):
    """A day of the books in the operator's time zone: open, then closing, then closed for good.

    It holds the entries that were posted before ``end`` and are in no day before. The database numbers what writes, so
    that a row which turns up later, with a time of before, is known by its number and goes to the next open day. A day
    that two people reopened is a further version; what was closed stays beside it as it was.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSING = "closing", "Closing"
        CLOSED = "closed", "Closed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    date = models.DateField()
    version = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    zone = models.CharField(max_length=64, help_text="The operator's time zone when the day was opened.")
    start = models.DateTimeField()
    end = models.DateTimeField()
    cut_at = models.DateTimeField(null=True, help_text="When closing began: what is written later is a later day's.")
    cluster = models.CharField(max_length=20, blank=True, help_text="The PostgreSQL cluster that numbered what writes.")
    written_before = models.BigIntegerField(null=True, help_text="What belongs to the day was written below this.")
    numbered = models.BooleanField(default=True, help_text="False on a day in which the numbers began anew.")
    chart = models.JSONField(default=dict, help_text="The chart of accounts with which it was closed.")
    entries = models.BigIntegerField(default=0, help_text="Ledger entries that it holds.")
    late = models.BigIntegerField(default=0, help_text="Of them, those that occurred on a day before.")
    files = models.JSONField(default=dict, help_text="For each format: the SHA-256 of its file, its bytes and lines.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the whole journal in JSON lines.")
    closed_at = models.DateTimeField(null=True)
    reopened_by = models.CharField(max_length=200, blank=True, help_text="Who asked for this further version.")
    reason = models.CharField(max_length=500, blank=True)
    approved_by = models.CharField(max_length=200, blank=True, help_text="Who else agreed.")

    class Meta:
        ordering = ["-date", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["date", "version"], name="billing_revenueday_once"),
            models.CheckConstraint(name="billing_revenueday_interval", condition=Q(end__gt=F("start"))),
            models.CheckConstraint(
                name="billing_revenueday_state",
                condition=Q(state="open", cut_at__isnull=True, closed_at__isnull=True, sha256="")
                | Q(state="closing", cut_at__isnull=False, closed_at__isnull=True, sha256="")
                | (Q(state="closed", cut_at__isnull=False, closed_at__isnull=False) & ~Q(sha256="")),
            ),
            models.CheckConstraint(
                name="billing_revenueday_two_people",
                condition=Q(version=1, reopened_by="", approved_by="")
                | (Q(version__gt=1) & ~Q(reopened_by="") & ~Q(approved_by=F("reopened_by"))),
            ),
            models.CheckConstraint(
                name="billing_revenueday_approved", condition=Q(state="open") | Q(version=1) | ~Q(approved_by="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.date:%Y-%m-%d}" + (f", version {self.version}" if self.version > 1 else "")


class Recognition(models.Model):
    """A line of a closed day's journal: an amount of money from one account to another. Append-only.

    It sums the day's entries that are alike: of one grant or fee, for one product and one day on which they occurred. A
    line that takes back has a negative amount.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    day = models.ForeignKey(RevenueDay, on_delete=models.PROTECT, related_name="lines", db_index=False)
    number = models.PositiveIntegerField(help_text="From 1, in the day.")
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    movement = models.CharField(max_length=24, help_text="What it is: see engine/recognition.py.")
    debit = models.CharField(max_length=24)
    credit = models.CharField(max_length=24)
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    amount = AmountField()
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    units = AmountField(null=True, help_text="Of the wallet's asset, as the entries have them.")
    product = models.CharField(max_length=100, blank=True, help_text="The meter, or the plan whose fee it is.")
    grant = models.ForeignKey(
        Grant, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    fee = models.ForeignKey(
        Fee, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    occurred_on = models.DateField()
    entries = models.PositiveIntegerField(default=0, help_text="How many ledger entries it sums.")
    entry_kind = models.CharField(max_length=16, blank=True, help_text="What those entries have in common.")
    entry_debit = models.CharField(max_length=24, blank=True)
    entry_credit = models.CharField(max_length=24, blank=True)

    class Meta:
        ordering = ["day", "number"]
        indexes = [
            models.Index(fields=["customer", "-id"], name="billing_recognition_customer"),
            models.Index(fields=["grant"], name="billing_recognition_grant", condition=Q(grant__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["day", "number"], name="billing_recognition_number_once"),
            models.CheckConstraint(name="billing_recognition_movement", condition=Q(movement__in=list(MOVEMENTS))),
            models.CheckConstraint(name="billing_recognition_amount", condition=~Q(amount=0)),
            number_check("billing_recognition", "amount", "units"),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.amount)} {self.currency_id}: {self.debit} to {self.credit}"


class RevenueTotal(models.Model):
    """What a closed day's lines of one kind come to, and what all lines of that kind have come to since the beginning.

    Each day has a row for every kind that there ever was. Append-only.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    day = models.ForeignKey(RevenueDay, on_delete=models.PROTECT, related_name="totals", db_index=False)
    number = models.PositiveIntegerField()
    movement = models.CharField(max_length=24)
    debit = models.CharField(max_length=24)
    credit = models.CharField(max_length=24)
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    product = models.CharField(max_length=100, blank=True)
    occurred_on = models.DateField()
    amount = AmountField()
    closing = AmountField(help_text="The sum of all amounts of this kind, with this one.")
    lines = models.PositiveIntegerField()

    class Meta:
        ordering = ["day", "number"]
        constraints = [
            models.UniqueConstraint(fields=["day", "number"], name="billing_revenuetotal_number_once"),
            number_check("billing_revenuetotal", "amount", "closing"),
        ]

    def __str__(self) -> str:
        return f"{self.movement} {amount_string(self.amount)} {self.currency_id}"


class Obligation(models.Model):
    """Where a grant that was paid for, or a fee, stood at the end of a closed day on which it moved. Append-only.

    ``value`` was paid for ``total`` units of the grant, or seconds of the fee's time; ``done`` of them are rendered,
    and ``booked`` of the value has left the contract liability for them, ``used`` of that by use. ``ahead`` has left it
    too, as what is expected to stay unused. A fee that gives back has a negative value.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    day = models.ForeignKey(RevenueDay, on_delete=models.PROTECT, related_name="obligations")
    date = models.DateField()
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    grant = models.ForeignKey(
        Grant, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    fee = models.ForeignKey(
        Fee, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    value = AmountField()
    total = AmountField()
    done = AmountField()
    booked = AmountField()
    used = AmountField(default=0, db_default=0)
    ahead = AmountField(default=0, db_default=0)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["grant", "-id"], name="billing_obligation_grant", condition=Q(grant__isnull=False)),
            models.Index(
                fields=["fee", "currency", "-id"], name="billing_obligation_fee", condition=Q(fee__isnull=False)
            ),
        ]
        constraints = [
            number_check("billing_obligation", "value", "total", "done", "booked", "used", "ahead"),
            models.CheckConstraint(
                name="billing_obligation_of_one",
                condition=Q(grant__isnull=False, fee__isnull=True) | Q(grant__isnull=True, fee__isnull=False),
            ),
            models.CheckConstraint(name="billing_obligation_total", condition=Q(total__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.booked)} of {amount_string(self.value)} {self.currency_id}"


class AccountMapping(models.Model):
    """What one of our accounts, or a product's share of one, is called in the operator's own chart of accounts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.CharField(max_length=24)
    product = models.CharField(max_length=100, blank=True, help_text="A meter or a plan; empty for all others.")
    number = models.CharField(max_length=40, help_text="The account there, as its number or full name.")
    department = models.CharField(max_length=60, blank=True)
    account_class = models.CharField("class", max_length=60, blank=True)

    class Meta:
        ordering = ["account", "product"]
        constraints = [models.UniqueConstraint(fields=["account", "product"], name="billing_accountmapping_once")]

    def __str__(self) -> str:
        return f"{self.account} as {self.number}"
