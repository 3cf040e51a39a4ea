from django.db import models

from accounts.ids import uuid7
from accounts.models.users import User


class Consent(models.Model):
    """That a person agreed to a version of the terms: kept for as long as the person is."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="consents")
    version = models.CharField(max_length=64)
    url = models.CharField("address of the text", max_length=500, blank=True)
    given_at = models.DateTimeField(auto_now_add=True)
    ip_address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ["-given_at"]
        constraints = [models.UniqueConstraint(fields=["user", "version"], name="accounts_consent_once")]

    def __str__(self) -> str:
        return f"{self.user} to {self.version}"
