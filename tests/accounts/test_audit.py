"""The trail of who changed what."""

import pytest
from django.db import transaction

from accounts.models import AuditEvent, User
from accounts.services import api_keys, audit
from accounts.services.audit import SYSTEM, Actor


def test_a_line_says_who_what_and_from_where(db: None) -> None:
    user = User.objects.create_user("finance@operator.test")
    actor = Actor.of_user(user, ip_address="192.0.2.7", request_id="r1")

    audit.record(actor=actor, action="grant.created", object_type="grant", object_id="g1", after={"amount": "5"})

    line = AuditEvent.objects.get()
    assert (line.actor_kind, line.actor_id, line.actor_label) == ("user", user.pk, "finance@operator.test")
    assert (line.ip_address, line.request_id, line.after, line.before) == ("192.0.2.7", "r1", {"amount": "5"}, None)
    assert str(line) == "grant.created by finance@operator.test"


def test_a_program_is_named_by_its_key(db: None) -> None:
    principal = api_keys.authenticate(api_keys.issue(name="gateway", scopes=["*"])[1])
    assert principal is not None

    actor = Actor.of_key(principal, ip_address=None, request_id="r")

    assert (actor.kind, actor.id, actor.label) == ("api_key", principal.key_id, principal.label)


def test_a_line_comes_and_goes_with_the_change(db: None) -> None:
    def change_and_fail() -> None:
        with transaction.atomic():
            audit.record(actor=SYSTEM, action="x", object_type="x", object_id="x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()

    assert AuditEvent.objects.count() == 0


def test_the_trail_outlives_the_person(db: None) -> None:
    user = User.objects.create_user("gone@operator.test")
    actor = Actor.of_user(user, ip_address=None, request_id="")
    audit.record(actor=actor, action="x", object_type="x", object_id="x")

    user.delete()

    assert AuditEvent.objects.get().actor_label == "gone@operator.test"
