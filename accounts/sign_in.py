"""What every form that takes a password has in common."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.forms import PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext

from accounts import demo
from accounts.models import User
from accounts.services import attempts

if TYPE_CHECKING:
    from django.contrib.auth.forms import AuthenticationForm as _Form
else:
    _Form = object

TOO_MANY = "too_many_attempts"


def count(request: HttpRequest, email: str) -> None:
    """Count an attempt at this person's password. ``ValidationError`` where there were too many to look at it."""
    if not attempts.begin(request, email):
        minutes = attempts.WINDOW_SECONDS // 60
        raise ValidationError(
            gettext("Too many failed attempts. Try again in {minutes} minutes.").format(minutes=minutes), code=TOO_MANY
        )


class LimitedSignIn(_Form):
    """To be put before an authentication form: after too many failures the password is not looked at, and that of the
    demonstration is a wrong one outside of it."""

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username")
        if not email or self.request is None:
            return super().clean()
        count(self.request, email)
        cleaned = super().clean()
        if demo.is_published(self.cleaned_data["password"]):
            raise self.get_invalid_login_error()
        attempts.succeeded(self.request, email)
        return cleaned


class LimitedPasswordChange(PasswordChangeForm):
    """The old password is looked at as seldom as at the sign-in."""

    def __init__(self, request: HttpRequest, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request, self.email = request, user.email

    def clean_old_password(self) -> str:
        count(self.request, self.email)
        old: str = super().clean_old_password()
        attempts.succeeded(self.request, self.email)
        return old
