"""What protects the person's own account, and from where the organization may be reached."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_otp.models import Device

from accounts import second_factor, sessions
from accounts.models import TrustedDevice, User
from accounts.services import attempts, audit, devices, factors, mail, organizations, single_sign_on
from accounts.services.audit import actor_of
from accounts.sign_in import TOO_MANY, LimitedPasswordChange
from portal import access
from portal.forms import NetworksForm
from portal.tables import Column, Table

_CAME = [
    Column("since", _("Since"), by="created_at"),
    Column("address", _("Address"), by="ip_address", optional=True),
]
SESSIONS = Table(
    "security",
    columns=[
        Column("used", _("Last used"), by="seen_at", optional=True),
        *_CAME,
        Column("name", _("Browser"), by="agent"),
    ],
    usual="-used",
    anchor="sessions",
)
DEVICES = Table(
    "security",
    columns=[
        Column("used", _("Last used"), by="last_used_at", optional=True),
        *_CAME,
        Column("name", _("Browser"), by="name"),
        Column("ends", _("Ends"), by="expires_at"),
    ],
    usual="-since",
    anchor="devices",
    prefix="device-",
)


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor, as the page lists it."""

    handle: str
    name: str
    kind: str
    device: Device


@require_GET
@access.own_account
def overview(request: HttpRequest, user: User) -> HttpResponseBase:
    """Second factors, recovery codes, trusted devices, sessions."""
    held = [
        Factor(factors.handle(device), device.name, str(factors.KIND_WORDS[factors.kind_of(device)]), device)
        for device in factors.of(user)
    ]
    return access.render_own(
        request,
        "portal/security.html",
        factors=held,
        codes_left=factors.recovery_codes_left(user),
        codes_all=factors.RECOVERY_CODES,
        devices=DEVICES.page(request, TrustedDevice.objects.filter(pk__in=[one.pk for one in devices.of(user)])),
        sessions=SESSIONS.page(request, sessions.open_sessions(user.pk)),
        this_session=sessions.name_of(request.session.session_key),
        connected=single_sign_on.of(user),
        ways=single_sign_on.open_to(user),
        passkey_host=settings.OTP_WEBAUTHN_RP_ID,
    )


@require_POST
@access.own_account
def end_session(request: HttpRequest, user: User) -> HttpResponseBase:
    """End one of one's sessions, or all but this one."""
    name = request.POST.get("session", "")
    mine = {session.session_key for session in sessions.open_sessions(user.pk)}
    if name and name not in mine:
        raise Http404
    here = sessions.name_of(request.session.session_key)
    ended = sessions.end(user.pk, only=name) if name else sessions.end(user.pk, keep=here)
    messages.success(request, ngettext("{ended} session ended.", "{ended} sessions ended.", ended).format(ended=ended))
    return redirect("portal:security")


@require_POST
@access.own_account
def revoke_device(request: HttpRequest, user: User, device_id: UUID) -> HttpResponseBase:
    """Trust a device no more."""
    device = next((one for one in devices.of(user) if one.pk == device_id), None)
    if device is None:
        raise Http404
    devices.revoke(device, actor=actor_of(request))
    messages.success(request, _("{name} is trusted no more.").format(name=device.name))
    return redirect("portal:security")


@require_POST
@access.own_account
def disconnect(request: HttpRequest, user: User, identity_id: UUID) -> HttpResponseBase:
    """Come in by a company's sign-in no more."""
    identity = next((one for one in single_sign_on.of(user) if one.pk == identity_id), None)
    if identity is None:
        raise Http404
    if factors.enrolled(user) and not second_factor.is_fresh(request):
        return second_factor.ask(request, "SECOND_FACTOR_URL")
    with second_factor.own_step(request):
        single_sign_on.disconnect(identity, actor=actor_of(request))
    messages.success(request, _("Disconnected. Your other sessions were ended."))
    return redirect("portal:security")


@require_http_methods(["GET", "POST"])
@access.own_account
def password(request: HttpRequest, user: User) -> HttpResponseBase:
    """Change one's own password; other sessions end. With the old one, and the second factor if there is one."""
    if factors.enrolled(user) and not second_factor.is_fresh(request):
        return second_factor.ask(request, "SECOND_FACTOR_URL")
    form = LimitedPasswordChange(request, user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        with second_factor.own_step(request):
            form.save()
            factors.end_sessions(user)
            audit.record(
                actor=actor_of(request), action="user.password_set", object_type="user", object_id=str(user.pk)
            )
            mail.tell(
                user,
                _("Your password was changed"),
                _("Your password was changed, and your other sessions were ended."),
            )
        messages.success(request, _("Your password is changed. Your other sessions were ended."))
        return redirect("portal:security")
    response = access.render_own(request, "portal/password.html", form=form, status=400 if form.errors else 200)
    if form.has_error("old_password", TOO_MANY):
        response.status_code = 429
        response["Retry-After"] = str(attempts.WINDOW_SECONDS)
    return response


@require_http_methods(["GET", "POST"])
@access.signed_in
@access.requires("security:write")
@second_factor.requires_fresh_second_factor
def networks(request: HttpRequest, visit: access.Visit) -> HttpResponse | HttpResponseBase:
    """The organization's allow-list. One that excludes who writes it is refused unless they say so twice."""
    organization = visit.membership.organization
    form = NetworksForm(request, organization.allowed_networks, sure=_("Yes, even though it shuts me out"))
    if request.method == "POST" and form.is_valid():
        organizations.allow_from(organization, form.cleaned_data["networks"], actor=actor_of(request))
        messages.success(request, _("Saved. It holds for pages now, and for API keys within a second."))
        return redirect("portal:dashboard" if form.leaves_out else "portal:networks")
    status = 400 if form.errors else 200
    return access.render_for(request, visit, "portal/networks.html", form=form, status=status)
