"""Without Redis or a cache nothing is let through that could not be paid for."""

from typing import Any

import pytest
from django.core.cache import caches

from accounts.models import ApiKey
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _nothing_listens(settings: Any) -> None:
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.REDIS_URL = settings.CELERY_BROKER_URL = NOWHERE
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": NOWHERE}}
    with pytest.raises(Exception, match="refused"):
        caches["default"].get("x")


def test_what_suffices_is_authorized_and_what_does_not_is_refused(api: Api, shop: Shop) -> None:
    shop.customer("acme", usd="10")
    body = {"customer": "acme", "asset": "usd", "amount": "6"}

    assert api.post("/authorizations", body).status_code == 201
    problem(api.post("/authorizations", body), 402, "insufficient_funds")


def test_usage_is_charged_and_refused_as_always(api: Api, shop: Shop) -> None:
    shop.customer("acme", usd="0.008")

    assert api.post("/events", cloud_event()).status_code == 201
    problem(api.post("/events", cloud_event("two")), 402, "insufficient_funds")


def test_a_key_that_was_revoked_stays_out(shop: Shop) -> None:
    shop.customer("acme")
    secret = shop.key()
    assert Api(secret).get("/customers/acme/wallet").status_code == 200

    api_keys.revoke(ApiKey.objects.get(), actor=SYSTEM)
    api_keys.forget()

    problem(Api(secret).get("/customers/acme/wallet"), 401, "unauthenticated")
