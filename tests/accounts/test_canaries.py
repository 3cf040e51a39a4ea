"""The controls of ``tests/canaries.py``: what is planted is found, wherever it was put."""

import logging

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from redis import Redis

from accounts.models import User
from accounts.services import api_keys, audit, factors
from accounts.sessions import SessionStore
from billing.gateways import wakeups
from billing.services import outbox
from tests import canaries

PASSWORD = "correct horse battery"
CARD = "5555 5555 5555 4444"


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("4242424242424242", True),
        ("paid with 5555 5555-5555 4444.", True),
        ("'378282246310005'", True),
        ("4242424242424241", False),
        ("0.4242424242424242", False),
        ("4242424242424242.5", False),
        ("x4242424242424242", False),
        ("42424242-4242-4242-9242-424242424242", False),
    ],
)
def test_numbers_of_cards_are_told_from_others(text: str, card: bool) -> None:
    assert bool(canaries.cards_in(text)) is card
    assert bool(canaries.found_in(text)) is card


def test_in_the_log(leaks: canaries.Logged) -> None:
    logging.getLogger("planted").warning("%s signed in", PASSWORD)
    assert leaks.taken() == [PASSWORD]

    logging.getLogger("planted").warning("%s signed in with sk_live_%s", "owner@acme.test", "x" * 43)
    assert leaks.taken() == []


def test_in_the_database(db: None) -> None:
    assert canaries.in_database() == []
    person = User.objects.create_user("owner@acme.test", PASSWORD)
    seed, (_, key) = factors.begin(person, confirmed=True).secret, api_keys.issue(name="x", scopes=["*"])
    assert canaries.in_database() == []

    with transaction.atomic():
        audit.record(actor=audit.SYSTEM, action="x", object_type="x", object_id="x", after={"e-mail": person.email})
        outbox.publish([outbox.Message("x", None, {"secret": key, "at": 0.4, "card": CARD})], now=person.created_at)
        session = SessionStore()
        session["seed"] = seed
        session.save()
        found = canaries.in_database()
        transaction.set_rollback(True)

    assert sorted(found) == [
        ("accounts_auditevent", person.email),
        ("accounts_session", seed),
        ("billing_outboxevent", CARD),
        ("billing_outboxevent", key),
    ]


def test_in_the_cache_and_the_queue() -> None:
    url = settings.REDIS_URL
    cache.set("planted", [PASSWORD])
    wakeups._sender(url).send_task("planted", args=["owner@acme.test"], queue="planted", ignore_result=True)
    try:
        assert {canary for _, canary in canaries.in_redis(url)} >= {PASSWORD, "owner@acme.test"}
    finally:
        cache.delete("planted")
        Redis.from_url(url).delete("planted")
    assert canaries.in_redis(url) == []
