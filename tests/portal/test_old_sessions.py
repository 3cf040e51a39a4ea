"""Sessions from before: of whatever a person or somebody else changes about an account, none lives on."""

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as configured
from django.test import Client
from django_otp.oath import TOTP

from accounts.models import Membership, User
from accounts.services import factors, team
from accounts.services.audit import SYSTEM
from billing.services.customer import privacy
from tests.builders import Shop, browser_of

PASSWORD = "correct horse battery"


def by_the_owner(person: User) -> dict[str, Any]:
    return {"by": Membership.objects.get(organization=person.organizations.get(), role="owner"), "actor": SYSTEM}


def another_password(person: User) -> None:
    person.set_password("another-long-phrase-1")
    person.save()


def another_factor(person: User) -> None:
    pending = factors.begin(person)
    totp = TOTP(base64.b32decode(pending.secret))
    totp.time = time.time()
    factors.confirm(person, f"{totp.token():06d}", actor=SYSTEM, pending=pending.pk)


ENDINGS: dict[str, Callable[[User], object]] = {
    "another password": another_password,
    "another factor": another_factor,
    "a factor less": lambda person: factors.remove(factors.of(person)[0], actor=SYSTEM),
    "factors reset": lambda person: factors.reset(person, actor=SYSTEM),
    "another role": lambda person: team.change_role(person.memberships.get(), "viewer", **by_the_owner(person)),
    "removed": lambda person: team.remove(person.memberships.get(), **by_the_owner(person)),
    "switched off": lambda person: User.objects.filter(pk=person.pk).update(is_active=False),
    "erased": lambda person: privacy.erase_person(actor=SYSTEM, user=person),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_session_lives_on(shop: Shop, ending: str) -> None:
    acme = shop.customer("acme", plan=None)
    shop.member(acme)
    person = shop.member(acme, "admin@acme.test", "admin")
    others = [browser_of(person), browser_of(person)]
    stays = browser_of(shop.member(acme, "stays@acme.test", "admin"))

    ENDINGS[ending](User.objects.get(pk=person.pk))

    for other in others:
        assert other.get("/")["Location"].startswith("/sign-in?")
    assert stays.get("/").status_code == 200


def test_a_cookie_that_somebody_else_knows_opens_nothing(shop: Shop) -> None:
    """Who is given a session before they sign in has another one afterwards, and after the second factor a third."""
    person = shop.member(shop.customer("acme", plan=None))
    codes = factors.new_recovery_codes(person, actor=SYSTEM) if factors.begin(person, confirmed=True) else []
    planted = Client()
    session = planted.session
    session["planted"] = "1"
    session.save()
    keys = [session.session_key]
    victim = Client()
    victim.cookies[configured.SESSION_COOKIE_NAME] = keys[0]

    for path, body in (
        ("/sign-in", {"username": person.email, "password": PASSWORD}),
        ("/sign-in/code", {"code": codes[0]}),
    ):
        assert victim.post(path, body).status_code == 302
        keys.append(victim.session.session_key)

    assert len(set(keys)) == 3
    assert victim.get("/").status_code == 200
    for key in keys[:2]:
        thief = Client()
        thief.cookies[configured.SESSION_COOKIE_NAME] = key
        assert thief.get("/").status_code == 302
