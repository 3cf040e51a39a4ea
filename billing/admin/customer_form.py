"""The plain fields of a customer, held to what the service holds them to."""

from typing import Any

from django import forms

from billing.admin import adding
from billing.errors import BillingError
from billing.services.customer import customers


class CustomerForm(forms.ModelForm):  # type: ignore[type-arg]
    """What cannot be is said beside its field."""

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            customers.check({name: value for name, value in data.items() if name in customers.CHANGEABLE})
        except BillingError as refusal:
            adding.say(self, refusal)
        return data
