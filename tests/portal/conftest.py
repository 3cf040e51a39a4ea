"""Pages without hashed file names, a customer, and people who have signed in."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from billing.models import Customer
from tests.builders import Shop


@pytest.fixture(autouse=True)
def _plain(plain_static_files: None, quick_passwords: None) -> None:
    """``plain_static_files`` and ``quick_passwords``, for all of them."""


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """On ``pro``, with $100."""
    return shop.customer("acme", usd="100")


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """A browser in which this person has signed in."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in
