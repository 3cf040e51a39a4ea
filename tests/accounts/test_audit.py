"""The trail of who changed what."""

from uuid import UUID, uuid4

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


def test_what_is_written_of_an_organization_in_words_can_be_forgotten(db: None) -> None:
    words = {"reason": "Ann called", "note": "Ann", "reference": "Ann 7", "amount": "5"}
    for organization in (uuid4(), None):
        audit.record(
            actor=SYSTEM, action="x", object_type="x", object_id="x", organization_id=organization, after=words
        )

    nobodys, theirs = AuditEvent.objects.order_by("-id")
    assert theirs.after == nobodys.after == nobodys.sealed_after == words
    assert theirs.sealed_after == {"amount": "5"}


def test_a_program_is_named_by_its_key(db: None) -> None:
    principal = api_keys.authenticate(api_keys.issue(name="gateway", scopes=["*"])[1])
    assert principal is not None

    actor = Actor.of_key(principal.key_id, principal.label, ip_address=None, request_id="r")

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


def test_people_are_found_by_name_however_much_another_did(db: None) -> None:
    def acted(label: str, times: int = 1) -> UUID:
        actor = Actor(AuditEvent.Actor.USER, uuid4(), label)
        for _ in range(times):
            audit.record(actor=actor, action="x", object_type="x", object_id="x")
        return actor.id or uuid4()

    busy, quiet = acted("ann@gone.test", 5), acted("anton@gone.test")
    acted("Ann@gone.test"), acted("amy@gone.test"), acted("bob@gone.test")
    now = User.objects.create_user("anna@here.test")
    key, _ = api_keys.issue(name="answers", scopes=["*"])
    busy_key, _ = api_keys.issue(name="an", scopes=["*"])

    assert audit.actors_called("an", most=3) == {busy, quiet, now.pk, key.pk, busy_key.pk}
    assert audit.actors_called("ann@", most=3) == {busy}
    assert audit.actors_called("an", most=1) > {busy, now.pk}
    assert audit.actors_called("%", most=3) == set()
