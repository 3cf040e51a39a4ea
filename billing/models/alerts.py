from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import User
from accounts.models.fields import SealedField
from billing.models.assets import Asset
from billing.models.customers import Customer
from billing.models.subscriptions import Subscription, SubscriptionPeriod
from billing.models.wallets import Grant


class Alert(models.Model):
    """A rule that tells a customer's people something once for each crossing, and again after it was undone.

    ``at`` are its thresholds, the one that is crossed first first; ``level`` is how many of them are crossed.
    Spending that is far from usual has none: ``services.anomalies`` finds it.
    """

    class Kind(models.TextChoices):
        BALANCE_BELOW = "balance_below", _("The balance falls below")
        RUNWAY_BELOW = "runway_below", _("The balance lasts less than")
        GRANT_EXPIRING = "grant_expiring", _("Value expires within")
        COMMITMENT_USED = "commitment_used", _("A commitment is used by")
        SPEND_ANOMALY = "spend_anomaly", _("Spending is far from usual")

    class Of(models.TextChoices):
        AMOUNT = "amount", "An amount"
        LAST_TOP_UP = "last_top_up", "A share of the last top-up"
        DAYS = "days", "Days"
        COMMITMENT = "commitment", "A share of the commitment"
        USUAL = "usual", "What is usual"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="alerts", db_index=False)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    at = ArrayField(models.CharField(max_length=32), help_text="Amounts, shares or days, in the order of crossing.")
    of = models.CharField(max_length=16, choices=Of.choices)
    level = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer"], name="billing_alert_kept", condition=Q(removed_at=None))]
        constraints = [
            models.CheckConstraint(
                name="billing_alert_kind",
                condition=Q(kind="balance_below", asset__isnull=False, of__in=["amount", "last_top_up"])
                | Q(kind="runway_below", asset__isnull=False, of="days")
                | Q(kind="grant_expiring", asset=None, of="days")
                | Q(kind="commitment_used", asset=None, of="commitment")
                | Q(kind="spend_anomaly", asset=None, of="usual"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {', '.join(self.at)}"


class ExpiryTold(models.Model):
    """How far an alert has told of a grant that expires."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="+", db_index=False)
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="+", db_index=False)
    level = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["alert", "grant", "customer"], name="billing_expirytold_once")]

    def __str__(self) -> str:
        return f"{self.grant} at {self.level}"


class CommitmentTold(models.Model):
    """How far an alert has told of a subscription's commitment in the latest period that it saw."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="+", db_index=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="+", db_index=False)
    period = models.ForeignKey(SubscriptionPeriod, on_delete=models.PROTECT, related_name="+", db_index=False)
    level = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["alert", "subscription", "customer"], name="billing_commitmenttold_once")
        ]

    def __str__(self) -> str:
        return f"{self.subscription} at {self.level}"


class Notice(models.Model):
    """Something that a customer's people are told, written in the transaction that made it true.

    A worker then makes a delivery for each person and channel.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="notices", db_index=False)
    kind = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    text = models.TextField()
    facts = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    addressed = models.BooleanField(default=False, help_text="Whether its deliveries were made.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["customer", "-id"], name="billing_notice_customer"),
            models.Index(fields=["id"], name="billing_notice_new", condition=Q(addressed=False)),
        ]

    def __str__(self) -> str:
        return self.title


_CHANNELS = ["inbox", "email", "sms", "slack", "teams", "discord", "operator"]


class NoticeDelivery(models.Model):
    """A notice on its way to one person, or to the customer's own address, over one channel."""

    class Channel(models.TextChoices):
        INBOX = "inbox", _("Inbox")
        EMAIL = "email", _("E-mail")
        SMS = "sms", _("SMS")
        SLACK = "slack", _("Slack")
        TEAMS = "teams", _("Teams")
        DISCORD = "discord", _("Discord")
        OPERATOR = "operator", _("To the operator")

    class State(models.TextChoices):
        DUE = "due", "Due"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.DUE)
    due_at = models.DateTimeField(help_text="Not to be sent before.")
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "notice deliveries"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["due_at"], name="billing_delivery_due", condition=Q(state="due")),
            models.Index(
                fields=["user", "customer", "-notice"], name="billing_delivery_inbox", condition=Q(channel="inbox")
            ),
            models.Index(
                fields=["user", "customer"],
                name="billing_delivery_unread",
                condition=Q(channel="inbox", read_at=None),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["notice", "user", "channel", "customer"], nulls_distinct=False, name="billing_delivery_once"
            ),
            models.CheckConstraint(name="billing_delivery_state", condition=Q(state__in=["due", "sent", "failed"])),
            models.CheckConstraint(name="billing_delivery_channel", condition=Q(channel__in=_CHANNELS)),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.get_state_display()}"


class NoticePreference(models.Model):
    """What one person wants to be told of one customer by e-mail, and when not. The inbox holds everything."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    email_topics = ArrayField(models.CharField(max_length=32), default=list)
    quiet_from = models.TimeField(null=True, blank=True, help_text="In the customer's time zone.")
    quiet_until = models.TimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "user"], name="billing_noticepreference_once"),
            models.CheckConstraint(
                name="billing_noticepreference_quiet",
                condition=Q(quiet_from=None, quiet_until=None)
                | (Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=F("quiet_until"))),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} of {self.customer}"


class NoticeTarget(models.Model):
    """Where else a person is told about a customer: a telephone or a chat, at most one of each kind.

    Nothing but its code is sent there until the person has entered that.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    channel = models.CharField(max_length=16, choices=NoticeDelivery.Channel.choices)
    address = SealedField(editable=False)
    shown = models.CharField("address", max_length=32, help_text="Enough of it to be recognised.")
    topics = ArrayField(models.CharField(max_length=32), default=list)
    code = SealedField(editable=False)
    code_sent_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0, help_text="How many codes were entered.")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["id"], name="billing_noticetarget_new", condition=Q(code_sent_at=None))]
        constraints = [
            models.UniqueConstraint(fields=["customer", "user", "channel"], name="billing_noticetarget_once"),
            models.CheckConstraint(
                name="billing_noticetarget_channel", condition=Q(channel__in=["sms", "slack", "teams", "discord"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.shown}"
