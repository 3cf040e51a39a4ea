"""One filled database for all tests of a module: none of their statements changes anything."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from billing.selectors.customer import customers
from tests.billing.models.going_around import fill
from tests.builders import Shop


@pytest.fixture(scope="module")
def filled_once(django_db_setup: None, django_db_blocker: Any) -> Iterator[Shop]:
    with django_db_blocker.unblock():
        try:
            with transaction.atomic():
                customers.forget()
                shop = Shop()
                fill(shop)
                yield shop
                transaction.set_rollback(True)
        finally:
            connections.close_all()


@pytest.fixture
def filled(filled_once: Shop, django_db_blocker: Any) -> Iterator[Shop]:
    """A shop with a row in every table, in the application's role."""
    with django_db_blocker.unblock():
        yield filled_once
