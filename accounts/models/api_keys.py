from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.ids import uuid7
from accounts.models.organizations import Organization
from accounts.models.users import User


class ApiKey(models.Model):
    """A program's credential. Only the SHA-256 of the secret is stored: with 256 random bits no slow hash is needed.

    An operator's key (``sk_…``) has no organization and reaches every customer within its scopes; a customer's
    key (``ck_…``) reaches the one customer that its organization acts for.
    """

    class Kind(models.TextChoices):
        OPERATOR = "operator", "Operator"
        CUSTOMER = "customer", "Customer"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="api_keys"
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=24, help_text="The first characters of the key, to tell keys apart.")
    secret_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=40), default=list)
    allowed_networks = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, help_text="CIDR blocks; empty means from everywhere."
    )
    renews = models.OneToOneField(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="renewed_by", editable=False
    )
    live = models.BooleanField(default=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_because = models.CharField(max_length=200, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="accounts_apikey_customer_has_organization",
                condition=models.Q(kind="operator", organization__isnull=True)
                | models.Q(kind="customer", organization__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
