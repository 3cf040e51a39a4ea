"""Whose key is it?"""

from collections.abc import Callable

from tests.billing.api.conftest import Api, problem
from tests.builders import Shop


def test_a_customer_s_key_names_the_customer(shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    acme = shop.customer("acme")
    shop.customer("globex")

    found = as_key(shop.key("events:write", organization=acme.organization)).get("/key")

    assert found.status_code == 200
    assert found.json() == {"customer": "acme", "scopes": ["events:write"]}


def test_an_operator_s_key_names_nobody(api: Api) -> None:
    assert api.get("/key").json() == {"customer": None, "scopes": ["*"]}


def test_without_a_key_there_is_no_answer(shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    problem(as_key(None).get("/key"), 401, "unauthenticated")
    problem(as_key("sk_live_unknown").get("/key"), 401, "unauthenticated")


def test_there_is_nothing_to_change(api: Api) -> None:
    problem(api.post("/key", {}), 405, "method_not_allowed")
