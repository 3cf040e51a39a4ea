"""A back office with one row of everything, and people who may enter it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import Customer
from tests.billing.admin.everything import furnish
from tests.builders import Shop, browser_of
from tests.payments import Bank, standing_in
from tests.standing import QUICK_PASSWORDS, standing


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask for ``everything`` follow each other: it is made once for as many of them as run in a row."""
    here = Path(__file__).parent
    places = [place for place, item in enumerate(items) if here in item.path.parents]
    ours = sorted((items[place] for place in places), key=lambda item: "everything" not in item.fixturenames)  # type: ignore[attr-defined]
    for place, item in zip(places, ours, strict=True):
        items[place] = item


@pytest.fixture(autouse=True)
def _plain(plain_static_files: None, quick_passwords: None) -> None:
    """``plain_static_files`` and ``quick_passwords``, for all of them."""


@pytest.fixture
def finance(db: None) -> User:
    return User.objects.create_superuser("finance@ante.test", "correct horse battery")


@pytest.fixture
def office(finance: User) -> Client:
    """A browser in which a superuser has signed in."""
    return browser_of(finance)


@pytest.fixture(scope="package")
def everything(django_db_setup: None, django_db_blocker: Any) -> Iterator[Bank]:
    """A row of everything, and the payment provider that knows of it. Until a test does not ask for it."""
    with standing(django_db_blocker) as settings, standing_in(settings) as bank:
        settings.PASSWORD_HASHERS = QUICK_PASSWORDS
        furnish(Shop(), bank)
        yield bank


@pytest.fixture
def acme(everything: Bank, db: None) -> Iterator[Customer]:
    """The customer of it. What the test does to it, and at the provider, is undone."""
    with everything.undone():
        yield Customer.objects.get(external_id="acme")
