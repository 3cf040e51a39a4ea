"""What stands for all tests of a module: made once, in a transaction around theirs, which are savepoints in it.

Tests find it anew as it was made, whatever the one before did to the rows. They leave Python's objects as they were.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import transaction
from django.test import override_settings

from accounts.services import api_keys
from billing.admin import display
from billing.selectors.catalog import costs
from billing.selectors.customer import customers
from portal import amounts

STANDING = {"everything"}
"""Fixtures that stand for tests which follow each other in a package: they end before a test that does not ask for them
(``tests/conftest.py``), so that nobody meets their rows who has not asked."""
QUICK_PASSWORDS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""They cost next to nothing to hash, and no other process can check them."""


class KeptSettings:
    """What is set on it holds until ``stack`` ends."""

    def __init__(self, stack: ExitStack) -> None:
        self.__dict__["stack"] = stack

    def __setattr__(self, name: str, value: Any) -> None:
        self.stack.enter_context(override_settings(**{name: value}))


@contextmanager
def standing(blocker: Any) -> Iterator[KeptSettings]:
    """The transaction, for ``db``'s role, and settings that hold as long: the tests' usual ones to begin with."""
    with blocker.unblock(), kept_settings() as settings, transaction.atomic():
        yield settings
        transaction.set_rollback(True)


@contextmanager
def kept_settings() -> Iterator[KeptSettings]:
    """Settings for longer than one test: without default alerts, as they are for each. Nothing is remembered."""
    forget()
    with ExitStack() as stack:
        settings = KeptSettings(stack)
        settings.DEFAULT_ALERTS = {}
        yield settings


@contextmanager
def undone() -> Iterator[None]:
    """A savepoint that is rolled back, for tests that do not ask for ``db``."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def forget() -> None:
    """What the process remembers of rows that are no more."""
    amounts.forget()
    api_keys.forget()
    costs.forget()
    customers.forget()
    display.forget()
