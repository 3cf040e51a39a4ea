"""What is kept about a person and about their organization: taken along, or erased."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import second_factor
from accounts.models import User
from accounts.services import audit, consents
from accounts.services import privacy as people
from accounts.services.audit import actor_of
from billing.engine import archives
from billing.errors import BillingError
from billing.selectors.customer import privacy as selector
from billing.services.customer import privacy
from portal import access, refusals


class ConfirmForm(forms.Form):
    """A name that has to be typed, so that nobody erases by a click."""

    typed = forms.CharField(max_length=254, label=_("To confirm"))

    def __init__(self, *args: Any, wanted: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = wanted
        self.fields["typed"].label = _("Type {wanted} to confirm").format(wanted=wanted)

    def clean_typed(self) -> str:
        if self.cleaned_data["typed"].strip() != self.wanted:
            raise forms.ValidationError(_("Type {wanted}, exactly so.").format(wanted=self.wanted))
        return self.wanted


@require_GET
@access.own_account
def overview(request: HttpRequest, user: User) -> HttpResponseBase:
    """What can be taken along, and what can be erased."""
    return _page(request, user)


@require_GET
@second_factor.requires_fresh_second_factor
@access.own
def mine(request: HttpRequest, user: User) -> HttpResponseBase:
    """All about the person, as one archive."""
    audit.record(actor=actor_of(request), action="user.exported", object_type="user", object_id=str(user.pk))
    return _archive("my-data.zip", selector.of_person(user))


@require_POST
@second_factor.requires_fresh_second_factor
@access.own
def erase_me(request: HttpRequest, user: User) -> HttpResponseBase:
    """Close the account for ever."""
    form = ConfirmForm(request.POST, wanted=user.email, prefix="person")
    if form.is_valid():
        try:
            privacy.erase_person(actor=actor_of(request), user=user)
        except BillingError as refusal:
            refusals.put(form, refusal)
        else:
            logout(request)
            return render(request, "portal/erased.html", {"what": _("Your account")})
    return _page(request, user, person=form)


@require_GET
@access.signed_in
@access.requires("privacy:write")
@second_factor.requires_fresh_second_factor
def organization(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """All about the organization, as one archive."""
    audit.record(
        actor=actor_of(request),
        action="customer.exported",
        object_type="customer",
        object_id=visit.customer.external_id,
        organization_id=visit.membership.organization_id,
    )
    return _archive("organization-data.zip", selector.of_organization(visit.customer))


@require_POST
@access.signed_in
@access.requires("privacy:write")
@second_factor.requires_fresh_second_factor
def erase_organization(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """End the organization for ever."""
    form = ConfirmForm(request.POST, wanted=visit.customer.name, prefix="organization")
    if form.is_valid():
        try:
            privacy.erase_customer(actor=actor_of(request), customer=visit.customer, reason="Asked for by an owner")
        except BillingError as refusal:
            refusals.put(form, refusal)
        else:
            logout(request)
            return render(request, "portal/erased.html", {"what": _("The organization")})
    return _page(request, visit.user, organization=form)


@require_http_methods(["GET", "POST"])
@access.own
def terms(request: HttpRequest, user: User) -> HttpResponseBase:
    """Agree to the terms as they are now. The version that was shown is the one that is agreed to."""
    version, onward = settings.TERMS_VERSION, second_factor.safe_next(request, "")
    if not version:
        raise Http404
    if request.method == "POST" and request.POST.get("version") == version and request.POST.get("agree"):
        consents.give(user, version=version, actor=actor_of(request))
        return redirect(onward or "portal:dashboard")
    shown = {"version": version, "url": settings.TERMS_URL, "owed": consents.owed(user), "next": onward}
    return render(
        request, "portal/terms.html", shown | {"refused": request.method == "POST"}, status=400 if request.POST else 200
    )


def _page(
    request: HttpRequest, user: User, *, person: ConfirmForm | None = None, organization: ConfirmForm | None = None
) -> HttpResponseBase:
    found: dict[str, Any] = {}
    try:
        visit = access.visit_for(request)
    except Http404:
        visit = None
    if visit is not None and visit.may("privacy:write"):
        found = {
            "organization_form": organization or ConfirmForm(wanted=visit.customer.name, prefix="organization"),
            "organization_obstacles": list(map(refusals.said, privacy.obstacles(visit.customer))),
        }
    return access.render_own(
        request,
        "portal/privacy.html",
        status=400 if person or organization else 200,
        person_form=person or ConfirmForm(wanted=user.email, prefix="person"),
        person_obstacles=list(map(refusals.said, people.obstacles(user))),
        consents=user.consents.all(),
        **found,
    )


def _archive(name: str, files: selector.Files) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(archives.stream(files), content_type="application/zip", headers=headers)
