"""Budgets: where they stand, and a form for another. Those that the operator set are shown and left alone."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import reading, second_factor
from accounts.models import ApiKey, Membership
from accounts.services.audit import actor_of
from billing.engine.budgets import EACH
from billing.engine.money import amount_string, parse
from billing.errors import BillingError
from billing.models import Asset, Balance, Budget
from billing.selectors.spending import budgets as selector
from billing.services import budgets
from portal import access, refusals
from portal.forms import AmountField
from portal.tables import Column, Filter, Table

BUDGETS = Table(
    "budgets",
    columns=[
        Column("made", _("Made"), by="created_at"),
        Column("name", _("Name"), by="name"),
        Column("limit", _("Limit"), by="limit", number=True),
    ],
    usual="-made",
    anchor="limits",
    filters=[
        Filter("period", _("For"), Budget.Period.choices),
        Filter("set_by", _("Set by"), Budget.SetBy.choices),
    ],
)
EVENTS = "events"
SHARED = "members"
TELL = "tell"
_FIELD_WORDS = {
    "type": _("A kind of event"),
    "model": _("A model"),
    "user": _("A user"),
    "project": _("A project"),
    "feature": _("A feature"),
    "session": _("A run (session)"),
}
_AT_CAP = [
    (TELL, _("Only tell us")),
    *((cap.value, cap.label) for cap in Budget.AtCap if cap != Budget.AtCap.CHANGE_PLAN),
]
"""Only the operator can have a budget change the plan."""


def _shares(text: str) -> list[Decimal]:
    """``50, 80, 100`` percent as shares."""
    found = []
    for part in reading.typed_several(text):
        number = parse(part)
        if number is None:
            raise forms.ValidationError(_("Numbers are needed, such as 50, 80, 100."))
        found.append(number / 100)
    return found


class LimitForm(forms.Form):
    """What of a budget can be changed. ``members``: those who can be chosen to share it, where several can."""

    name = forms.CharField(max_length=100, label=_("Name"))
    limit = AmountField(max_length=40, label=_("Limit"), widget=forms.TextInput({"inputmode": "decimal"}))
    at_cap = forms.ChoiceField(choices=_AT_CAP, label=_("What happens at the limit"))
    alert_at = forms.CharField(
        max_length=100, required=False, label=_("Tell us at"), help_text=_("Percent of the limit, such as 50, 80, 100.")
    )

    def __init__(self, *args: Any, members: Iterable[Membership] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._members = {str(member.pk): member for member in members}
        if self._members:
            self.fields["members"] = forms.MultipleChoiceField(
                choices=[(pk, member.user.get_full_name()) for pk, member in self._members.items()],
                widget=forms.CheckboxSelectMultiple,
                label=_("Who shares it"),
                error_messages={"required": _("Choose who shares it.")},
            )

    def sharing(self) -> list[Membership]:
        """Who was chosen to share it."""
        return [self._members[pk] for pk in self.cleaned_data.get("members", [])]

    def clean_alert_at(self) -> list[Decimal]:
        return _shares(self.cleaned_data["alert_at"])

    def terms(self) -> dict[str, Any]:
        """The fields that ``budgets.change`` takes."""
        chosen = self.cleaned_data
        hard = chosen["at_cap"] != TELL
        return {
            "name": chosen["name"],
            "limit": chosen["limit"],
            "hard": hard,
            "at_cap": chosen["at_cap"] if hard else Budget.AtCap.REFUSE,
            "alert_at": chosen["alert_at"],
        }


class BudgetForm(LimitForm):
    """A new budget."""

    field_order = ("name", "covers", "value", "members", "unit", "limit", "period", "at_cap", "alert_at")

    covers = forms.ChoiceField(label=_("What it covers"))
    value = forms.CharField(
        max_length=255,
        required=False,
        label=_("Which"),
        help_text=_("As the application names it. Empty: each by itself."),
    )
    unit = forms.ChoiceField(label=_("In"))
    period = forms.ChoiceField(choices=Budget.Period.choices, initial=Budget.Period.MONTH, label=_("For"))

    def __init__(self, *args: Any, visit: access.Visit, **kwargs: Any) -> None:
        organization = visit.membership.organization
        members = list(organization.memberships.select_related("user"))
        several = len(members) > 1
        super().__init__(*args, members=members if several else (), **kwargs)
        self._people = {str(member.pk): member for member in members}
        if several:
            self.fields["members"].required = False
            self.fields["members"].help_text = _("Of a limit that several members share, and no other.")
            self.order_fields(self.field_order)
        self._keys = {str(key.pk): key for key in ApiKey.objects.filter(organization=organization, revoked_at=None)}
        covers, unit = self.fields["covers"], self.fields["unit"]
        assert isinstance(covers, forms.ChoiceField)
        assert isinstance(unit, forms.ChoiceField)
        people = [(f"member:{pk}", m.user.get_full_name()) for pk, m in self._people.items()]
        keys = [(f"key:{pk}", key.name) for pk, key in self._keys.items()]
        covers.choices = [
            ("", _("All usage")),
            (_("By what the usage says"), [(name, words) for name, words in _FIELD_WORDS.items()]),
            *([(SHARED, _("Several members, together"))] if several else []),
            *([(_("A member"), people)] if people else []),
            *([(_("An API key"), keys)] if keys else []),
        ]
        covers.required = False
        held = Balance.objects.filter(customer=visit.customer).values_list("asset_id", flat=True)
        assets = Asset.objects.filter(pk__in=[visit.customer.currency_id, *held]).order_by("kind", "code")
        unit.choices = [*((asset.pk, asset.name) for asset in assets), (EVENTS, _("Events"))]

    def clean(self) -> None:
        if (self.cleaned_data.get("covers") == SHARED) != bool(self.cleaned_data.get("members")):
            self.add_error("members", _("Choose who shares it, and under what it covers: several members, together."))

    def budget(self) -> budgets.Terms:
        chosen = self.cleaned_data
        events = chosen["unit"] == EVENTS
        return budgets.Terms(
            **self.terms(),
            **self._scope(chosen["covers"], chosen["value"]),
            period=chosen["period"],
            asset=None if events else Asset.objects.filter(pk=chosen["unit"]).first(),
            counts=Budget.Counts.EVENTS if events else Budget.Counts.SPEND,
        )

    def _scope(self, covers: str, value: str) -> dict[str, Any]:
        kind, _, pk = covers.partition(":")
        found: dict[str, Any] = {}
        if kind == "member":
            found = {"member": self._people[pk]}
        elif kind == SHARED:
            found = {"members": self.sharing()}
        elif kind == "key":
            found = {"api_key": self._keys[pk]}
        return {"scope": {kind: value or EACH} if kind and not found else {}, **found}


@require_GET
@access.signed_in
@access.requires("wallets:read")
def overview(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """All budgets with where they stand, and a form for another; ``?covers=member:…`` or ``key:…`` fills it in."""
    initial = {
        "at_cap": Budget.AtCap.REFUSE,
        "alert_at": "50, 80, 100",
        "unit": visit.customer.currency_id,
        "covers": access.asked(request, "covers"),
        "name": access.asked(request, "name")[:100],
    }
    return _page(request, visit, BudgetForm(visit=visit, initial=initial))


@require_POST
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def create(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Set a budget."""
    form = BudgetForm(request.POST, visit=visit)
    if form.is_valid():
        try:
            made = budgets.create(
                actor=actor_of(request),
                customer=visit.customer,
                terms=form.budget(),
                set_by=Budget.SetBy.CUSTOMER,
            )
        except BillingError as refusal:
            refusals.put(form, refusal)
        else:
            messages.success(request, _("{name} is set.").format(name=made.name))
            return redirect("portal:budgets")
    return _page(request, visit, form, status=400)


