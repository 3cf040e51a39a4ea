"""What people say of themselves: how they are called, in which time zone and language they read, and how they write."""

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from accounts.services.audit import Actor


def change(user: User, *, actor: Actor, **said: str) -> None:
    """Keep what was said: ``name``, ``timezone`` (an IANA name), ``language``, ``number_style``, ``date_style``.

    All but the name may be empty: as of whoever they act for, as their browser asks for, as is usual in the language.
    The trail says what was changed, not how.
    """
    changed = [field for field, value in said.items() if getattr(user, field) != value]
    if not changed:
        return
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(**said)
        audit.record(
            actor=actor,
            action="user.profile_changed",
            object_type="user",
            object_id=str(user.pk),
            after={"changed": changed},
        )
    for field, value in said.items():
        setattr(user, field, value)
