"""What a session is worth to somebody else: who reads a page or a dump, who was put out, who has the password alone."""

from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection
from django.test import Client

from accounts.models import User
from billing.models import Customer
from tests.builders import Shop, browser_of
from tests.portal.test_people import trusting

PASSWORD, NEW_PASSWORD = "correct horse battery", "another horse battery"


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="10")


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
