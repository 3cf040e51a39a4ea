"""Pages without hashed file names, and people who have signed in."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from portal import amounts


@pytest.fixture(autouse=True)
def _plain(plain_static_files: None) -> None:
    """``plain_static_files``, for all of them."""


@pytest.fixture(autouse=True)
def _assets_are_looked_up_anew() -> None:
    amounts.forget()


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """A browser in which this person has signed in."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in
