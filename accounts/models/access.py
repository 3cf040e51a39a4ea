"""Ways in: invitations to an organization, devices that are trusted, sessions that are open."""

from typing import Any

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone

from accounts.ids import uuid7
from accounts.models.fields import SealedField
from accounts.models.organizations import Organization, Role
from accounts.models.users import User


class Invitation(models.Model):
    """An offer of a role to whoever owns an e-mail address. Of the link's token only the SHA-256 is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=16, choices=Role.choices)
    token_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="accounts_invitation_open_once",
            ),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="accounts_invitation_role"),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization} as {self.get_role_display()}"


class TrustedDevice(models.Model):
    """A browser in which a person gave their second factor and asked not to be asked again for a while.

    Its cookie is a random token, signed and bound to the person; of the token only the SHA-256 is stored. It counts as
    long as the person's password, factors and roles are those it was made under.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="trusted_devices")
    token_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    bound_to = models.CharField(max_length=64, editable=False, help_text="What sessions of that time were bound to.")
    name = models.CharField(max_length=200)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class Session(AbstractBaseSession):
    """A session, with whose it is: so that a person sees theirs and ends them."""

    session_key = models.CharField(max_length=64, primary_key=True, help_text="The SHA-256 of the key, in hex.")
    user_id = models.UUIDField(null=True, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(auto_now=True)
    ip_address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True)

    class Meta(AbstractBaseSession.Meta):
        pass

    @classmethod
    def get_session_store_class(cls) -> Any:
        from accounts.sessions import SessionStore

        return SessionStore


class OutgoingMail(models.Model):
    """A message to a person, kept until it is sent. It may hold a link that opens something: its text is sealed.

    After ``ATTEMPTS_MAX`` attempts it waits for somebody of the staff to have it sent again.
    """

    ATTEMPTS_MAX = 12

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    recipient = models.EmailField(max_length=254)
    subject = models.CharField(max_length=200)
    text = SealedField()
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.subject} to {self.recipient}"

    @property
    def given_up(self) -> bool:
        return self.attempts >= self.ATTEMPTS_MAX
