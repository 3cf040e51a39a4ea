"""What people say of themselves: how they are called, and in which time zone they read."""

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from accounts.services.audit import Actor


def change(user: User, *, name: str, timezone: str, actor: Actor) -> None:
    """Keep both. ``timezone`` is an IANA name, or empty: that of whoever they act for. The trail says what, not how."""
    changed = [field for field, value in (("name", name), ("timezone", timezone)) if getattr(user, field) != value]
    if not changed:
        return
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(name=name, timezone=timezone)
        audit.record(
            actor=actor,
            action="user.profile_changed",
            object_type="user",
            object_id=str(user.pk),
            after={"changed": changed},
        )
    user.name, user.timezone = name, timezone
