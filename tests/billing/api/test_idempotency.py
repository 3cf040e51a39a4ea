"""``Idempotency-Key``: a retry is answered, not repeated."""

from collections.abc import Callable
from typing import Any

import pytest

from billing.models import Customer, Grant, UsageEvent
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

GRANT = {"asset": "usd", "amount": "5", "kind": "promotional"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/customers", {"external_id": "new", "name": "New", "currency": "USD"}),
        ("/customers/acme/grants", GRANT),
        ("/assets", {"code": "gold", "name": "Gold", "kind": "unit", "precision": 3}),
        ("/meters", {"code": "m", "name": "M", "event_type": "t", "aggregation": "count"}),
        (
            "/plans",
            {
                "code": "other",
                "name": "Other",
                "currency": "USD",
                "prices": [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}],
            },
        ),
        (
            "/plans/pro/versions",
            {"prices": [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}]},
        ),
        ("/subscriptions", {"customer": "planless", "plan": "pro"}),
        ("/events", cloud_event()),
        ("/events", [cloud_event(), cloud_event("two")]),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_post_answers_a_retry_with_its_first_answer(api: Api, shop: Shop, path: str, body: Any) -> None:
    shop.customer(usd="10")
    shop.customer("planless", plan=None)

    first = api.post(path, body, idempotency_key="k1")
    second = api.post(path, body, idempotency_key="k1")
    other = api.post(path, body if path != "/customers/acme/grants" else GRANT | {"amount": "6"}, idempotency_key="k1")

    assert first.status_code in {200, 201}
    assert "Idempotent-Replayed" not in first
    assert (second.status_code, second.json(), second["Idempotent-Replayed"]) == (
        first.status_code,
        first.json(),
        "true",
    )
    if path == "/customers/acme/grants":
        problem(other, 409, "idempotency_conflict")
        assert Grant.objects.filter(kind="promotional").count() == 1


def test_the_same_key_for_another_path_is_a_conflict(api: Api, shop: Shop) -> None:
    shop.customer()
    shop.customer("globex")
    api.post("/customers/acme/grants", GRANT, idempotency_key="k")

    problem(api.post("/customers/globex/grants", GRANT, idempotency_key="k"), 409, "idempotency_conflict")

    assert Grant.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"amount": "6"}, {"kind": "adjustment"}, {"name": "x"}, {"priority": 1}, {"metadata": {"a": 1}}], ids=str
)
def test_any_other_field_is_another_request(api: Api, shop: Shop, change: dict[str, Any]) -> None:
    shop.customer()
    first = api.post("/customers/acme/grants", GRANT, idempotency_key="k")

    problem(api.post("/customers/acme/grants", GRANT | change, idempotency_key="k"), 409, "idempotency_conflict")

    again = api.post("/customers/acme/grants", GRANT, idempotency_key="k")
    assert again.json() == first.json()
    assert Grant.objects.count() == 1


def test_the_order_of_the_members_is_no_other_request(api: Api, shop: Shop) -> None:
    shop.customer()
    api.post("/customers/acme/grants", GRANT, idempotency_key="k")

    again = api.post("/customers/acme/grants", dict(reversed(GRANT.items())), idempotency_key="k")

    assert (again.status_code, again["Idempotent-Replayed"]) == (201, "true")


def test_a_refusal_is_kept_for_its_key(api: Api, shop: Shop) -> None:
    acme = shop.customer()
    first = api.post("/events", cloud_event(), idempotency_key="k")
    shop.fund(acme, "5")

    again = api.post("/events", cloud_event(), idempotency_key="k")

    problem(first, 402, "insufficient_funds")
    assert (again.status_code, again.json()) == (402, first.json())
    assert again["Content-Type"] == "application/problem+json"
    assert again["Idempotent-Replayed"] == "true"
    assert api.post("/events", cloud_event("two"), idempotency_key="k2").status_code == 201


def test_what_the_headers_said_is_part_of_the_answer(api: Api, shop: Shop) -> None:
    acme = shop.customer(usd="10")
    first = api.post("/events", cloud_event(), idempotency_key="k")
    shop.record(acme, input_tokens=1000)

    again = api.post("/events", cloud_event(), idempotency_key="k")

    for response in (first, again):
        assert {name: response[name] for name in ("X-Usage-Cost", "X-Total-Tokens", "X-Model", "X-Wallet-Balance")} == {
            "X-Usage-Cost": "0.007",
            "X-Total-Tokens": "1450",
            "X-Model": "gpt-4o",
            "X-Wallet-Balance": "9.993",
        }


def test_two_customers_may_choose_the_same_key(api: Api, shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    keys = {}
    for name in ("acme", "globex"):
        customer = shop.customer(name, usd="5")
        keys[name] = as_key(shop.key(organization=customer.organization))

    answers = [keys[name].post("/events", cloud_event(subject=name), idempotency_key="k") for name in keys]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert UsageEvent.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve"])
def test_a_key_that_is_none_is_named(api: Api, shop: Shop, key: str) -> None:
    shop.customer()

    problem(api.post("/customers/acme/grants", GRANT, idempotency_key=key), 400, "invalid_request", "Idempotency-Key")

    assert Grant.objects.count() == 0


def test_without_a_key_every_post_is_another(api: Api, shop: Shop) -> None:
    acme = shop.customer()

    first, second = (api.post("/customers/acme/grants", GRANT) for _ in range(2))

    assert first.json()["id"] != second.json()["id"]
    assert shop.balance(acme).available == 10
    assert Customer.objects.count() == 1
