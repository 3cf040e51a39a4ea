"""``/customers/{id}/recurring-grants``."""

import pytest

from billing.models import Grant, RecurringGrant
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

PATH = "/customers/acme/recurring-grants"
MONTHLY = {"asset": "usd", "amount": "25", "interval": "month", "name": "Included", "times": 12, "rollover_limit": "5"}


def test_it_is_made_once_listed_paused_resumed_and_canceled(api: Api, shop: Shop) -> None:
    shop.customer(plan=None)

    response = api.post(PATH, MONTHLY, idempotency_key="one")
    again = api.post(PATH, MONTHLY, idempotency_key="one")

    made = response.json()
    assert response.status_code == 201
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == made
    assert made | {"id": "", "starts_at": "", "next_at": "", "created_at": ""} == {
        "id": "",
        "customer": "acme",
        "asset": "usd",
        "amount": "25",
        "kind": "allowance",
        "interval": "month",
        "starts_at": "",
        "ends_at": None,
        "times": 12,
        "expires": "period_end",
        "rollover_limit": "5",
        "priority": 40,
        "applies_to": {},
        "name": "Included",
        "metadata": {},
        "status": "active",
        "next_at": "",
        "created_at": "",
    }
    assert api.get("/customers/acme/wallet").json()["balances"][0]["available"] == "25"
    assert api.get("/customers/acme/grants").json()["data"][0]["expires_at"] == made["next_at"]
    one = f"/recurring-grants/{made['id']}"
    assert api.post(f"{one}/pause", {}).json()["status"] == "paused"
    assert api.post(f"{one}/resume", {}).json()["status"] == "active"
    assert api.post(f"{one}/cancel", {"reason": "Left"}).json()["next_at"] is None
    problem(api.post(f"{one}/resume", {}), 409, "invalid_state")
    assert [row["status"] for row in api.get(PATH).json()["data"]] == ["canceled"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("asset", "gold"),
        ("amount", "-1"),
        ("amount", "NaN"),
        ("interval", "decade"),
        ("kind", "purchase"),
        ("starts_at", "2020-01-01T00:00:00Z"),
        ("ends_at", "2020-01-01T00:00:00Z"),
        ("times", 0),
        ("expires", "soon"),
        ("rollover_limit", "-1"),
        ("priority", 101),
        ("applies_to", {"meters": ["nothing"]}),
        ("every", "month"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_written(api: Api, shop: Shop, field: str, value: object) -> None:
    shop.customer(plan=None)

    refused = problem(api.post(PATH, MONTHLY | {field: value}), 400, "invalid_request")

    assert [error["field"].partition(".")[0] for error in refused["errors"]] == [field]
    assert not RecurringGrant.objects.exists()
    assert not Grant.objects.exists()
