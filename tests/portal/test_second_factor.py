"""The step after the password, and the gate in front of every page."""

import base64
import re
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP

from accounts import second_factor
from accounts.models import Authenticator, User
from accounts.services import factors
from accounts.services.audit import SYSTEM
from tests.builders import Shop, browser_of

PASSWORD = "correct horse battery"


@pytest.fixture
def owner(shop: Shop) -> User:
    return shop.member(shop.customer("acme", usd="10"))


@pytest.fixture
def finance(db: None) -> User:
    return User.objects.create_superuser("finance@ante.test", PASSWORD)


def shown(device: Authenticator) -> str:
    totp = TOTP(base64.b32decode(device.secret))
    totp.time = time.time()
    return f"{totp.token():06d}"


def with_password(user: User, after: str = "") -> tuple[Client, Any]:
    client = Client()
    return client, client.post("/sign-in", {"username": user.email, "password": PASSWORD, "next": after})


def test_who_has_a_factor_is_asked_for_it_and_brought_where_they_wanted(owner: User) -> None:
    device = factors.begin(owner, confirmed=True)
    client, response = with_password(owner, "/usage?group=meter")
    assert response["Location"] == "/usage?group=meter"
    response = client.get(response["Location"])
    assert response["Location"] == "/sign-in/code?next=%2Fusage%3Fgroup%3Dmeter"
    before = client.session.session_key
    assert "Enter the six digits" in client.get(response["Location"]).content.decode()

    response = client.post(response["Location"], {"code": shown(device), "next": "/usage?group=meter"})

    assert response["Location"] == "/usage?group=meter"
    assert client.get(response["Location"]).status_code == 200
    assert client.session.session_key != before


def test_a_password_alone_opens_no_page_of_who_has_a_factor(owner: User) -> None:
    factors.begin(owner, confirmed=True)
    client, _ = with_password(owner)

    for page in ["/", "/usage", "/statement", "/statement.csv", "/security", "/security/authenticator"]:
        assert client.get(page)["Location"].startswith("/sign-in/code?next=")
    for page in ["/balance.json"]:
        refused = client.get(page)
        assert (refused.status_code, refused.json()["code"]) == (403, "two_factor_required")
    refused = client.get("/activity", headers={"hx-request": "true"})
    assert (refused.status_code, refused.json()["code"]) == (403, "two_factor_required")
    assert refused["HX-Redirect"].startswith("/sign-in/code")
    assert client.post("/organization", {"organization": "x"}).status_code == 302


def test_a_wrong_code_is_said_and_many_are_no_longer_looked_at(owner: User) -> None:
    device = factors.begin(owner, confirmed=True)
    client, _ = with_password(owner)
    for _ in range(factors.FREE_FAILURES):
        assert "That is not the code" in client.post("/sign-in/code", {"code": "123456"}).content.decode()

    refused = client.post("/sign-in/code", {"code": shown(device)})

    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= factors.FIRST_DELAY_SECONDS
    assert client.get("/").status_code == 302


def test_who_has_no_factor_sees_their_customer_and_is_led_to_enrol_where_one_is_needed(owner: User) -> None:
    client, _ = with_password(owner)

    assert client.get("/").status_code == 200
    assert client.get("/sign-in/code")["Location"] == "/security/authenticator"


def test_enrolling_shows_recovery_codes_once_and_ends_other_sessions(owner: User) -> None:
    client, _ = with_password(owner)
    elsewhere, _ = with_password(owner)
    page = client.get("/security/authenticator").content.decode()
    device = Authenticator.objects.get(user=owner)
    assert device.secret in page
    assert "<svg" in page
    assert not re.search(r"\sstyle=", page)
    assert "That is not the code" in client.post("/security/authenticator", {"code": "123456"}).content.decode()

    done = client.post("/security/authenticator", {"code": shown(device)})

    codes = re.findall(r"[a-z2-9]{2}(?:-[a-z2-9]{4}){4}", done.content.decode())
    assert len(codes) == factors.RECOVERY_CODES
    assert "no-store" in done["Cache-Control"]
    assert client.get("/").status_code == 200
    assert codes[0] not in client.get("/security").content.decode()
    assert device.secret not in client.get("/security/authenticator").content.decode()
    assert elsewhere.get("/")["Location"].startswith("/sign-in?")
    again, _ = with_password(owner)
    assert again.post("/sign-in/code", {"code": codes[0]})["Location"] == "/"
    assert again.get("/").status_code == 200


