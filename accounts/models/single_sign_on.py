"""Signing in at one's company: where that is, and who said that they are known there."""

from django.db import models

from accounts.ids import uuid7
from accounts.models.fields import SealedField
from accounts.models.organizations import Membership, Organization
from accounts.models.users import User


class IdentityProvider(models.Model):
    """Where an organization's people sign in (OpenID Connect). The operator's own, for staff, is in the settings.

    Another issuer or client is another row: who was known to the one is not known to the other.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="identity_provider")
    short_name = models.SlugField(max_length=40, unique=True, help_text="What people type to be sent there.")
    issuer = models.CharField(max_length=300)
    client_id = models.CharField(max_length=255)
    client_secret = SealedField()
    required = models.BooleanField(default=False, help_text="Whether members get in by it alone. Owners do without.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.short_name


class Identity(models.Model):
    """That a person said, with their own password: whom this issuer knows by this subject, that is me."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, null=True, related_name="identities")
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, null=True, related_name="+", help_text="It ends with it. None for staff."
    )
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "issuer", "subject"], nulls_distinct=False, name="accounts_identity_subject"
            ),
            models.UniqueConstraint(
                fields=["provider", "user"], nulls_distinct=False, name="accounts_identity_one_each"
            ),
            models.CheckConstraint(
                condition=models.Q(provider=None, membership=None)
                | models.Q(provider__isnull=False, membership__isnull=False),
                name="accounts_identity_of_member_or_staff",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"
