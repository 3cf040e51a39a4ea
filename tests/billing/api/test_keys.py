"""Whose key is it?"""

from collections.abc import Callable
from typing import Any

from accounts.models import ApiKey
from accounts.services import api_keys
from billing.models import UsageEvent
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop


def test_a_customer_s_key_names_the_customer(shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    acme = shop.customer("acme")
    shop.customer("globex")

    found = as_key(shop.key("events:write", organization=acme.organization)).get("/key")

    assert found.status_code == 200
    key_id = str(ApiKey.objects.get(organization=acme.organization).pk)
    assert found.json() == {"id": key_id, "customer": "acme", "mode": "live", "scopes": ["events:write"]}


def test_an_operator_s_key_names_nobody(api: Api) -> None:
    key_id = str(ApiKey.objects.get().pk)
    assert api.get("/key").json() == {"id": key_id, "customer": None, "mode": "live", "scopes": ["*"]}


def test_without_a_key_there_is_no_answer(shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    problem(as_key(None).get("/key"), 401, "unauthenticated")
    problem(as_key("sk_live_unknown").get("/key"), 401, "unauthenticated")


def test_there_is_nothing_to_change(api: Api) -> None:
    problem(api.post("/key", {}), 405, "method_not_allowed")


def test_only_keys_of_the_deployment_s_mode_are_taken(
    shop: Shop, as_key: Callable[[str | None], Api], settings: Any
) -> None:
    acme = shop.customer("acme", usd="1")
    live = [shop.key(), shop.key(organization=acme.organization)]
    settings.TEST_MODE = True
    test = [shop.key(), shop.key(organization=acme.organization)]
    event = cloud_event("new")

    for refused, taken, mode in ((live, test, "test"), (test, live, "live")):
        settings.TEST_MODE = mode == "test"
        api_keys.forget()
        for secret in refused:
            for answer in (as_key(secret).get("/key"), as_key(secret).post("/events", event)):
                assert f"in {mode} mode" in problem(answer, 401, "unauthenticated")["detail"]
        assert [as_key(secret).get("/key").json()["mode"] for secret in taken] == [mode, mode]
    assert not UsageEvent.objects.exists()
