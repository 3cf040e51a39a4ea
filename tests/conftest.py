"""The database of the tests: a real PostgreSQL, migrated by its owner and used in the application's role.

``db`` runs a test in a transaction that is rolled back. ``committed_db`` really commits, for tests with threads,
processes or a browser, and empties the tables afterwards. After either, the books are checked, and what was left in
places where no secret belongs (``tests/canaries.py``): a test that leaves them wrong fails, whatever it asserted.
"""

import json
import logging
import os
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from django.test.utils import setup_databases
from psycopg import sql

from accounts import downloads
from accounts.logs import ScrubbingFormatter
from accounts.services import attempts
from billing.api import pace
from tests import books, canaries
from tests.builders import Shop
from tests.payments import Bank, Payer, standing_in
from tests.receiver import Receiver, receiving
from tests.standing import QUICK_PASSWORDS, STANDING, forget

KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission", "billing_asset"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Function, nextitem: pytest.Function | None) -> Iterator[None]:
    """What stands ends before a test that does not ask for it: none meets others' rows or an open transaction."""
    yield
    for name in STANDING.intersection(item.fixturenames):
        if nextitem is None or name not in nextitem.fixturenames:
            item._fixtureinfo.name2fixturedefs[name][-1].finish(item._request)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    """Create and migrate the database as its owner, then connect in the application's role."""
    application = dict(settings.DATABASES["default"])
    owner = urlsplit(os.environ["DATABASE_OWNER_URL"])
    with django_db_blocker.unblock():
        _sign_in(owner.username, owner.password)
        setup_databases(verbosity=0, interactive=False)
        _sign_in(application["USER"], application["PASSWORD"])
    # It goes with the server that was made for this run, whoever is still connected.


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """A database in which commits are real."""
    with django_db_blocker.unblock():
        yield
        try:
            if "corrupts_books" not in request.keywords:
                books.check()
        finally:
            connections.close_all()
            _empty_tables()


@pytest.fixture(autouse=True)
def _books_are_right(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test that used the database the books must be right."""
    forget()
    names = set(request.fixturenames)
    # The shop asks for the database by itself, which is not among the names yet; what commits checks for itself.
    asks = names & {"db", "shop"} or "django_db" in request.keywords
    if not asks or "committed_db" in names:
        yield
        return
    request.getfixturevalue("db")
    yield
    if "corrupts_books" not in request.keywords and not connection.needs_rollback:
        books.check()


@pytest.fixture(scope="session")
def _watched(django_test_environment: None) -> Iterator[canaries.Logged]:
    """What looks at the log of each test; after the last one the cache and the queue are searched as well."""
    url, logged = settings.REDIS_URL, canaries.Logged()
    yield logged
    logging.getLogger().removeHandler(logged)
    assert canaries.in_redis(url) == []


@pytest.fixture(autouse=True)
def leaks(_watched: canaries.Logged) -> Iterator[canaries.Logged]:
    """Nothing was logged that no log may say."""
    logging.getLogger().addHandler(_watched)  # Each time: whatever sets Django up anew takes all handlers away.
    yield _watched
    assert _watched.taken() == []


@pytest.fixture
def log() -> Iterator[list[dict[str, str]]]:
    """What is logged from now on, as the settings have it written: the fields of each line."""
    lines: list[dict[str, str]] = []
    handler = logging.StreamHandler(SimpleNamespace(write=lambda text: lines.append(json.loads(text)), flush=bool))
    handler.setFormatter(ScrubbingFormatter())
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


@pytest.fixture(autouse=True)
def _nothing_was_tried_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache outlives a test, and so does the process; their counters do not concern the next."""
    monkeypatch.setattr(attempts, "PREFIX", f"test:{uuid4()}")
    attempts.local.clear()
    pace.buckets.clear()
    downloads.under_way.clear()


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Shop:
    """A catalog and builders of customers, in whichever database the test uses."""
    if "committed_db" not in request.fixturenames:
        request.getfixturevalue("db")
    return Shop()


@pytest.fixture
def bank(settings: Any) -> Iterator[Bank]:
    """A payment provider: see ``tests/payments.py``."""
    with standing_in(settings) as found:
        yield found


@pytest.fixture
def payer(shop: Shop, bank: Bank) -> Payer:
    """Acme, which wants to pay."""
    return Payer(shop, bank)


@pytest.fixture(autouse=True)
def _no_default_alerts(settings: Any) -> None:
    """Tests say which alerts there are; of the default ones tell ``tests/billing/services/alerts/test_defaults.py``."""
    settings.DEFAULT_ALERTS = {}


@pytest.fixture
def plain_static_files(settings: Any) -> None:
    """Pages name their static files as they are: nobody has gathered them."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }


@pytest.fixture
def quick_passwords(settings: Any) -> None:
    """Passwords cost next to nothing to hash, and no other process can check them."""
    settings.PASSWORD_HASHERS = QUICK_PASSWORDS


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who is told by webhook: see ``tests/receiver.py``."""
    with receiving() as found:
        yield found


def _sign_in(user: str | None, password: str | None) -> None:
    connections.close_all()
    connection.settings_dict["USER"] = user or ""
    connection.settings_dict["PASSWORD"] = password or ""


def _empty_tables() -> None:
    """As the owner, past the guards. Most tables are empty: to delete few rows is quicker than to truncate all."""
    raw = _owners_connection()
    for (table,) in raw.execute("EXECUTE filled").fetchall():
        raw.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    raw.execute("DELETE FROM billing_asset WHERE code NOT IN ('usd', 'eur')")


@cache
def _owners_connection() -> psycopg.Connection[Any]:
    """One for all tests, with a prepared statement that names the tables in which there is something."""
    parameters = connection.get_connection_params()
    owner = urlsplit(os.environ["DATABASE_OWNER_URL"])
    raw = psycopg.connect(
        host=parameters.get("host"),
        port=parameters.get("port"),
        dbname=parameters["dbname"],
        user=owner.username,
        password=owner.password,
        autocommit=True,
    )
    raw.execute("SET session_replication_role = replica")  # Neither triggers nor foreign keys.
    tables = [
        row[0]
        for row in raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        if row[0] not in KEPT_TABLES
    ]
    filled = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(table), sql.Identifier(table))
        for table in tables
    )
    raw.execute(sql.SQL("PREPARE filled AS {}").format(filled))
    return raw
