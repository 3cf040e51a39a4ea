"""A draft's terms in forms, and back. What is wrong with them stands beside the fields that it is about."""

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms

from billing.admin.plan_editor.forms import (
    PRICES_MAX,
    AllowanceFormSet,
    FairUseForm,
    FairUseFormSet,
    GeneralForm,
    PriceForm,
    PriceFormSet,
)
from billing.engine.prices import BadPrice
from billing.errors import InvalidRequest
from billing.models import PlanDraft
from billing.services.catalog import draft_terms, plans, prices
from billing.services.catalog.draft_terms import Catalog
from billing.services.catalog.prices import PriceTerms

_TIMES = {"valid": "hours", "valid.hours": "hours", "valid.weekdays": "weekdays", "valid.zone": "zone"}


class Editor:
    """All forms of a draft: filled from its terms, or with what was sent (``data``)."""

    def __init__(self, draft: PlanDraft, data: Mapping[str, Any] | None = None) -> None:
        self.draft = draft
        self.catalog = catalog = Catalog.read(first=draft.plan.currency_id)
        terms = draft.terms if data is None else {}
        kept = [PriceForm.initial_of(price) for price in terms.get("prices") or []]
        more: dict[str, Any] = {"form_kwargs": {"catalog": catalog}}
        self.general = GeneralForm(data, initial={"interval": "month", "cached_tokens": "own"} | terms)
        self.allowances: Any = AllowanceFormSet(data, prefix="allowances", initial=terms.get("allowances"), **more)
        limits = [FairUseForm.initial_of(limit) for limit in terms.get("fair_use") or []]
        self.fair_use: Any = FairUseFormSet(data, prefix="fair_use", initial=limits, **more)
        self.prices: Any = PriceFormSet(data, prefix="prices", initial=kept, **more)

    @classmethod
    def of_terms(cls, draft: PlanDraft) -> "Editor":
        """The draft's terms as if the page had been sent just now, so that they can be checked and shown."""
        return cls(draft, as_sent(cls(draft)))

    @staticmethod
    def fits(draft: PlanDraft) -> bool:
        """Whether the draft is small enough for a page."""
        return len(draft.terms.get("prices") or []) <= PRICES_MAX

    def readable(self) -> bool:
        """Whether all that was typed could be read, and so can be kept. It need not make sense yet."""
        return all([part.is_valid() for part in (self.general, self.allowances, self.fair_use, self.prices)])

    def kept_prices(self) -> list[PriceForm]:
        return _kept(self.prices)

    def terms(self) -> dict[str, Any]:
        """What the draft keeps, once ``readable``."""
        return self.general.terms() | {
            "allowances": [form.terms() for form in _kept(self.allowances)],
            "fair_use": [form.terms() for form in _kept(self.fair_use)],
            "prices": [form.terms() for form in self.kept_prices()],
        }

    def wanted(self) -> plans.Terms:
        """What would be published, once ``readable``."""
        return draft_terms.read(self.terms(), self.catalog)

    def price_of(self, form: PriceForm) -> PriceTerms:
        """What one of the prices would be, where its form is valid."""
        return draft_terms.price(form.terms(), self.catalog)

    def check(self, wanted: plans.Terms) -> bool:
        """Whether the terms can be published; if not, the forms say beside which field why."""
        forms_of = self.kept_prices()
        found = 0
        for form, price in zip(forms_of, wanted.prices, strict=True):
            try:
                prices.check_one(price)
            except BadPrice as bad:
                _say(form, bad.field, bad.detail)
                found += 1
        if not found:
            try:
                plans.check(wanted, self.draft.plan.currency)
            except InvalidRequest as refusal:
                for problem in refusal.errors:
                    self._place(problem.field, problem.detail)
                found += 1
        return not found

    def _place(self, path: str, detail: str) -> None:
        where, _, rest = path.partition(".")
        number, _, field = rest.partition(".")
        if where in {"prices", "allowances", "fair_use"} and number:
            name = "counts" if where == "fair_use" and field != "limit" else field
            _say(_kept(getattr(self, where))[int(number)], name, detail)
        else:
            _say(self.general, where, detail)

    def problems(self) -> dict[str, list[str]]:
        """What is said beside each field, by the field's name in the page; ``""`` for what is about no field."""
        found: dict[str, list[str]] = {}
        for form in self.all_forms():
            for name, errors in form.errors.items():
                found.setdefault(_place_of(form, name), []).extend(map(str, errors))
        return found

    def all_forms(self) -> Iterator[forms.Form]:
        """Every form that is not taken out."""
        yield self.general
        yield from _remaining(self.allowances)
        yield from _remaining(self.fair_use)
        for form in _remaining(self.prices):
            yield form
            yield from _remaining(form.tiers)


def as_sent(editor: Editor) -> dict[str, Any]:
    """What a browser would send for an editor that shows a draft."""
    sent: dict[str, Any] = {}
    for formset in (editor.allowances, editor.fair_use, editor.prices, *(form.tiers for form in editor.prices)):
        management = formset.management_form
        sent |= {management.add_prefix(name): value for name, value in management.initial.items()}
    for form in editor.all_forms():
        for bound in form:
            sent[bound.html_name] = bound.value()
    return {name: value for name, value in sent.items() if value is not None and not name.endswith("-DELETE")}


def _kept(formset: Any) -> list[Any]:
    return [form for form in _remaining(formset) if form.has_changed()]


def _remaining(formset: Any) -> list[Any]:
    if not formset.is_bound:
        return list(formset)
    formset.is_valid()  # Only a form that was read knows whether it is taken out.
    return [form for form in formset if not formset._should_delete_form(form)]


def _place_of(form: forms.Form, name: str) -> str:
    if name != "__all__":
        return form.add_prefix(name)
    return form.add_prefix("tiers") if isinstance(form, PriceForm) else ""


def _say(form: Any, path: str, detail: str) -> None:
    """Put what is wrong at ``path`` of a price beside its field; a tier's beside the tier's."""
    where, _, rest = path.partition(".")
    if where == "tiers" and rest:
        number, _, name = rest.partition(".")
        tier = form.kept_tiers()[int(number)]
        tier.add_error("amount" if name in {"unit_amount", "rate"} else name, _sentence(detail))
        return
    name = _TIMES.get(path, path)
    form.add_error(name if name in form.fields else None, _sentence(detail))


def _sentence(detail: str) -> str:
    return f"{detail[:1].upper()}{detail[1:].rstrip('.')}."
