"""Passkeys: the package's ceremonies, and what they mean here."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django_otp_webauthn import exceptions, views
from django_otp_webauthn.models import WebAuthnCredential

from accounts import second_factor
from accounts.models import User
from accounts.services import factors
from accounts.services.audit import actor_of

NAME_MAX = 64


def _may_enrol(request: HttpRequest) -> None:
    """As for an authenticator app: the first factor needs the password alone, a further one a fresh second factor."""
    user = request.user
    if isinstance(user, User) and factors.enrolled(user) and not second_factor.is_fresh(request):
        raise exceptions.NotVerified(detail="Give your second factor first.")
    if not second_factor.may_change_account(request):
        raise exceptions.NotVerified(detail="Sign in with your own password first.")


class BeginEnrolment(views.BeginCredentialRegistrationView):  # type: ignore[misc]  # The package is not typed.
    """What the browser needs to make a passkey."""

    def check_can_register(self) -> None:
        _may_enrol(self.request)


class CompleteEnrolment(views.CompleteCredentialRegistrationView):  # type: ignore[misc]
    """The new passkey becomes a factor; other sessions end."""

    def check_can_register(self) -> None:
        _may_enrol(self.request)

    def post(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request: HttpRequest = self.request
        with second_factor.own_step(request):
            response: HttpResponseBase = super().post(*args, **kwargs)
            passkey = WebAuthnCredential.objects.filter(user=request.user).latest("pk")
            passkey.name = str(request.GET.get("name", ""))[:NAME_MAX].strip().replace("\x00", "") or "Passkey"
            passkey.save(update_fields=["name"])
            factors.note_added(passkey, actor=actor_of(request))
        second_factor.proved(request, passkey)
        return response


class BeginProof(views.BeginCredentialAuthenticationView):  # type: ignore[misc]
    """What the browser needs to prove that it holds one of the person's passkeys."""


class CompleteProof(views.CompleteCredentialAuthenticationView):  # type: ignore[misc]
    """The second factor, given by passkey."""

    def complete_auth(self, device: Any) -> Any:
        if device.user_id != self.request.user.pk:
            raise exceptions.CredentialNotFound()
        second_factor.proved(self.request, device)
        return device.user

    def get_success_data(self, device: Any) -> dict[str, Any]:
        return {"id": device.pk, "redirect_url": second_factor.safe_next(self.request, "portal:dashboard")}
