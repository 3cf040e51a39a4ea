"""The database in its owner's role, for tests of what the tables themselves refuse and of what the books find."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, connections, transaction

from tests.builders import Shop


@contextmanager
def owning(blocker: Any) -> Iterator[Shop]:
    """A shop in a transaction of the tables' owner, who may even disable triggers. Everything is rolled back."""
    application = {name: connection.settings_dict[name] for name in ("USER", "PASSWORD")}
    owner = urlsplit(os.environ["DATABASE_OWNER_URL"])
    with blocker.unblock():
        connections.close_all()
        connection.settings_dict |= {"USER": owner.username or "", "PASSWORD": owner.password or ""}
        try:
            with transaction.atomic():
                yield Shop()
                transaction.set_rollback(True)
        finally:
            connections.close_all()
            connection.settings_dict |= application


@pytest.fixture
def owners_shop(django_db_setup: None, django_db_blocker: Any) -> Iterator[Shop]:
    """``owning``, for one test."""
    with owning(django_db_blocker) as shop:
        yield shop
