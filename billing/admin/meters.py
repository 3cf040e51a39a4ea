"""Meters and assets: added one by one, or a provider's meters all at once from a preset. They never change."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.backoffice import actor_of, detail_action
from billing.admin import display
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.admin.amounts import MatchField
from billing.engine.presets import PRESETS
from billing.errors import BillingError
from billing.models import Asset, Meter
from billing.services.catalog import assets, meters

ADD = "billing.add_meter"
DIMENSIONS_MAX = 20
_PREFIX = r"^([a-z][a-z0-9_-]{0,31})?\Z"
_DIMENSION = r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z"


class DimensionsField(forms.CharField):
    """``model, user``: a list of names."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=1500, widget=UnfoldAdminTextInputWidget, **kwargs)

    def clean(self, value: Any) -> Any:
        names = [name.strip() for name in (super().clean(value) or "").split(",") if name.strip()]
        check = forms.RegexField(_DIMENSION, error_messages={"invalid": "Names of fields, with commas between them."})
        for name in names:
            check.clean(name)
        if len(names) > DIMENSIONS_MAX:
            raise ValidationError(f"At most {DIMENSIONS_MAX}.")
        return list(dict.fromkeys(names))


class AssetForm(ServiceForm):
    class Meta:
        model = Asset
        fields = ("code", "name", "kind", "precision")

    def make(self, fields: dict[str, Any]) -> Asset:
        return assets.create(actor=self.actor, **fields)


@admin.register(Asset)
class AssetAdmin(AddOnlyAdmin):
    form = AssetForm
    list_display = ("code", "name", "kind", "precision", "created_at")
    list_filter = (("kind", ChoicesDropdownFilter),)
    search_fields = ("code", "name")


class MeterForm(ServiceForm):
    filter = MatchField(
        label="Only events with", help_text="A field and its values in each line: status: succeeded. Empty: all."
    )
    dimensions = DimensionsField(
        label="Grouped by", help_text="Fields of the data that prices and usage are told apart by: model, user."
    )

    class Meta:
        model = Meter
        fields = (
            "code",
            "name",
            "event_type",
            "aggregation",
            "value",
            "filter",
            "dimensions",
            "unit",
            "phase",
            "section",
        )

    def make(self, fields: dict[str, Any]) -> Meter:
        return meters.create(actor=self.actor, **fields)


@admin.register(Meter)
class MeterAdmin(AddOnlyAdmin):
    form = MeterForm
    list_display = ("code", "name", "event_type", "counts", "unit", "dimensions_shown", "created_at")
    list_filter = (("aggregation", ChoicesDropdownFilter),)
    search_fields = ("code", "name", "event_type")
    actions_list = ("from_preset",)

    def get_urls(self) -> list[Any]:
        urls: list[Any] = super().get_urls()
        return [path("presets/", self.admin_site.admin_view(self.presets), name="billing_meter_presets"), *urls]

    def has_preset_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ADD)

    @detail_action(description="From a preset", url_path="from-preset", icon="library_add", permissions=["preset"])
    def from_preset(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:billing_meter_presets"))

    def presets(self, request: HttpRequest) -> HttpResponse:
        """The presets with what they count of an example, and a form that adds one of them whole."""
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        form = PresetForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                made = meters.create_preset(actor=actor_of(request), **form.cleaned_data)
            except BillingError as refusal:
                form.add_error(None, refusal.detail)
            else:
                messages.success(request, f"Added: {', '.join(meter.code for meter in made)}.")
                return HttpResponseRedirect(reverse("admin:billing_meter_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Meters from a preset",
            "opts": self.opts,
            "form": form,
            "presets": [_shown(code) for code in sorted(PRESETS)],
            "back_url": reverse("admin:billing_meter_changelist"),
        }
        return TemplateResponse(request, "admin/ante/presets.html", context)

    @admin.display(description="Counts")
    def counts(self, meter: Meter) -> str:
        how = "" if meter.aggregation == Meter.Aggregation.SUM else f"{meter.get_aggregation_display()}: "
        return "events" if meter.aggregation == Meter.Aggregation.COUNT else f"{how}{meter.value}"

    @admin.display(description="Grouped by")
    def dimensions_shown(self, meter: Meter) -> str:
        return ", ".join(meter.dimensions)


class PresetForm(forms.Form):
    preset = forms.ChoiceField(
        choices=[(code, f"{code}: {PRESETS[code].description.split(':')[0]}") for code in sorted(PRESETS)],
        widget=UnfoldAdminSelectWidget,
    )
    prefix = forms.RegexField(  # type: ignore[assignment]
        _PREFIX,
        required=False,
        help_text="Before each code, where a code is taken: openai_.",
        widget=UnfoldAdminTextInputWidget,
        error_messages={"invalid": "Lower case a-z, 0-9, _ and -."},
    )
    event_type = forms.CharField(
        required=False, max_length=255, help_text="Empty: as below.", widget=UnfoldAdminTextInputWidget
    )


def _shown(code: str) -> Mapping[str, Any]:
    preset = PRESETS[code]
    return {
        "code": code,
        "description": preset.description,
        "event_type": preset.event_type,
        "example": display.pretty_json(dict(preset.example)),
        "meters": [
            {"code": meter.code, "value": meter.value or "events", "counts": preset.counts.get(meter.code, "–")}
            for meter in preset.meters
        ],
    }
