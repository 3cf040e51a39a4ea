"""The forms that a draft consists of. They read what was typed; whether it makes sense is for the services to say."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.amounts import AmountField, HoursField, MatchField, typed
from billing.engine.money import amount_string, fits
from billing.engine.prices.terms import FIELDS, TIERS_MAX
from billing.models import PlanVersion, Price
from billing.services.catalog.draft_terms import Catalog

PRICES_MAX = 100
ALLOWANCES_MAX = 50
RATES = Price.Model.GRADUATED_PERCENTAGE.value
_DAYS = list(enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), start=1))
_FOLDED = (
    *("free_units", "minimum_amount", "maximum_amount", "covered_by", "cached_of"),
    *("hours", "zone", "weekdays"),
)
_POLICY = Price.FailurePolicy.PORTION.value
_NUMBERS = (
    *("unit_amount", "per", "rate", "fixed_amount", "minimum", "maximum", "markup"),
    *("free_units", "minimum_amount", "maximum_amount"),
)


def _meter_choices(catalog: Catalog) -> list[tuple[str, str]]:
    return [(code, f"{meter.name} ({code})") for code, meter in catalog.meters.items()]


def _asset_choices(catalog: Catalog) -> list[tuple[str, str]]:
    return [(code, f"{asset.name} ({code})") for code, asset in catalog.assets.items()]


def _select(label: str = "", *, required: bool = True, help_text: str = "", choices: Any = ()) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label or None, required=required, help_text=help_text, choices=choices, widget=UnfoldAdminSelectWidget
    )


class DiscountsField(forms.CharField):
    """``1000: 0.1``, a line for each commitment from which on a share is off."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false", "placeholder": "1000: 0.1"})
        super().__init__(required=False, max_length=2000, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{row['from']}: {row['discount']}" for row in value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        found = []
        for line in (super().clean(value) or "").splitlines():
            if not line.strip():
                continue
            start, _, discount = (typed(part) for part in line.partition(":"))
            if start is None or discount is None or not fits(start) or not fits(discount):
                raise ValidationError("Write a commitment and its discount in each line: 1000: 0.1.")
            found.append({"from": amount_string(start), "discount": amount_string(discount)})
        return found


class GeneralForm(forms.Form):
    """What holds for the whole version."""

    interval = _select("Billing period", choices=PlanVersion.Interval.choices)
    base_fee = AmountField(help_text="For each period, in the plan's currency. Empty: none.")
    minimum_commitment = AmountField(
        help_text="What a period's usage comes to at least; the rest is charged at its end. Empty: none."
    )
    commitment_discounts = DiscountsField(
        help_text="A line for each commitment of a customer and the share that is off from there on: 1000: 0.1."
    )
    overage_limit = AmountField(
        label="When the wallet is empty",
        help_text="So far usage, not fees, goes on, and the invoice asks for it. Empty: it is refused at once.",
    )
    trial_days = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=730,
        help_text="How long a new subscription costs nothing. Empty: not at all.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    cached_tokens = _select(
        choices=PlanVersion.CachedTokens.choices, help_text="What tokens cost that the provider found in its cache."
    )

    def terms(self) -> dict[str, Any]:
        """The members of a draft's terms."""
        data = self.cleaned_data
        return {
            "interval": data["interval"],
            "base_fee": amount_string(data["base_fee"] or Decimal(0)),
            "minimum_commitment": amount_string(data["minimum_commitment"] or Decimal(0)),
            "overage_limit": amount_string(data["overage_limit"] or Decimal(0)),
            "trial_days": data["trial_days"] or 0,
            "cached_tokens": data["cached_tokens"],
            "commitment_discounts": data["commitment_discounts"],
        }


