"""Forms and fields that more than one page has."""

from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import addresses, reading
from accounts.models import User
from billing.engine.money import fits, parse
from portal import refusals


class NewPasswordForm(forms.Form):
    """The first password of an account. ``email`` and ``name`` are its owner's: a password that is like them is
    refused."""

    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput({"autocomplete": "new-password"})
    )

    def __init__(self, *args: Any, email: str, name: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = User(email=email, name=name)

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        password_validation.validate_password(password, self.owner)
        return password


class AmountField(forms.CharField):
    """An exact number, as people write it."""

    def clean(self, value: Any) -> Any:
        number = parse(reading.typed(super().clean(value)))
        if number is None or not fits(number):
            raise forms.ValidationError(_("A number is needed, such as 50 or 12.50."))
        return number


class NetworksField(forms.CharField):
    """Addresses and CIDR blocks, typed one a line, read into a list in one spelling. Empty: from everywhere."""

    def __init__(self, *, rows: int, **kwargs: Any) -> None:
        shown = {"rows": rows, "placeholder": _("from everywhere"), "spellcheck": "false", "class": "mono"}
        super().__init__(label=_("Only from"), required=False, widget=forms.Textarea(shown), **kwargs)

    def clean(self, value: Any) -> list[str]:
        try:
            return addresses.read_networks(super().clean(value))
        except ValueError as error:
            raise forms.ValidationError(refusals.said(str(error))) from None


class NetworksForm(forms.Form):
    """An allow-list. One that leaves out the address it is sent from is refused unless that is said to be meant."""

    networks = NetworksField(rows=5, max_length=8000)
    sure = forms.BooleanField(required=False)

    def __init__(self, request: HttpRequest, allowed: list[str], *, sure: Any) -> None:
        """``allowed``: the blocks as they are; ``sure``: what is said by whoever means to leave themselves out."""
        super().__init__(request.POST or None, initial={"networks": "\n".join(allowed)})
        self.fields["sure"].label = sure
        self.here = addresses.of(request)
        self.leaves_out = False

    def clean(self) -> None:
        blocks = self.cleaned_data.get("networks")
        self.leaves_out = blocks is not None and not addresses.allows(blocks, self.here)
        if self.leaves_out and not self.cleaned_data["sure"]:
            self.add_error("networks", _("Your own address {here} is in none of these blocks.").format(here=self.here))
