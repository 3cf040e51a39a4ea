"""The one way to a customer's rows: who asks, and for which of their customers. What is not theirs is a 404."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect

from accounts import addresses, roles, second_factor
from accounts.models import IdentityProvider, Membership, Organization, Role, User
from accounts.services import consents, factors
from billing.models import Customer

_CHOSEN = "organization"
P = ParamSpec("P")


class AddressRefused(Http404):
    """None of the person's organizations may be reached from where they are."""


class OtherWayIn(Http404):
    """None of the person's organizations lets in whoever signed in as this session did.

    ``ways`` are the providers that would. ``by_code``: their second factor would too, which they were not asked for.
    """

    def __init__(self, ways: list[IdentityProvider], *, by_code: bool) -> None:
        super().__init__()
        self.ways, self.by_code = ways, by_code


@dataclass(frozen=True, slots=True)
class Visit:
    """A signed-in person acting for one customer."""

    user: User
    customer: Customer
    membership: Membership
    choices: list[Membership]
    """All memberships through which the person could act, by organization name."""

    @property
    def scopes(self) -> frozenset[str]:
        """All that the person's role may do here, for templates."""
        return roles.scopes_of(self.membership.role)

    def may(self, scope: str) -> bool:
        """Whether the person's role in this organization has the scope."""
        return roles.may(self.membership.role, scope)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that the person reads in: their own choice, else the customer's. Its days, its midnight."""
        return named_zone(self.user.timezone) if self.user.timezone else zone_of(self.customer)


def zone_of(customer: Customer) -> ZoneInfo:
    """The customer's time zone."""
    return named_zone(customer.timezone)


def named_zone(name: str) -> ZoneInfo:
    """The time zone of this name; UTC where it is not known here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def visit_for(request: HttpRequest) -> Visit:
    """Who asks and for whom: the organization chosen last in this session, else the first by name.

    Organizations that may not be reached from the request's address, or by the way in which the session was opened, are
    as if they were not there. Raises ``Http404``, and ``AddressRefused`` or ``OtherWayIn`` where no other is left.
    """
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        raise Http404
    theirs = list(
        Membership.objects.filter(user=user, organization__customer__isnull=False)
        .select_related("organization__customer", "organization__identity_provider")
        .defer("organization__identity_provider__client_secret")
        .order_by("organization__name", "id")
    )
    if not theirs:
        raise Http404
    address = addresses.of(request)
    reached = [m for m in theirs if addresses.allows(m.organization.allowed_networks, address)]
    if not reached:
        raise AddressRefused
    choices = [m for m in reached if _lets_in(request, m)]
    if not choices:
        trusted = second_factor.standing(request) is second_factor.Standing.TRUSTED
        raise OtherWayIn(
            [provider for m in reached if (provider := provider_of(m.organization)) is not None],
            by_code=trusted and not second_factor.through(request) and any(m.role == Role.OWNER for m in reached),
        )
    chosen = request.session.get(_CHOSEN)
    membership = next((m for m in choices if str(m.organization_id) == chosen), choices[0])
    return Visit(user, membership.organization.customer, membership, choices)


def provider_of(organization: Organization) -> IdentityProvider | None:
    """Where the organization's people sign in by single sign-on, if they do."""
    provider: IdentityProvider | None = getattr(organization, "identity_provider", None)
    return provider


def _lets_in(request: HttpRequest, membership: Membership) -> bool:
    """Whether the session was opened in a way that the organization lets its people in by.

    Its own provider opens this organization and no other. Where it is required, a password does not, but an owner's,
    with the second factor: somebody must get in when the provider is away.
    """
    provider, through = provider_of(membership.organization), second_factor.through(request)
    if through:
        return provider is not None and str(provider.pk) == through
    if provider is None or not provider.required:
        return True
    return membership.role == Role.OWNER and second_factor.is_verified(request)


def customer_for(request: HttpRequest) -> Customer:
    """The customer whose rows this request may see; 404 where there is none."""
    return visit_for(request).customer


def choose(request: HttpRequest, organization_id: str) -> None:
    """Act for this organization from now on. One that is not theirs is a 404, as is one that does not exist."""
    if not any(str(m.organization_id) == organization_id for m in visit_for(request).choices):
        raise Http404
    request.session[_CHOSEN] = organization_id


def asked(request: HttpRequest, name: str) -> str:
    """A text from the query string. A NUL, which no database takes, becomes a mark that nothing is named by."""
    return request.GET.get(name, "").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def member(visit: Visit, membership_id: UUID) -> Membership:
    """One of the team whom the person may look at: who may not see who changed what sees themselves alone. Raises
    ``Http404`` for anybody else."""
    team = Membership.objects.select_related("user").filter(organization=visit.membership.organization_id)
    found = team.filter(pk=membership_id).first() if visit.may("team:read") else None
    if found is None or not (visit.may("audit:read") or found.user_id == visit.user.pk):
        raise Http404
    return found


