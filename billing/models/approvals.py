from datetime import datetime

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from accounts.models import User
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class Approval(models.Model):
    """What one of the staff asks for and another decides. Only the decision is ever written into the row.

    ``terms`` is all that will be done, as plain values; whoever wants something else asks anew. ``amounts`` is what it
    moves, by asset, as decimal strings.
    """

    class Kind(models.TextChoices):
        GRANT = "grant", "Credit"
        ADJUSTMENT = "adjustment", "Adjustment"
        REFUND = "refund", "Refund of a top-up"
        REVERSAL = "reversal", "Reversal of a charge"
        CHARGE_REFUND = "charge_refund", "Refund of a charge"
        OVERDRAFT_LIMIT = "overdraft_limit", "Overdraft limit"
        PLAN = "plan", "Publication of a plan"
        VOID = "void", "Grant taken back"
        CANCELLATION = "cancellation", "Cancellation with refund"
        ERASURE = "erasure", "Erasure of personal data"
        PLAN_MOVE = "plan_move", "Move of a whole plan"
        AGREED_TERMS = "agreed_terms", "Agreed terms"
        INVOICE_PAYMENT = "invoice_payment", "Payment of an invoice by bank"
        WRITE_OFF = "write_off", "Invoice written off"
        PARTNER_PAYOUT = "partner_payout", "Payout to a partner"
        INVOICE_VOID = "invoice_void", "Invoice voided"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, blank=True, related_name="approvals")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    terms = models.JSONField(encoder=DjangoJSONEncoder)
    amounts = models.JSONField()
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=500, blank=True, help_text="What the second person says to it.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("decide_approval", "Can approve and reject what others ask for")]
        indexes = [
            models.Index(fields=["expires_at"], name="billing_approval_waiting", condition=Q(state="waiting")),
            models.Index(fields=["customer", "-id"], name="billing_approval_customer"),
        ]
        constraints = [
            models.CheckConstraint(
                name="billing_approval_kind",
                condition=Q(
                    kind__in=[
                        *("grant", "adjustment", "refund", "reversal", "charge_refund", "overdraft_limit", "plan"),
                        *("void", "cancellation", "erasure", "plan_move", "agreed_terms"),
                        *("invoice_payment", "write_off", "partner_payout", "invoice_void"),
                    ]
                ),
            ),
            models.CheckConstraint(
                name="billing_approval_second_person",
                condition=Q(decided_by__isnull=True, state__in=["waiting", "expired"])
                | Q(state="withdrawn", decided_by=F("requested_by"))
                | (Q(state__in=["approved", "rejected"], decided_by__isnull=False) & ~Q(decided_by=F("requested_by"))),
            ),
            models.CheckConstraint(
                name="billing_approval_decided_at",
                condition=Q(state="waiting", decided_at__isnull=True)
                | (~Q(state="waiting") & Q(decided_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} asked for by {self.requested_by}"

    def status_at(self, moment: datetime) -> "Approval.State":
        """What it is at ``moment``, whether or not a worker has come by."""
        if self.state == self.State.WAITING and self.expires_at <= moment:
            return self.State.EXPIRED
        return self.State(self.state)


class ManualMovement(models.Model):
    """What one of the staff has moved by hand, one row for each asset. Append-only.

    Those without an ``approval`` add up to what a person may move alone in a day; those with one use it up.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    kind = models.CharField(max_length=16, choices=Approval.Kind.choices)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    amount = AmountField()
    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, null=True, related_name="movements")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["person", "created_at"], name="billing_movement_person")]
        constraints = [
            models.UniqueConstraint(
                fields=["approval", "asset"], name="billing_movement_once", condition=Q(approval__isnull=False)
            ),
            models.CheckConstraint(name="billing_movement_positive", condition=Q(amount__gt=0)),
            number_check("billing_movement", "amount"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.person}"
