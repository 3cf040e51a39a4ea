"""How well a session has proved who it is, and the gate that every page is behind.

* Staff need a second factor for every page. Who has none yet reaches nothing but the pages where one is set up.
* A customer's people need theirs once they have one. Where value can be moved or access given, everybody does, and it
  must be fresh: ``requires_fresh_second_factor``.

The gate is a middleware and closed by default: a page is open only if its view says so.
"""

import enum
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, logout, update_session_auth_hash
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, resolve_url
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp import login as otp_login
from django_otp.middleware import OTPMiddleware
from django_otp.models import Device

from accounts import addresses, sessions
from accounts.models import User
from accounts.services import devices, factors, single_sign_on

FRESH_SECONDS = 15 * 60
STAFF_SECONDS = 12 * 3600
STAFF_IDLE_SECONDS = 30 * 60
SEEN_RESOLUTION_SECONDS = 60
PROVED_AT, SEEN_AT, SIGNED_IN_AT = "second_factor_at", "seen_at", "signed_in_at"
TRUSTED_DEVICE = "trusted_device"
THROUGH = "single_sign_on"
"""What marks a session that was opened by single sign-on: the ``mark`` of the way in."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
NOT_FROM_HERE = "Staff may not work from the address that the request came from: STAFF_NETWORKS names those that may."

P = ParamSpec("P")
R = TypeVar("R")
View = TypeVar("View", bound=Callable[..., Any])


class Standing(enum.Enum):
    """What a session has shown of itself."""

    STRANGER = enum.auto()
    PASSWORD = enum.auto()
    """A password, and there is no second factor to ask for: enough for a customer's pages, not for staff."""
    OWES_CODE = enum.auto()
    """A password, and the person has a second factor that was not asked for yet: enough for nothing."""
    TRUSTED = enum.auto()
    """A password, in a browser that the person trusts: enough to look, and to change nothing. Never for staff."""
    VERIFIED = enum.auto()


def standing(request: HttpRequest) -> Standing:
    """How far this session has come. ``request.user`` must be the one that ``install`` or the middleware put there."""
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return Standing.STRANGER
    if user.is_verified():  # type: ignore[attr-defined]  # django-otp adds it to the user.
        return Standing.VERIFIED
    if not factors.enrolled(user):
        return Standing.PASSWORD
    device_id = request.session.get(TRUSTED_DEVICE)
    if device_id and not _is_staff(request) and devices.still_trusted(user, device_id):
        return Standing.TRUSTED
    return Standing.OWES_CODE


def through(request: HttpRequest) -> str:
    """By whose single sign-on the session was opened; empty where the person's own password did."""
    return str(request.session.get(THROUGH, ""))


def through_organization(request: HttpRequest) -> bool:
    """Whether an organization's provider opened the session: then it is for that organization alone.

    What belongs to the person, whoever they act for, is not opened by it. A provider that the operator has no longer
    opens no more than theirs.
    """
    mark = through(request)
    return mark != "" and mark != single_sign_on.staff_mark()


def may_change_account(request: HttpRequest) -> bool:
    """Whether this session may change what opens and protects the person's account."""
    return not through_organization(request) or is_fresh(request)


def admits(request: HttpRequest) -> bool:
    """Whether the gate would let this session see its person's pages: for what is served beside Django's views."""
    found = standing(request)
    if not _is_staff(request):
        return found in {Standing.VERIFIED, Standing.TRUSTED, Standing.PASSWORD}
    refused = not _is_at_work(request) or through_organization(request) or _must_come_through(request)
    return found is Standing.VERIFIED and not refused and not _is_over(request)


def install(request: HttpRequest, user: Any) -> None:
    """Make ``request.user`` know whether it is verified, where no middleware runs."""
    request.user = OTPMiddleware(lambda _: None)._verify_user_sync(request, user)


def is_verified(request: HttpRequest) -> bool:
    """Whether a second factor was given in this session."""
    return standing(request) is Standing.VERIFIED


def is_fresh(request: HttpRequest) -> bool:
    """Whether a second factor was given in this session in the last quarter of an hour."""
    return is_verified(request) and time.time() - request.session.get(PROVED_AT, 0) <= FRESH_SECONDS


