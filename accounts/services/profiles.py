"""What people say of themselves: how they are called, in which time zone and language they read, and how they write."""

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from accounts.services.audit import Actor


def change(user: User, *, actor: Actor, **said: str) -> None:
    """Keep what was said: ``name``, ``timezone`` (an IANA name), ``language``, ``number_style``, ``date_style``.

    All but the name may be empty: as of whoever they act for, as their browser asks for, as is usual in the language.
    All of it is about the person: in the trail it lies beside the line.
    """
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        before, changed = audit.differing(row, said)
        if changed:
            User.objects.filter(pk=row.pk).update(**changed)
            audit.record(
                actor=actor,
                action="user.profile_changed",
                object_type="user",
                object_id=str(row.pk),
                before=before,
                after=changed,
            )
    for field, value in said.items():
        setattr(user, field, value)
