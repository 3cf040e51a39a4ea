"""What staff tell each other about a customer."""

from django.db import transaction

from accounts.services import audit
from billing.errors import InvalidRequest
from billing.models import Customer, Note


def add(*, actor: audit.Actor, customer: Customer, text: str) -> Note:
    """Keep a note of a person of the staff. What it says is not in the trail, which could not forget it."""
    assert actor.id is not None
    if not text.strip():
        raise InvalidRequest.field("text", "must not be empty")
    with transaction.atomic():
        note = Note.objects.create(customer=customer, author_id=actor.id, text=text.strip())
        audit.record(actor=actor, action="note.added", object_type="customer", object_id=customer.external_id)
    return note
