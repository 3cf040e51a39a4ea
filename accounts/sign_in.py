"""What every form that takes a password has in common."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from accounts.services import attempts

if TYPE_CHECKING:
    from django.contrib.auth.forms import AuthenticationForm as _Form
else:
    _Form = object

TOO_MANY = "too_many_attempts"


class LimitedSignIn(_Form):
    """To be put before an authentication form: after too many failures the password is not looked at."""

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username")
        if not email or self.request is None:
            return super().clean()
        if not attempts.begin(self.request, email):
            minutes = attempts.WINDOW_SECONDS // 60
            raise ValidationError(
                gettext("Too many failed attempts. Try again in {minutes} minutes.").format(minutes=minutes),
                code=TOO_MANY,
            )
        cleaned = super().clean()
        attempts.succeeded(self.request, email)
        return cleaned
