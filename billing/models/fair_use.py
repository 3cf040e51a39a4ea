from django.db import models
from django.db.models import Q

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.assets import Asset
from billing.models.catalog import Meter, PlanVersion
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check
from billing.models.subscriptions import Subscription

_ONE_OF_BOTH = Q(meter__isnull=True) ^ Q(asset__isnull=True)


class FairUse(models.Model):
    """How much of a meter, or of what usage is charged in an asset, a plan version lets a billing period have.

    Belongs to its version and never changes.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="fair_use")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    limit = AmountField(db_column="limit_amount", help_text="The meter's quantity, or the amount of the asset.")

    class Meta:
        ordering = ["plan_version", "id"]
        verbose_name_plural = "fair use"
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "meter"], name="billing_fairuse_meter_once"),
            models.UniqueConstraint(fields=["plan_version", "asset"], name="billing_fairuse_asset_once"),
            models.CheckConstraint(name="billing_fairuse_counts", condition=_ONE_OF_BOTH),
            models.CheckConstraint(name="billing_fairuse_limit_positive", condition=Q(limit__gt=0)),
            number_check("billing_fairuse", "limit"),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.limit)} {self.meter or self.asset_id}"


class FairUseCounter(models.Model):
    """What a subscription's period has used of what a plan limits. Kept by what is counted and not by whose limit it
    is, so that another version of the plan finds it. Written under the customer's lock, together with the charges."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="+", db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    used = AmountField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "subscription", "period_start", "meter"], name="billing_fairusecounter_meter_once"
            ),
            models.UniqueConstraint(
                fields=["customer", "subscription", "period_start", "asset"], name="billing_fairusecounter_asset_once"
            ),
            models.CheckConstraint(name="billing_fairusecounter_counts", condition=_ONE_OF_BOTH),
            number_check("billing_fairusecounter", "used"),
        ]

    def __str__(self) -> str:
        return f"{amount_string(self.used)} {self.meter or self.asset_id} from {self.period_start:%Y-%m-%d}"