def before(request: HttpRequest) -> UUID | None:
    """The row that the next page of a list begins after; None for its first page, and for what is no id."""
    try:
        return UUID(request.GET.get("before", ""))
    except ValueError:
        return None


Page = Callable[Concatenate[HttpRequest, Visit, P], HttpResponseBase]
PersonPage = Callable[Concatenate[HttpRequest, User, P], HttpResponseBase]


def signed_in(page: Page[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for a customer's people, given their ``Visit``, in their time zone, kept by no cache.

    Strangers are asked to sign in, staff without a customer are sent to the back office, and somebody who belongs
    nowhere is told so.
    """

    @wraps(page)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _never_stored(redirect_to_login(request.get_full_path()))
        try:
            visit = visit_for(request)
        except Http404 as why:
            return _never_stored(_let_nowhere(request, why))
        if consents.owed(visit.user):
            return _never_stored(_ask_for_consent(request))
        request.organization_id = visit.membership.organization_id  # type: ignore[attr-defined]
        with timezone.override(visit.zone):
            return _never_stored(page(request, visit, *args, **kwargs))

    return guarded


def _let_nowhere(request: HttpRequest, why: Http404) -> HttpResponseBase:
    """What somebody is told who can act for nobody here now."""
    if isinstance(why, AddressRefused):
        return render(request, "portal/address_refused.html", {"address": addresses.of(request)}, status=403)
    if isinstance(why, OtherWayIn) and why.by_code:
        return second_factor.ask(request, "SECOND_FACTOR_URL")
    if isinstance(why, OtherWayIn):
        return render(request, "portal/company_required.html", {"ways": why.ways, "next": _here(request)}, status=403)
    if request.user.is_staff:
        return redirect("admin:index")
    return render(request, "portal/nobody.html", status=403)


def _here(request: HttpRequest) -> str:
    """Where to come back to; empty where that is no page."""
    return request.get_full_path() if request.method == "GET" and not getattr(request, "htmx", False) else ""


def _ask_for_consent(request: HttpRequest) -> HttpResponseBase:
    """To the terms, and back to the page; what was being sent has to be sent again."""
    back = _here(request)
    address = reverse("portal:terms") + (f"?{urlencode({'next': back})}" if back else "")
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(address)
    return redirect(address)


def requires(scope: str) -> Callable[[Page[P]], Page[P]]:
    """Below ``signed_in``: a page for those whose role has the scope. The others are told that theirs has not."""

    def decorate(page: Page[P]) -> Page[P]:
        @wraps(page)
        def checked(request: HttpRequest, visit: Visit, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if visit.may(scope):
                return page(request, visit, *args, **kwargs)
            does = roles.SCOPES[scope][0]
            return render_for(request, visit, "portal/not_yours.html", does=does, status=403)

        return checked

    return decorate


def own(page: PersonPage[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page about the person alone, whoever they act for: staff too, and members of no organization."""

    @wraps(page)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        user = request.user
        if not isinstance(user, User):
            return _never_stored(redirect_to_login(request.get_full_path()))
        try:
            zone = visit_for(request).zone
        except Http404:
            zone = named_zone(user.timezone)
        with timezone.override(zone):
            return _never_stored(page(request, user, *args, **kwargs))

    return guarded


def own_account(page: PersonPage[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """``own``, for what opens or protects the person's account.

    An organization's provider does not speak for the person beyond it: who came by it gives their own second factor
    first, and who has none signs in with their password.
    """

    @wraps(page)
    def checked(request: HttpRequest, user: User, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if second_factor.may_change_account(request):
            return page(request, user, *args, **kwargs)
        if factors.enrolled(user):
            return second_factor.ask(request, "SECOND_FACTOR_URL")
        return render_own(request, "portal/own_account.html", status=403)

    return own(checked)


def render_own(request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """``template`` for a page about the person: inside the shell of who they act for, if there is one."""
    try:
        visit = visit_for(request)
    except Http404:
        return render(request, template, {"layout": "portal/plain.html", "zone": "UTC", **context}, status=status)
    return render_for(request, visit, template, status=status, **{"layout": "portal/shell.html", **context})


def _never_stored(response: HttpResponseBase) -> HttpResponseBase:
    add_never_cache_headers(response)
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    return response


def render_for(request: HttpRequest, visit: Visit, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """``template`` with what every page of the portal shows beside its own content."""
    shown = {
        "visit": visit,
        "customer": visit.customer,
        "zone": visit.zone.key,
        "scopes": visit.scopes,
        "test_mode": settings.TEST_MODE,
        **context,
    }
    return render(request, template, shown, status=status)