@require_http_methods(["GET", "HEAD", "POST"])
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def change(request: HttpRequest, visit: access.Visit, budget_id: UUID) -> HttpResponseBase:
    """Another limit, or another thing that happens at it."""
    budget = _own(visit, budget_id)
    team = visit.membership.organization.memberships.select_related("user") if budget.people else ()
    form = LimitForm(request.POST or None, members=team, initial=_initial(budget, team))
    if request.method == "POST" and form.is_valid():
        try:
            changes = form.terms() | ({"members": form.sharing()} if budget.people else {})
            budgets.change(actor=actor_of(request), budget=budget, changes=changes, by_customer=True)
        except BillingError as refusal:
            refusals.put(form, refusal)
        else:
            messages.success(request, _("{name} is changed.").format(name=form.cleaned_data["name"]))
            return redirect("portal:budgets")
    status = 400 if form.errors else 200
    return access.render_for(request, visit, "portal/budget.html", status=status, form=form, budget=budget)


@require_POST
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def remove(request: HttpRequest, visit: access.Visit, budget_id: UUID) -> HttpResponseBase:
    """Limit nothing by it any more."""
    budget = _own(visit, budget_id)
    budgets.remove(actor=actor_of(request), budget=budget, by_customer=True)
    messages.success(request, _("{name} is removed.").format(name=budget.name))
    return redirect("portal:budgets")


def _own(visit: access.Visit, budget_id: UUID) -> Budget:
    """One that the customer set; the operator's are not there to be changed."""
    found = selector.kept(visit.customer).filter(pk=budget_id, set_by=Budget.SetBy.CUSTOMER).first()
    if found is None:
        raise Http404
    return found


def _initial(budget: Budget, team: Iterable[Membership]) -> Mapping[str, Any]:
    return {
        "members": [str(member.pk) for member in team if member.user_id in budget.people],
        "name": budget.name,
        "limit": reading.ungrouped(amount_string(budget.limit)),
        "at_cap": budget.at_cap if budget.hard else TELL,
        "alert_at": ", ".join(reading.ungrouped(amount_string(Decimal(share) * 100)) for share in budget.alert_at),
    }


def _page(request: HttpRequest, visit: access.Visit, form: BudgetForm, *, status: int = 200) -> HttpResponse:
    table = BUDGETS.page(request, selector.kept(visit.customer))
    rows = selector.now(visit.customer, table.rows)
    return access.render_for(request, visit, "portal/budgets.html", status=status, table=table, rows=rows, form=form)
