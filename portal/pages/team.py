"""Who acts for the organization, and joining it."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import addresses, reading, roles, second_factor
from accounts.models import ApiKey, Invitation, Membership, Organization, Role, User
from accounts.services import audit, team
from accounts.services.audit import actor_of
from billing.selectors.spending import budgets
from portal import access
from portal.forms import NewPasswordForm
from portal.tables import Column, Filter, Table

MEMBERS = Table(
    "team",
    columns=[
        Column("since", _("Member since"), by="created_at"),
        Column("name", _("Name"), by="user__name"),
        Column("email", _("E-mail"), by="user__email"),
        Column("role", _("Role"), by="role"),
    ],
    usual="since",
    anchor="people",
    filters=[
        Filter("role", _("Role"), Role.choices),
        Filter("email", _("E-mail begins with"), search=True, by="user__email"),
    ],
)


class InviteForm(forms.Form):
    """An address and a role."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), initial=Role.VIEWER)

    def __init__(self, *args: Any, visit: access.Visit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices = _roles(visit)


def _roles(visit: access.Visit) -> list[tuple[str, Any]]:
    """The roles that the person may give."""
    return [(role.value, role.label) for role in Role if role != Role.OWNER or visit.may("owners:write")]


class JoinForm(NewPasswordForm):
    """For who is invited and has no account yet."""

    name = forms.CharField(label=_("Your name"), max_length=200)
    field_order = ("name", "password")

    def clean_name(self) -> str:
        self.owner.name = self.cleaned_data["name"]
        return self.owner.name


@require_GET
@access.signed_in
@access.requires("team:read")
def members(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """Members, open invitations, and what each role may do."""
    return _page(request, visit, InviteForm(visit=visit))


@require_POST
@access.signed_in
@access.requires("team:write")
@second_factor.requires_fresh_second_factor
def invite(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Send an invitation."""
    form = InviteForm(request.POST, visit=visit)
    if form.is_valid():
        try:
            invitation, _token = team.invite(
                organization=visit.membership.organization,
                email=form.cleaned_data["email"],
                role=form.cleaned_data["role"],
                by=visit.membership,
                actor=actor_of(request),
            )
        except team.Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("An invitation is on its way to {email}.").format(email=invitation.email))
            return redirect("portal:team")
    return _page(request, visit, form, status=400)


@require_POST
@access.signed_in
@access.requires("team:write")
@second_factor.requires_fresh_second_factor
def withdraw(request: HttpRequest, visit: access.Visit, invitation_id: UUID) -> HttpResponseBase:
    """Take an invitation back."""
    found = Invitation.objects.filter(organization=visit.membership.organization, pk=invitation_id).first()
    if found is None:
        raise Http404
    team.withdraw(found, actor=actor_of(request))
    messages.success(request, _("The invitation of {email} is withdrawn.").format(email=found.email))
    return redirect("portal:team")


@require_POST
@access.signed_in
@access.requires("team:write")
@second_factor.requires_fresh_second_factor
def change_role(request: HttpRequest, visit: access.Visit, membership_id: UUID) -> HttpResponseBase:
    """Give a member another role."""
    member, role = _member(visit, membership_id), request.POST.get("role", "")
    said = _("{name} has another role. Their sessions were ended.").format(name=member.user.get_full_name())
    return _done(
        request,
        member,
        lambda: team.change_role(member, role, by=visit.membership, actor=actor_of(request)),
        said if roles.may(role, "keys:write") else said + _keys_left(member),
    )


@require_POST
@access.signed_in
@access.requires("team:write")
@second_factor.requires_fresh_second_factor
def remove(request: HttpRequest, visit: access.Visit, membership_id: UUID) -> HttpResponseBase:
    """Remove a member."""
    member = _member(visit, membership_id)
    return _done(
        request,
        member,
        lambda: team.remove(member, by=visit.membership, actor=actor_of(request)),
        _("{name} is no longer in the team.").format(name=member.user.get_full_name()) + _keys_left(member),
    )


@second_factor.open_to_strangers
@never_cache
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponseBase:
    """What an invitation's link leads to. Seeing it changes nothing: accepting is a POST."""
    found = team.find(token)
    if found is None:
        return render(request, "portal/invitation.html", {"invitation": None}, status=404)
    user = request.user if isinstance(request.user, User) else None
    known = user is not None or User.objects.filter(email=found.email).exists()
    form = None if known else JoinForm(request.POST or None, email=found.email)
    context: dict[str, Any] = {"invitation": found, "form": form, "role": Role(found.role).label, "known": known}
    if request.method == "POST":
        try:
            if user is not None:
                standing = second_factor.standing(request)
                if standing in {second_factor.Standing.OWES_CODE, second_factor.Standing.TRUSTED}:
                    return second_factor.ask(request, "SECOND_FACTOR_URL")
                team.accept(found, user, actor=actor_of(request))
                return _to(request, found)
            if form is not None and form.is_valid():
                _join(request, found, form)
                return _to(request, found)
        except team.Refused as refusal:
            context["refusal"] = str(refusal)
    return render(request, "portal/invitation.html", context, status=400 if request.method == "POST" else 200)


def _join(request: HttpRequest, found: Invitation, form: JoinForm) -> None:
    """Make the account of who owns the address: the link came to it, so it is theirs."""
    with transaction.atomic():
        user = User.objects.create_user(
            found.email,
            form.cleaned_data["password"],
            name=form.cleaned_data["name"],
            language=reading.active().language,
        )
        address = addresses.text_of(request)
        actor = audit.Actor.of_user(user, ip_address=address, request_id=audit.request_id_of(request))
        team.accept(found, user, actor=actor)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    second_factor.joined(request)


def _to(request: HttpRequest, found: Invitation) -> HttpResponseBase:
    request.session["organization"] = str(found.organization_id)
    return redirect("portal:dashboard")


def _lone_owner(organization: Organization) -> UUID | None:
    """The membership of the only owner, who stays one: nothing is offered that would be refused."""
    owners = Membership.objects.filter(organization=organization, role=Role.OWNER).values_list("pk", flat=True)[:2]
    return owners[0] if len(owners) == 1 else None


def _member(visit: access.Visit, membership_id: UUID) -> Membership:
    found = Membership.objects.select_related("user", "organization").filter(
        organization=visit.membership.organization, pk=membership_id
    )
    member = found.first()
    if member is None:
        raise Http404
    return member


def _keys_left(member: Membership) -> str:
    """A word about the keys that somebody made who may make none any more: they are the organization's, and stay."""
    kept = ApiKey.objects.filter(organization=member.organization, created_by=member.user, revoked_at=None)
    count = kept.filter(Q(expires_at=None) | Q(expires_at__gt=Now())).count()
    if not count:
        return ""
    return " " + ngettext(
        "{count} API key that they made goes on working. Revoke it under API keys if it should not.",
        "{count} API keys that they made go on working. Revoke under API keys those that should not.",
        count,
    ).format(count=count)


def _done(request: HttpRequest, member: Membership, change: Callable[[], None], said: str) -> HttpResponseBase:
    try:
        with transaction.atomic():
            team.lock(member.organization_id)  # Before the person.
            with second_factor.own_step(request) if member.user_id == request.user.pk else nullcontext():
                change()
    except team.Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said)
    return redirect("portal:team")


def _page(request: HttpRequest, visit: access.Visit, form: InviteForm, *, status: int = 200) -> HttpResponse:
    organization = visit.membership.organization
    people = MEMBERS.page(request, Membership.objects.filter(organization=organization).select_related("user"))
    limits = budgets.by_member(
        budgets.now(
            visit.customer,
            list(budgets.kept(visit.customer).exclude(member=None).filter(member__in=[m.user_id for m in people.rows])),
        )
    )
    table = [(does, [role.value in holders for role in Role]) for does, holders in roles.SCOPES.values()]
    return access.render_for(
        request,
        visit,
        "portal/team.html",
        status=status,
        people=people,
        members=[(member, limits.get(member.user_id, [])) for member in people.rows],
        invitations=team.open_invitations().filter(organization=organization),
        form=form,
        roles=_roles(visit),
        lone_owner=_lone_owner(organization),
        columns=Role.choices,
        table=table,
    )
