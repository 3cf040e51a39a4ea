"""Signing in and out."""

from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client

from accounts import demo
from tests.builders import Shop

PASSWORD = "correct horse battery"


def test_e_mail_and_password_lead_to_the_overview(shop: Shop, client: Client) -> None:
    shop.member(shop.customer("acme", usd="10"), "owner@acme.test")
    response = client.post("/sign-in", {"username": "Owner@Acme.test", "password": PASSWORD}, follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert "$10" in response.content.decode()


def test_a_wrong_password_and_an_unknown_address_are_told_alike(shop: Shop, client: Client) -> None:
    shop.member(shop.customer("acme"), "owner@acme.test")
    for username in ["owner@acme.test", "nobody@acme.test"]:
        response = client.post("/sign-in", {"username": username, "password": "wrong"})
        assert response.status_code == 200
        assert "That e-mail and password do not match" in response.content.decode()
        assert "_auth_user_id" not in client.session


def test_an_unknown_address_takes_as_much_work_as_a_known_one(
    shop: Shop, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted and not timed: how often a password is hashed is what takes the time."""
    shop.member(shop.customer("acme"), "owner@acme.test")
    encode, hashed = MD5PasswordHasher.encode, []

    def counted(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    work = []
    for username in ["owner@acme.test", "nobody@acme.test"]:
        hashed.clear()
        client.post("/sign-in", {"username": username, "password": "wrong"})
        work.append(len(hashed))

    assert work == [1, 1]


def test_after_signing_in_one_is_where_one_wanted_to_go(shop: Shop, client: Client) -> None:
    shop.member(shop.customer("acme"), "owner@acme.test")
    body = {"username": "owner@acme.test", "password": PASSWORD, "next": "/usage?group=meter"}
    assert client.post("/sign-in", body)["Location"] == "/usage?group=meter"


def test_next_leads_to_no_other_site(shop: Shop, client: Client) -> None:
    shop.member(shop.customer("acme"), "owner@acme.test")
    for elsewhere in ["https://elsewhere.test/", "//elsewhere.test", "javascript:alert(1)", "http:///elsewhere.test"]:
        body = {"username": "owner@acme.test", "password": PASSWORD, "next": elsewhere}
        assert Client().post("/sign-in", body)["Location"] == "/"


def test_signing_out_is_a_post(shop: Shop, client: Client) -> None:
    client.force_login(shop.member(shop.customer("acme")))
    assert client.get("/sign-out").status_code == 405
    assert client.get("/").status_code == 200
    assert client.post("/sign-out")["Location"] == "/sign-in"
    assert client.get("/").status_code == 302


def test_a_form_from_elsewhere_signs_nobody_in(shop: Shop) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/sign-in", {"username": "owner@acme.test", "password": PASSWORD}).status_code == 403


def test_the_password_of_the_demonstration_opens_nothing_elsewhere(shop: Shop, client: Client, settings: Any) -> None:
    person = shop.member(shop.customer("acme"))
    person.set_password(demo.DEMO_PASSWORD)
    person.save()
    body = {"username": person.email, "password": demo.DEMO_PASSWORD}

    settings.DEMO = False
    answer = client.post("/sign-in", body)
    assert (answer.status_code, "do not match" in answer.content.decode()) == (200, True)
    settings.DEMO = True
    assert client.post("/sign-in", body).status_code == 302


def test_only_a_demonstration_shows_its_sign_ins(shop: Shop, client: Client, settings: Any) -> None:
    settings.DEMO = True
    assert "ante-demo-2026" in client.get("/sign-in").content.decode()
    settings.DEMO = False
    page = client.get("/sign-in").content.decode()
    assert "ante-demo-2026" not in page
    assert "acme.test" not in page
