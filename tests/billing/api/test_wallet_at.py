"""``GET /customers/{external_id}/wallet?at=``."""

from datetime import timedelta

from django.utils import timezone

from billing.api.fields import moment_string
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop


def test_the_wallet_as_it_was(api: Api, shop: Shop) -> None:
    before = timezone.now()
    acme = shop.customer(usd="10")
    then = timezone.now()
    shop.record(acme, input_tokens=1000)

    path = "/customers/acme/wallet"
    answer = api.get(f"{path}?at={moment_string(then)}").json()

    assert answer["at"] == moment_string(then)
    assert answer["balances"] == [
        {
            "asset": "usd",
            "available": "10",
            "held": "0",
            "overdraft_limit": "0",
            "lifetime_granted": "10",
            "lifetime_spent": "0",
        }
    ]
    assert api.get(f"{path}?at={moment_string(before)}").json()["balances"][0]["available"] == "0"
    now = api.get(f"{path}?at={moment_string(timezone.now())}").json()
    assert now["balances"] == api.get(path).json()["balances"]
    assert "at" not in api.get(path).json()


def test_the_future_and_nonsense_are_refused(api: Api, shop: Shop) -> None:
    shop.customer()
    ahead = moment_string(timezone.now() + timedelta(minutes=1))

    problem(api.get(f"/customers/acme/wallet?at={ahead}"), 400, "invalid_request", "at")
    problem(api.get("/customers/acme/wallet?at=yesterday"), 400, "invalid_request", "at")
    problem(api.get("/customers/acme/wallet?at=2026-01-01T00:00:00"), 400, "invalid_request", "at")
    problem(api.get("/customers/nobody/wallet?at=2026-01-01T00:00:00Z"), 404, "not_found")
