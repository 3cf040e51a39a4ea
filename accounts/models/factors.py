"""What somebody proves themselves with besides the password. Passkeys are django-otp-webauthn's own model."""

from typing import Any

from django.db import models
from django_otp.models import Device

from accounts.models.fields import SealedField


class Authenticator(Device):  # type: ignore[misc]  # django-otp is not typed.
    """An app that shows six digits which change every half minute (TOTP, RFC 6238)."""

    secret = SealedField(help_text="Base32, as the app was given it.")
    last_step = models.BigIntegerField(default=-1, help_text="The newest half minute whose code was accepted.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="accounts_authenticator_name")]

    def verify_token(self, token: Any) -> bool:
        """Codes are checked in one place, ``accounts.services.factors``, which counts what fails."""
        raise NotImplementedError


class RecoverySet(Device):  # type: ignore[misc]
    """The recovery codes that a person holds at present: for django-otp, one device."""

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user"], name="accounts_recoveryset_user")]

    def verify_token(self, token: Any) -> bool:
        """As for an authenticator."""
        raise NotImplementedError


class RecoveryCode(models.Model):
    """A way back in when the phone is lost, once. The secret part of the code is hashed as passwords are.

    A code's first two characters say which of the set it is, so that one hash is computed for an attempt and not ten.
    """

    recovery_set = models.ForeignKey(RecoverySet, on_delete=models.CASCADE, related_name="codes")
    label = models.CharField(max_length=2)
    code_hash = models.CharField(max_length=255)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["recovery_set", "label"], name="accounts_recoverycode_label")]

    def __str__(self) -> str:
        return f"{self.label}…"
