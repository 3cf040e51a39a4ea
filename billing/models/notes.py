from django.db import models

from accounts.ids import uuid7
from accounts.models import User
from billing.models.customers import Customer


class Note(models.Model):
    """What staff tell each other about a customer. The customer does not see it; it goes with their personal data."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="notes", db_index=False)
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(max_length=2000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["customer", "-id"], name="billing_note_customer")]

    def __str__(self) -> str:
        return f"Note about {self.customer}"