def is_recent(request: HttpRequest) -> bool:
    """Whether the session was opened in the last quarter of an hour."""
    return time.time() - float(request.session.get(SIGNED_IN_AT, 0)) <= FRESH_SECONDS


def proved(request: HttpRequest, device: Device) -> None:
    """The person has just given this factor: the session is verified and fresh, under a new id."""
    request.session.cycle_key()
    otp_login(request, device)
    request.session[PROVED_AT] = request.session[SEEN_AT] = int(time.time())


def signed_in(request: HttpRequest, response: HttpResponseBase, *, first_time: bool, by: str = "") -> None:
    """After the password: note when and where, write to the person if the browser is new, and honour their trust.

    ``by`` is the mark of the single sign-on that was in the password's place.
    """
    assert isinstance(request.user, User)
    request.session[SIGNED_IN_AT], request.session[THROUGH] = int(time.time()), by
    sessions.describe(request)
    devices.notice(request, response, request.user, first_time=first_time, by=by)
    device = None if _is_staff(request) else devices.trusted(request, request.user)
    if device is not None:
        request.session[TRUSTED_DEVICE] = str(device.pk)


def joined(request: HttpRequest) -> None:
    """After the account was made, with its password: note when and where. No letter: every browser is its first."""
    request.session[SIGNED_IN_AT] = int(time.time())
    sessions.describe(request)


@contextmanager
def own_step(request: HttpRequest) -> Iterator[None]:
    """A step that ends the person's sessions, but not the one in which they take it.

    Under the lock of the person's row, in a transaction. Raises ``SessionInterrupted``, and nothing is done, where the
    session was ended since the request began: it is kept through this step alone.
    """
    user, session = request.user, request.session
    assert isinstance(user, User)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        user.refresh_from_db(fields=["password", "security_epoch"])
        bound_to = session.get(HASH_SESSION_KEY, "")
        same = constant_time_compare(bound_to, user.get_session_auth_hash())
        if not same or not session.exists(session.session_key or ""):
            raise SessionInterrupted("The session was ended while this was asked for in it.")
        yield
        user.refresh_from_db(fields=["password", "security_epoch"])
    if user.get_session_auth_hash() != bound_to:
        update_session_auth_hash(request, user)


def open_to_strangers(view: View) -> View:
    """This view looks after itself: signing in and out, giving the second factor."""
    view.gate = "open"  # type: ignore[attr-defined]
    return view


def open_for_enrolment(view: View) -> View:
    """Who has no second factor yet may come here to set one up, staff too."""
    view.gate = "enrolment"  # type: ignore[attr-defined]
    return view


def open_to_trusted(view: View) -> View:
    """What is sent here changes nothing but what is shown: a browser that the person trusts may."""
    view.gate = "trusted"  # type: ignore[attr-defined]
    return view


