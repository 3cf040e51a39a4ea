"""The trail of the back office as a file: what the list finds, all of it, and a line about who took it."""

import csv
import io
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils.html import escape

from accounts import second_factor, steps
from accounts.models import AuditEvent, User
from accounts.services import audit, staff
from tests.builders import browser_of

LIST = "/admin/accounts/auditevent/"
FILE = f"{LIST}export/"


def rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))


@pytest.fixture
def auditor(db: None) -> Client:
    """Of the group that only looks, and seven lines by a key whose name is a formula, with one by the system."""
    person = User.objects.create_user("auditor@ante.test")
    staff.join(person, staff.AUDITOR)
    key = audit.Actor.of_key(uuid4(), "=1+1", ip_address="203.0.113.9", request_id="r-7")
    about = {"object_type": "customer", "organization_id": uuid4()}
    for number in range(7):
        after = {"name": "-2", "number": number}
        audit.record(actor=key, action="test.done", object_id=f"@{number}", after=after, **about)
    audit.record(actor=audit.SYSTEM, action="test.done", object_id="other", **about)
    return browser_of(person)


def test_all_that_is_found_is_taken_along_in_steps(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEP", 3)
    asked = "?q=test.done&actor_kind__exact=api_key"
    page = auditor.get(f"{LIST}{asked}&p=1")
    assert page.context["cl"].result_count == 7
    assert escape(f"{FILE}{asked}").replace("&amp;", "&") in page.content.decode().replace("&amp;", "&")

    found = rows(auditor.get(f"{FILE}{asked}"))

    lines = AuditEvent.objects.filter(action="test.done", actor_kind="api_key").order_by("-id")
    assert [row["id"] for row in found] == [str(line.pk) for line in lines]
    assert found[0] == {
        "id": str(lines[0].pk),
        "time": lines[0].created_at.isoformat(timespec="milliseconds"),
        "action": "test.done",
        "actor": "'=1+1",
        "actor_kind": "api_key",
        "actor_id": str(lines[0].actor_id),
        "object_type": "customer",
        "object_id": "'@6",
        "before": "",
        "after": '{"number": 6, "name": "-2"}',
        "organization_id": str(lines[0].organization_id),
        "ip_address": "203.0.113.9",
        "request_id": "r-7",
    }


def test_who_took_it_is_in_the_trail_without_the_words_that_were_looked_for(auditor: Client) -> None:
    whole = rows(auditor.get(FILE))
    assert len(whole) == AuditEvent.objects.exclude(action="trail.exported").count()
    assert rows(auditor.get(f"{FILE}?q=somebody@acme.test")) == []

    second, first = AuditEvent.objects.filter(action="trail.exported")
    assert (first.actor_label, first.after) == ("auditor@ante.test", {"narrowed_by": []})
    assert second.after == {"narrowed_by": ["q"]}


def test_it_is_for_who_may_see_it_with_a_fresh_factor(auditor: Client) -> None:
    assert auditor.get(f"{FILE}?nonsense=somebody@acme.test")["Location"] == LIST
    assert auditor.post(FILE).status_code == 405
    session = auditor.session
    session["second_factor_at"] -= second_factor.FRESH_SECONDS + 1
    session.save()
    assert auditor.get(FILE)["Location"].startswith("/sign-in/code")
    nobody = User.objects.create_user("nobody@ante.test", is_staff=True)
    assert browser_of(nobody).get(FILE).status_code == 403
    assert not AuditEvent.objects.filter(action="trail.exported").exists()
