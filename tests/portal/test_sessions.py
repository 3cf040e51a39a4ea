"""What a session is worth to somebody else: who reads a page or a dump, who was put out, who has the password alone."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.contrib.auth.forms import PasswordChangeForm
from django.db import connection
from django.test import Client

from accounts import second_factor
from accounts.models import AuditEvent, Authenticator, Membership, OutgoingMail, Session, User
from accounts.services import factors, staff
from accounts.services.audit import SYSTEM
from billing.models import Customer
from portal import live, urls
from portal.pages import team
from tests.builders import Shop, browser_of
from tests.portal.test_people import trusting
from tests.portal.test_second_factor import shown

PASSWORD, NEW_PASSWORD = "correct horse battery", "another horse battery"


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> User:
    return shop.member(acme)


def cookie_of(client: Client) -> str:
    return client.cookies[configured.SESSION_COOKIE_NAME].value


def is_out(client: Client) -> bool:
    return str(client.get("/").get("Location", "")).startswith("/sign-in?")


def test_neither_the_page_nor_the_table_holds_what_opens_a_session(owner: User) -> None:
    laptop = trusting(owner)
    phone = browser_of(owner)
    page = laptop.get("/security")

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(s::text, ' ') FROM accounts_session s")
        dump = cursor.fetchone()[0]

    for cookie in map(cookie_of, (laptop, phone)):
        assert cookie not in page.content.decode()
        assert cookie not in dump
    named = [
        one.session_key for one in page.context["sessions"].rows if one.session_key != page.context["this_session"]
    ]
    assert f'name="session" value="{named[0]}"' in page.content.decode()
    for name in named:
        thief = Client()
        thief.cookies[configured.SESSION_COOKIE_NAME] = name
        assert thief.get("/").status_code == 302


def reset_by_mail(user: User) -> None:
    user = User.objects.get(pk=user.pk)
    user.set_password(NEW_PASSWORD)
    user.save()
    factors.end_sessions(user)


def factor_added(user: User) -> None:
    factors.end_sessions(User.objects.get(pk=user.pk))


def ended_by_hand(user: User) -> None:
    Session.objects.filter(user_id=user.pk).delete()


def nothing(user: User) -> None:
    """The control."""


@pytest.mark.parametrize("meanwhile", [reset_by_mail, factor_added, ended_by_hand, nothing])
@pytest.mark.parametrize("whose", ["theirs", "another's"])
def test_what_ended_a_session_holds_against_a_request_of_it_that_is_under_way(
    shop: Shop,
    acme: Customer,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[User], None],
    whose: str,
) -> None:
    shop.member(acme, "boss@acme.test")
    other = shop.member(acme, "v@acme.test", "viewer")
    thief = browser_of(owner)
    member = (owner if whose == "theirs" else other).memberships.get()
    usual = team._member

    def found(*asked: Any) -> Membership:
        meanwhile(owner)
        return usual(*asked)

    monkeypatch.setattr(team, "_member", found)
    thief.post(f"/team/{member.pk}/role", {"role": "admin"})

    assert is_out(thief) == (meanwhile is not nothing)
    member.refresh_from_db()
    assert (member.role == "admin") == (meanwhile is nothing or whose == "another's")


@pytest.mark.parametrize("asked", ["code", "password"])
def test_nor_does_a_code_or_a_password_bring_it_back(owner: User, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    thief = browser_of(owner)
    if asked == "code":
        service, name, meanwhile = factors, "check", ended_by_hand
        path, body = "/sign-in/code", {"code": factors.new_recovery_codes(owner, actor=SYSTEM)[0]}
    else:
        service, name, meanwhile = PasswordChangeForm, "clean_old_password", reset_by_mail
        path, body = "/security/password", set_password("a thief's own phrase")
    usual = getattr(service, name)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        done = usual(*args, **kwargs)
        meanwhile(owner)
        return done

    monkeypatch.setattr(service, name, interrupted)
    assert thief.post(path, body).status_code == 400

    assert is_out(thief)
    assert asked == "code" or User.objects.get(pk=owner.pk).check_password(NEW_PASSWORD)


def set_password(new: str, old: str = PASSWORD) -> dict[str, str]:
    return {"old_password": old, "new_password1": new, "new_password2": new}


def test_each_session_is_shown_a_secret_of_its_own_to_enrol(owner: User) -> None:
    thief, mine = Client(), Client()
    for client in (thief, mine):
        client.force_login(owner)
    seen = [client.get("/security/authenticator").context["secret"] for client in (thief, mine, mine)]
    assert seen[0] != seen[1] == seen[2]
    theirs = Authenticator.objects.get(user=owner, pk=min(Authenticator.objects.values_list("pk", flat=True)))

    assert mine.post("/security/authenticator", {"code": shown(theirs)}).status_code == 200

    assert not factors.enrolled(owner)
    own = next(each for each in Authenticator.objects.filter(user=owner) if each.secret == seen[1])
    mine.post("/security/authenticator", {"code": shown(own)})
    assert [(each.secret, each.confirmed, each.name) for each in Authenticator.objects.filter(user=owner)] == [
        (seen[1], True, "Authenticator app")
    ]


def test_staff_change_their_password_where_everybody_does(db: None) -> None:
    finance = User.objects.create_superuser("finance@ante.test", PASSWORD)
    office = browser_of(finance)

    response = office.post("/admin/password_change/", set_password(NEW_PASSWORD))

    assert response["Location"] == "/security/password"
    assert User.objects.get(pk=finance.pk).check_password(PASSWORD)
    office.post("/security/password", set_password(NEW_PASSWORD))
    assert User.objects.get(pk=finance.pk).check_password(NEW_PASSWORD)
    assert AuditEvent.objects.get(action="user.password_set").actor_id == finance.pk
    assert OutgoingMail.objects.get().recipient == finance.email


def test_old_passwords_are_guessed_as_seldom_as_at_the_door(owner: User) -> None:
    client = Client()
    client.force_login(owner)
    right_but_not_the_new_ones = set_password(NEW_PASSWORD) | {"new_password2": "x"}
    answers = [client.post("/security/password", right_but_not_the_new_ones).status_code for _ in range(12)]
    assert set(answers) == {400}, "the control: who knows the password may go on trying"
    answers = [client.post("/security/password", set_password(NEW_PASSWORD, f"{n}")).status_code for n in range(10)]
    assert set(answers) == {400}

    refused = client.post("/security/password", set_password(NEW_PASSWORD))

    assert (refused.status_code, refused["Retry-After"]) == (429, "900")
    assert "Too many failed attempts" in refused.content.decode()
    assert User.objects.get(pk=owner.pk).check_password(PASSWORD)


LOOKS = {"choose-organization", "read-inbox"}
"""What a trusted browser may send."""
SAMPLES = {"uuid": str(uuid4()), "str": "x"}
REGULAR = {"auto-switch": "/auto-top-up/scheduled/on"}


def test_a_trusted_browser_sends_nothing_but_what_only_looks(owner: User) -> None:
    laptop, heard = trusting(owner), set()
    for pattern in urls.urlpatterns:
        if getattr(pattern.callback, "gate", "") == "open":
            continue
        sample = re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES[found[1] or "str"], str(pattern.pattern))
        answer = laptop.post(REGULAR.get(pattern.name, f"/{sample}"))
        leads = str(answer.get("Location", "")).startswith("/sign-in/code")
        if not leads and b"two_factor_required" not in answer.content:
            heard.add(pattern.name)

    assert heard == LOOKS
    assert laptop.get("/").status_code == 200


def asks_for_consent(session: Any, settings: Any) -> None:
    settings.TERMS_VERSION = "2"


def elsewhere(session: Any, settings: Any) -> None:
    settings.STAFF_NETWORKS = ["192.0.2.0/24"]


def idle(session: Any, settings: Any) -> None:
    session["seen_at"] -= second_factor.STAFF_IDLE_SECONDS + 1


def half_a_day(session: Any, settings: Any) -> None:
    session["signed_in_at"] -= second_factor.STAFF_SECONDS + 1


def by_password(session: Any, settings: Any) -> None:
    settings.STAFF_SSO_REQUIRED = True


@pytest.mark.parametrize("change", [asks_for_consent, elsewhere, idle, half_a_day, by_password])
def test_a_stream_opens_where_a_page_would(
    acme: Customer, owner: User, settings: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any, Any], None]
) -> None:
    monkeypatch.setattr(live, "close_old_connections", lambda: None)
    staff.make_groups()
    staff.join(owner, staff.SUPPORT)
    client = browser_of(User.objects.get(pk=owner.pk))
    visitor = live.Visitor(f"{configured.SESSION_COOKIE_NAME}={cookie_of(client)}", "203.0.113.9")
    assert live._reader(visitor) is not None

    session = client.session
    change(session, settings)
    session.save()

    assert live._reader(visitor) is None
    assert client.get("/", REMOTE_ADDR="203.0.113.9").status_code != 200, "nor does a page"