def test_staff_reach_nothing_before_they_have_enrolled(finance: User) -> None:
    client, _ = with_password(finance, "/admin/")
    assert client.get("/admin/")["Location"] == "/security/authenticator?next=%2Fadmin%2F"
    assert "a password alone opens nothing here" in client.get("/security/authenticator").content.decode()
    client.post("/security/authenticator", {"code": shown(Authenticator.objects.get()), "next": "/admin/"})
    assert client.get("/admin/").status_code == 200


def test_staff_sign_in_anew_when_idle_or_after_half_a_day(finance: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, passed in (("STAFF_IDLE_SECONDS", "seen_at"), ("STAFF_SECONDS", "signed_in_at")):
        client = browser_of(finance)
        assert client.get("/admin/").status_code == 200
        session = client.session
        session[passed] -= getattr(second_factor, name) + 1
        session.save()

        assert client.get("/admin/?a=1")["Location"] == "/sign-in?next=%2Fadmin%2F%3Fa%3D1"
        assert "_auth_user_id" not in client.session


def test_removing_a_factor_and_new_codes_need_a_fresh_one(owner: User) -> None:
    client = browser_of(owner)
    codes = factors.new_recovery_codes(owner, actor=SYSTEM)
    remove = f"/security/factors/authenticator-{Authenticator.objects.get().pk}/remove"
    session = client.session
    session["second_factor_at"] -= second_factor.FRESH_SECONDS + 1
    session.save()

    for path in (remove, "/security/recovery-codes", "/security/authenticator"):
        assert client.post(path)["Location"].startswith("/sign-in/code?next=")
    assert "Confirm that it is you" in client.get("/sign-in/code").content.decode()
    assert client.post("/sign-in/code", {"code": codes[0], "next": "/security"})["Location"] == "/security"

    assert client.post("/security/factors/authenticator-0/remove").status_code == 404
    assert client.post(remove)["Location"] == "/security"
    assert not factors.enrolled(owner)
    assert client.get("/").status_code == 200


def test_nobody_removes_anothers_factor(owner: User, shop: Shop) -> None:
    other = shop.member(shop.customer("umbrella"), "owner@umbrella.test")
    factors.begin(other, confirmed=True)
    path = f"/security/factors/authenticator-{Authenticator.objects.get(user=other).pk}/remove"

    assert browser_of(owner).post(path).status_code == 404
    assert factors.enrolled(other)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://elsewhere.test/",
        "//elsewhere.test",
        "///elsewhere.test",
        "////elsewhere.test/",
        "http:///elsewhere.test",
        "https:elsewhere.test",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "\\\\elsewhere.test",
        "/\\elsewhere.test",
        "\\/elsewhere.test",
        "/\t/elsewhere.test",
        "\x00//elsewhere.test",
        "\x08//elsewhere.test",
        " //elsewhere.test",
        "http://testserver@elsewhere.test/",
        "http://testserver.elsewhere.test/",
        "elsewhere.test",
        "ftp://testserver/",
        "//testserver:80@elsewhere.test/",
        "http://[::1",
    ],
)
def test_next_leads_nowhere_else(owner: User, elsewhere: str) -> None:
    device = factors.begin(owner, confirmed=True)
    client, response = with_password(owner, elsewhere)
    assert response["Location"] == "/"
    given = client.post("/sign-in/code", {"code": shown(device), "next": elsewhere})
    assert given["Location"] == "/"
    after = client.post("/organization", {"organization": str(owner.organizations.get().pk), "next": elsewhere})
    assert after["Location"] == "/"


def test_the_back_office_leads_no_stranger_away(client: Client, db: None) -> None:
    response = client.get(reverse("admin:login"), {"next": "https://elsewhere.test/"})
    assert response["Location"] == "/sign-in?next=/admin/"
