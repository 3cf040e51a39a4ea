from uuid import uuid4

from django.contrib.postgres.functions import RandomUUID
from django.db import models

from accounts.ids import uuid7
from accounts.models import Organization
from billing.models.assets import Asset


class Customer(models.Model):
    """Who owns a wallet. The outside addresses it by the operator's own ``external_id``."""

    class FundsPolicy(models.TextChoices):
        """What happens to usage that the wallet cannot pay for."""

        REJECT = "reject", "Refuse it"
        OVERDRAFT = "overdraft", "Charge the overdraft"

    class OverdueAction(models.TextChoices):
        """What an invoice does that is not paid when it is due."""

        DEFAULT = "default", "As the settings have it"
        NOTHING = "nothing", "Nothing"
        REMIND = "remind", "Remind"
        SUSPEND = "suspend", "Remind, then suspend usage"

    GRACE_DAYS_MAX = 365

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    external_id = models.CharField(max_length=255, unique=True, help_text="The operator's own id for this customer.")
    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="customer")
    name = models.CharField(max_length=200)
    email = models.EmailField("e-mail", blank=True)
    currency = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2.")
    timezone = models.CharField(max_length=64, default="UTC")
    on_insufficient_funds = models.CharField(max_length=16, choices=FundsPolicy.choices, default=FundsPolicy.REJECT)
    overdue_action = models.CharField(
        "overdue invoices",
        max_length=16,
        choices=OverdueAction.choices,
        default=OverdueAction.DEFAULT,
        db_default=OverdueAction.DEFAULT,
        help_text="What an invoice does that is not paid when it is due.",
    )
    overdue_grace_days = models.PositiveSmallIntegerField(
        "days of grace",
        null=True,
        blank=True,
        help_text="How many days after the due day usage goes on. Empty: as the settings have it.",
    )
    has_budgets = models.BooleanField(
        default=False, db_default=False, editable=False, help_text="Whether recording usage has any to look at."
    )
    origin_key = models.UUIDField(
        null=True,
        default=uuid4,
        db_default=RandomUUID(),
        editable=False,
        help_text="What the addresses that report usage are hashed with; none any more of who was erased.",
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    erased_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when nothing here says who it was."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="billing_customer_funds_policy",
                condition=models.Q(on_insufficient_funds__in=["reject", "overdraft"]),
            ),
            models.CheckConstraint(
                name="billing_customer_overdue",
                condition=models.Q(overdue_action__in=["default", "nothing", "remind", "suspend"])
                & (models.Q(overdue_grace_days__isnull=True) | models.Q(overdue_grace_days__lte=365)),
            ),
        ]

    def __str__(self) -> str:
        return self.name
