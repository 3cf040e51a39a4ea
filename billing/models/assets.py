from django.core.validators import RegexValidator
from django.db import models


class Asset(models.Model):
    """Something a wallet can hold: a currency, or a unit such as tokens, GPU hours, image credits."""

    class Kind(models.TextChoices):
        CURRENCY = "currency", "Currency"
        UNIT = "unit", "Unit"

    code = models.CharField(
        primary_key=True,
        max_length=32,
        validators=[RegexValidator(r"^[a-z][a-z0-9_]*\Z", "Lower case a-z, 0-9 and _.")],
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    precision = models.PositiveSmallIntegerField(
        default=0, help_text="How many decimals the ledger keeps, 0 to 12. Charges are rounded half even to it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="billing_asset_precision", condition=models.Q(precision__lte=12)),
            models.CheckConstraint(name="billing_asset_kind", condition=models.Q(kind__in=["currency", "unit"])),
        ]

    def __str__(self) -> str:
        return self.name
