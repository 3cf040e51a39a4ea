"""``/healthz`` and ``/readyz``."""

import pytest
from django.core.cache import cache
from django.test import Client

from billing.api import health
from billing.services import heartbeat


def test_a_process_that_answers_is_alive() -> None:
    response = Client().get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_it_is_ready_when_everything_is_there(db: None) -> None:
    heartbeat.beat()

    response = Client().get("/readyz")

    assert response.status_code == 200, response.content
    assert response.json() == {
        "status": "ok",
        "checks": dict.fromkeys(["database", "migrations", "cache", "broker", "workers"], "ok"),
    }


def test_it_is_not_ready_without_workers(db: None) -> None:
    cache.delete("worker-seen")

    response = Client().get("/readyz")

    assert response.status_code == 503
    assert response.json()["checks"]["workers"] == "no worker has reported"


def test_it_says_what_is_missing_and_no_more(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise ConnectionError("redis://:hunter2@10.0.0.1")

    monkeypatch.setattr(health, "_cache", gone)

    response = Client().get("/readyz")

    assert response.status_code == 503
    assert response.json()["checks"]["cache"] == "unreachable"
    assert b"hunter2" not in response.content


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_asked(path: str) -> None:
    assert Client().post(path).status_code == 405