class AllowanceForm(forms.Form):
    """So much of an asset for each period."""

    asset = _select("Included asset")
    amount = AmountField(required=True, label="Amount")
    rollover_limit = AmountField(label="Carried over at most", help_text="Of what is left, once. Empty: nothing.")

    def __init__(self, *args: Any, catalog: Catalog, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["asset"].choices = [("", "Choose"), *_asset_choices(catalog)]  # type: ignore[attr-defined]

    def terms(self) -> dict[str, Any]:
        data = self.cleaned_data
        amounts = {name: amount_string(data[name] or Decimal(0)) for name in ("amount", "rollover_limit")}
        return {"asset": data["asset"]} | amounts


class FairUseForm(forms.Form):
    """The most of a meter's quantity, or of what usage is charged in an asset, that a period may have."""

    counts = _select("What is limited")
    limit = AmountField(required=True, label="At most, in a period", help_text="Usage beyond it is refused.")

    def __init__(self, *args: Any, catalog: Catalog, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        meters = [(f"meter:{code}", said) for code, said in _meter_choices(catalog)]
        assets = [(f"asset:{code}", said) for code, said in _asset_choices(catalog)]
        self.fields["counts"].choices = [  # type: ignore[attr-defined]
            ("", "Choose"),
            ("Quantity of a meter", meters),
            ("Amount of an asset", assets),
        ]

    @staticmethod
    def initial_of(terms: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields show of a member of a draft's ``fair_use``."""
        name = "meter" if terms.get("meter") else "asset"
        return {"counts": f"{name}:{terms.get(name) or ''}", "limit": terms.get("limit")}

    def terms(self) -> dict[str, Any]:
        name, _, code = self.cleaned_data["counts"].partition(":")
        return {name: code, "limit": amount_string(self.cleaned_data["limit"])}


class TierForm(forms.Form):
    """A step of the staircase. ``amount`` is the unit amount, or the share where the price is a percentage."""

    up_to = AmountField(label="Up to and with", help_text="Empty in the last tier.")
    amount = AmountField(label="Amount")
    flat_amount = AmountField(label="Flat, once")

    def terms(self, *, rates: bool) -> dict[str, Any]:
        data = self.cleaned_data
        written: dict[str, Any] = {"up_to": None if data["up_to"] is None else amount_string(data["up_to"])}
        for name, number in (
            ("rate" if rates else "unit_amount", data["amount"]),
            ("flat_amount", data["flat_amount"]),
        ):
            if number is not None:
                written[name] = amount_string(number)
        return written


TierFormSet = forms.formset_factory(TierForm, extra=0, can_delete=True, max_num=TIERS_MAX, absolute_max=TIERS_MAX)


class PriceForm(forms.Form):
    """What one meter costs in one asset. Its tiers are forms of their own, below its prefix."""

    meter = _select()
    asset = _select("Charged in")
    model = _select("Pricing model", choices=Price.Model.choices)
    unit_amount = AmountField(label="Price")
    per = AmountField(label="For how many units", help_text="Empty: for one.")
    rounding = _select(required=False, choices=[("", "Started packages"), ("down", "Full packages")])
    rate = AmountField(label="Share", help_text="0.15 is 15 %.")
    fixed_amount = AmountField(label="Fixed, per event")
    minimum = AmountField(label="At least, per event")
    maximum = AmountField(label="At most, per event")
    markup = AmountField(label="Markup on the cost", help_text="0.40 is 40 %.")
    cost_field = forms.CharField(
        required=False,
        max_length=200,
        help_text="The field of the data that is the cost. Empty: by the cost catalogue.",
        widget=UnfoldAdminTextInputWidget,
    )
    amount_field = forms.CharField(
        label="Field with the price",
        required=False,
        max_length=200,
        help_text="The field of the event's data that says what it costs.",
        widget=UnfoldAdminTextInputWidget,
    )
    free_units = AmountField(help_text="The period's first units, which cost nothing.")
    minimum_amount = AmountField(label="At least, per period", help_text="What is missing is due at its end.")
    maximum_amount = AmountField(label="At most, per period")
    covered_by = _select("Taken first from", required=False, help_text="Units come one for one from this asset first.")
    cached_of = _select(
        "Cached tokens of", required=False, help_text="Whose price holds where the plan charges them at retail."
    )
    match = MatchField(label="Only where", help_text="A dimension and its values in each line. Empty: everywhere.")
    hours = HoursField(label="Only at these hours", help_text="Such as 22-6. Empty: at all hours.")
    weekdays = forms.TypedMultipleChoiceField(
        label="Only on", required=False, coerce=int, choices=_DAYS, widget=forms.CheckboxSelectMultiple
    )
    zone = forms.CharField(
        label="Time zone", required=False, max_length=64, help_text="Empty: UTC.", widget=UnfoldAdminTextInputWidget
    )
    failure_policy = _select("A run that failed is charged", choices=Price.FailurePolicy.choices)

    def __init__(self, *args: Any, catalog: Catalog, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = {
            "meter": [("", "Choose"), *_meter_choices(catalog)],
            "asset": _asset_choices(catalog),
            "covered_by": [("", "Nothing"), *_asset_choices(catalog)],
            "cached_of": [("", "None"), *_meter_choices(catalog)],
        }
        for name, choice in choices.items():
            self.fields[name].choices = list(choice)  # type: ignore[attr-defined]
        self.tiers = TierFormSet(
            self.data if self.is_bound else None,
            prefix=f"{self.prefix}-tiers",
            initial=(self.initial or {}).get("tiers"),
        )

    def is_valid(self) -> bool:
        tiers_are: bool = self.tiers.is_valid()
        return super().is_valid() and tiers_are

    def kept_tiers(self) -> list[TierForm]:
        return [form for form in self.tiers if form not in self.tiers.deleted_forms and form.has_changed()]

    def terms(self) -> dict[str, Any]:
        """The price as a draft keeps it: only what was filled in."""
        data = self.cleaned_data
        amounts = {name: amount_string(data[name]) for name in _NUMBERS if data[name] is not None}
        texts = ("rounding", "cost_field", "amount_field", "covered_by", "cached_of")
        terms = {name: data[name] for name in ("meter", "asset", "model")} | amounts
        terms |= {name: data[name] for name in texts if data[name]}
        tiers = [form.terms(rates=data["model"] == RATES) for form in self.kept_tiers()]
        if tiers:
            terms["tiers"] = tiers
        if self._valid():
            terms["valid"] = self._valid()
        return terms | {"match": data["match"], "failure_policy": data["failure_policy"]}

    def _valid(self) -> dict[str, Any]:
        data = self.cleaned_data
        found = {name: data[name] for name in ("hours", "weekdays") if data[name]}
        return found | ({"zone": data["zone"]} if data["zone"] else {})

    @staticmethod
    def initial_of(terms: Mapping[str, Any]) -> dict[str, Any]:
        """A draft's price as the form shows it."""
        valid = terms.get("valid") or {}
        tiers = [tier | {"amount": tier.get("unit_amount", tier.get("rate"))} for tier in terms.get("tiers") or []]
        rounding = "" if terms.get("rounding") == Price.Rounding.UP else terms.get("rounding")
        times = {name: valid.get(name) for name in ("hours", "weekdays", "zone")}
        return {"failure_policy": _POLICY, **terms, "tiers": tiers, "rounding": rounding, **times}

    @property
    def has_conditions(self) -> bool:
        """Whether anything is written in the part of the form that is folded away."""
        return any(self[name].value() for name in _FOLDED) or self["failure_policy"].value() not in {None, _POLICY}

    @staticmethod
    def models() -> dict[str, str]:
        """The fields that not every model has, each with the models that do, for the page to show and hide."""
        has = {model: (*fields.needed, *fields.allowed) for model, fields in FIELDS.items()}
        names = {name for own in has.values() for name in own}
        return {name: " ".join(model for model, own in has.items() if name in own) for name in names}


AllowanceFormSet = forms.formset_factory(
    AllowanceForm, extra=0, can_delete=True, max_num=ALLOWANCES_MAX, absolute_max=ALLOWANCES_MAX
)
FairUseFormSet = forms.formset_factory(
    FairUseForm, extra=0, can_delete=True, max_num=ALLOWANCES_MAX, absolute_max=ALLOWANCES_MAX
)
PriceFormSet = forms.formset_factory(PriceForm, extra=0, can_delete=True, max_num=PRICES_MAX, absolute_max=PRICES_MAX)
