"""The controls of ``tests/canaries.py``: what is planted is found, wherever it was put."""

import logging

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
        outbox.publish([outbox.Message("x", None, {"secret": key})], now=person.created_at)
        session = SessionStore()
        session["seed"] = seed
        session.save()
        found = canaries.in_database()
        transaction.set_rollback(True)

    assert sorted(found) == [
        ("accounts_auditevent", person.email),
        ("accounts_session", seed),
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
