from django.db import models
from django.db.models import F, Q

from accounts.ids import uuid7
from billing.engine.money import amount_string
from billing.models.customers import Customer
from billing.models.fields import AmountField, number_check


class TaxRule(models.Model):
    """A tax that the operator is registered for in a country, or one region of it. No rule, no tax.

    Several rules of the same place are due together: a federal and a provincial tax.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2.")
    region = models.CharField(max_length=10, blank=True, help_text="As ISO 3166-2 has it, such as QC. Empty: all.")
    name = models.CharField(max_length=40, help_text="As it stands on the invoice: VAT, GST.")
    rate = AmountField(help_text="0.19 is 19 %.")
    reverse_charge = models.BooleanField(
        default=False, help_text="A business abroad that has a tax number accounts for it itself."
    )
    included = models.BooleanField(
        default=False, help_text="What a payer chooses to pay has the tax in it: it is taken out of that."
    )
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The last day.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["country", "region", "name", "-starts_on"]
        constraints = [
            models.UniqueConstraint(fields=["country", "region", "name", "starts_on"], name="billing_taxrule_once"),
            number_check("billing_taxrule", "rate", at_least=0),
            models.CheckConstraint(name="billing_taxrule_rate", condition=Q(rate__lt=1)),
            models.CheckConstraint(name="billing_taxrule_country", condition=Q(country__regex=r"^[A-Z]{2}$")),
            models.CheckConstraint(
                name="billing_taxrule_days", condition=Q(ends_on__isnull=True) | Q(ends_on__gte=F("starts_on"))
            ),
        ]

    def __str__(self) -> str:
        place = f"{self.country}-{self.region}" if self.region else self.country
        return f"{self.name} {amount_string(self.rate * 100)} % in {place}"


class TaxProfile(models.Model):
    """What taxes ask of a customer, beside the country: their number, their region, whether they pay any."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, related_name="tax_profile")
    tax_id = models.CharField("tax number", max_length=20, blank=True)
    region = models.CharField(max_length=10, blank=True)
    exempt_reason = models.CharField(max_length=200, blank=True, help_text="Where the customer pays no tax: why.")
    address = models.JSONField(default=list, blank=True, help_text="Lines of the address on invoices.")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.tax_id or str(self.customer)