def requires_fresh_second_factor(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A view that moves value, gives access or changes what limits either.

    A second factor must have been given in this session in the last ``FRESH_SECONDS``; who has none is led to set one
    up. Pages lead to the question and back; JSON and htmx get 403 ``two_factor_required``.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated or is_fresh(request):
            return view(request, *args, **kwargs)
        found = standing(request)
        return ask(request, "SECOND_FACTOR_ENROL_URL" if found is Standing.PASSWORD else "SECOND_FACTOR_URL")

    return guarded


def ask(request: HttpRequest, setting: str) -> HttpResponseBase:
    """Lead to the page that asks for a second factor, or for a new one, and back to where one was."""
    target = f"{resolve_url(getattr(settings, setting))}?{urlencode({'next': _back(request)})}"
    response: HttpResponseBase
    if _is_program(request):
        title, detail = "A second factor is required", "Give your second factor first."
        response = _problem(request, "two_factor_required", title, detail)
        if "HX-Request" in request.headers:
            response["HX-Redirect"] = target
    else:
        response = redirect(target)
    add_never_cache_headers(response)
    return response


def _problem(request: HttpRequest, code: str, title: str, detail: str) -> HttpResponseBase:
    body: dict[str, object] = {
        "type": f"urn:ante:problem:{code}",
        "title": title,
        "status": 403,
        "detail": detail,
        "code": code,
        "errors": [],
        "request_id": getattr(request, "request_id", ""),
    }
    return JsonResponse(body, status=403, content_type="application/problem+json")


def _refuse(request: HttpRequest, code: str, title: str, detail: str) -> HttpResponseBase:
    """A refusal that no second factor helps against."""
    if _is_program(request):
        return _problem(request, code, title, detail)
    return HttpResponse(f"403 {title}. {detail}\n", status=403, content_type="text/plain; charset=utf-8")


def safe_next(request: HttpRequest, default: str) -> str:
    """Where ``next`` leads, if that is a path within this site; else ``default``, a URL or the name of one."""
    after = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(after, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return after if safe and after.startswith("/") else default and resolve_url(default)


class SecondFactorMiddleware:
    """The gate. After the middlewares that say who the user is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        gate = getattr(view, "gate", "")
        # Without a session there is nobody to ask: programs bring a key, and pages send strangers to sign in.
        if gate == "open" or settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        match standing(request):
            case Standing.STRANGER:
                return None
            case Standing.TRUSTED:
                looks = request.method in SAFE_METHODS or gate == "trusted"
                return None if looks else ask(request, "SECOND_FACTOR_URL")
            case Standing.OWES_CODE:
                return ask(request, "SECOND_FACTOR_URL")
            case Standing.PASSWORD:
                admitted = gate == "enrolment" or not _is_staff(request)
                return None if admitted else ask(request, "SECOND_FACTOR_ENROL_URL")
            case Standing.VERIFIED:
                return self._of_staff(request) if _is_staff(request) else None

    def _of_staff(self, request: HttpRequest) -> HttpResponseBase | None:
        """What staff owe beside their second factor: where they come from, by which way in, and how long ago."""
        if not _is_at_work(request):
            return _refuse(request, "ip_not_allowed", "Not allowed from this address", NOT_FROM_HERE)
        if through_organization(request):
            # Of a provider that the operator has no longer. For nobody becomes staff in an organization's session, as
            # new powers end it; but if somebody did: not by this door.
            logout(request)
            return ask(request, "LOGIN_URL")
        return ask(request, "STAFF_SSO_URL") if _must_come_through(request) else self._end_old_session(request)

    def _end_old_session(self, request: HttpRequest) -> HttpResponseBase | None:
        """Staff sign in anew after half a day, and after half an hour in which they did nothing."""
        now, session = int(time.time()), request.session
        session.setdefault(SIGNED_IN_AT, session.get(PROVED_AT, 0))
        if _is_over(request):
            response = ask(request, "LOGIN_URL")
            logout(request)
            return response
        if now - session.get(SEEN_AT, 0) >= SEEN_RESOLUTION_SECONDS:
            session[SEEN_AT] = now
        return None


def _is_staff(request: HttpRequest) -> bool:
    user = request.user
    return isinstance(user, User) and (user.is_staff or user.is_superuser)


def _is_at_work(request: HttpRequest) -> bool:
    """Whether staff may work from the address that the request came from."""
    return addresses.allows(settings.STAFF_NETWORKS, addresses.of(request))


def _is_over(request: HttpRequest) -> bool:
    """Whether a session of staff is too old, or was left alone for too long."""
    now, session = time.time(), request.session
    first_at = float(session.get(SIGNED_IN_AT, session.get(PROVED_AT, 0)))
    return now - first_at > STAFF_SECONDS or now - float(session.get(SEEN_AT, 0)) > STAFF_IDLE_SECONDS


def _must_come_through(request: HttpRequest) -> bool:
    """Whether this is one of the staff who must come by single sign-on, and did not.

    Superusers need not: somebody must get in when the provider is away.
    """
    user = request.user
    owes = settings.STAFF_SSO_REQUIRED and not through(request)
    return owes and isinstance(user, User) and user.is_staff and not user.is_superuser


def _is_program(request: HttpRequest) -> bool:
    """Whether a script asks, which can make nothing of a page."""
    wants_json = request.accepts("application/json") and not request.accepts("text/html")
    return wants_json or "HX-Request" in request.headers or request.path.endswith(".json")


def _back(request: HttpRequest) -> str:
    """Where to go on afterwards: here, or the page that the form was on."""
    if request.method in {"GET", "HEAD"} and "HX-Request" not in request.headers:
        return request.get_full_path()
    page = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer") or "")
    if page.netloc == request.get_host() and page.path.startswith("/"):
        return f"{page.path}?{page.query}".rstrip("?")
    return "/"
