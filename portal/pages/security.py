"""What protects the person's own account."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET
from django_otp.models import Device

from accounts import second_factor
from accounts.models import User
from accounts.services import factors
from portal import access


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor, as the page lists it."""

    handle: str
    name: str
    kind: str
    device: Device


@require_GET
@access.own
def overview(request: HttpRequest, user: User) -> HttpResponseBase:
    """Second factors and recovery codes."""
    held = [
        Factor(f"{type(device).__name__.lower()}-{device.pk}", device.name, factors.kind_of(device), device)
        for device in factors.of(user)
    ]
    return access.render_own(
        request,
        "portal/security.html",
        factors=held,
        codes_left=factors.recovery_codes_left(user),
        codes_all=factors.RECOVERY_CODES,
        fresh=second_factor.is_fresh(request),
    )
