"""Pages on which a row is added by a service: never saved by the form itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django import forms
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.http import HttpRequest

from accounts.backoffice import BackOfficeAdmin, actor_of
from billing.admin import display
from billing.errors import BillingError


def say(
    form: forms.BaseForm,
    refusal: BillingError,
    *,
    whole: str | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Put each part of a refusal beside the field that it is about, what is about none above them all, and one without
    parts beside ``whole``. ``names`` are the form's for what the service calls otherwise."""
    for problem in refusal.errors:
        field = names.get(problem.field, problem.field)
        form.add_error(field if field in form.fields else None, display.said(problem.detail))
    if not refusal.errors:
        form.add_error(whole, display.said(refusal.detail))


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new row, made by a service: what the service refuses is said beside its field."""

    actor: Any = None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._run_model_validators(data)
        if not self.errors:
            try:
                self.instance = self.make({name: value for name, value in data.items() if value is not None})
            except BillingError as refusal:
                say(self, refusal)
        return data

    def _run_model_validators(self, data: dict[str, Any]) -> None:
        for name, value in data.items():
            try:
                self.instance._meta.get_field(name).run_validators(value)
            except FieldDoesNotExist:
                continue
            except ValidationError as invalid:
                self.errors.setdefault(name, self.error_class()).extend(invalid.messages)

    def _post_clean(self) -> None:
        """Nothing: the row is there already, and right."""

    def save(self, commit: bool = True) -> Any:
        return self.instance

    def save_m2m(self) -> None:
        """Nothing either."""

    def make(self, fields: dict[str, Any]) -> Any:
        raise NotImplementedError


class AddOnlyAdmin(BackOfficeAdmin):
    """Rows are added by a service and never changed or deleted: what held in the past is known for good."""

    actions = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.actor = actor_of(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The service has done it."""
