"""What is agreed with one customer, in forms: the plan version, and what differs from its own terms."""

from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from billing.admin.amounts import AmountField
from billing.engine.money import amount_string
from billing.models import PlanVersion

AGREED = ("discount", "minimum_commitment", "spend_cap")


class AgreedTermsForm(forms.Form):
    """A discount is a share; commitment and cap are in the plan's currency."""

    plan_version = forms.ModelChoiceField(
        PlanVersion.objects.filter(derived_from=None)
        .select_related("plan__currency")
        .order_by("plan__code", "-number"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )
    discount = AmountField(help_text="0.15 is 15 %. 0: what the plan has for the commitment.")
    minimum_commitment = AmountField(help_text="For each period; what usage lacks of it is charged at its end.")
    spend_cap = AmountField(help_text="What usage of a period may come to; beyond it, usage is refused. 0: none.")
    reason = forms.CharField(
        max_length=500,
        help_text="For the trail: why, and who agreed. The customer does not see it.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    @property
    def version(self) -> PlanVersion:
        found: PlanVersion = self.cleaned_data["plan_version"]
        return found

    def agreed(self) -> dict[str, Decimal]:
        """What was filled in, by name."""
        return {name: self.cleaned_data[name] for name in AGREED if self.cleaned_data[name] is not None}

    def terms(self) -> dict[str, Any]:
        """All of it as plain values, for whoever has to approve it."""
        return {
            "plan": str(self.version.plan_id),
            "named": self.version.plan.name,
            "version": self.version.number,
            **dict.fromkeys(AGREED),
            **{name: amount_string(number) for name, number in self.agreed().items()},
        }
