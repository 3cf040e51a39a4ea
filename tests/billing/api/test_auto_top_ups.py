"""Standing orders to top up, as a program sees them."""

from typing import Any

import pytest

from billing.models import AutoTopUp, PaymentAttempt
from billing.services.funding import automatic
from tests.billing.api.conftest import Api, problem
from tests.payments import KEPT_DECLINED, Bank, Payer

PATH = "/customers/acme/auto-top-up"
AS_WRITTEN = {"event": "wallet_balance_low", "threshold": 20, "action": "auto_top_up", "amount": 100, "method": "card"}


def put(api: Api, body: Any, path: str = PATH) -> Any:
    return api.send("PUT", path, body)


def test_the_rule_as_it_is_written_is_taken_and_charges_exactly_once(api: Api, payer: Payer, bank: Bank) -> None:
    payer.keep()
    payer.shop.fund(payer.customer, "20")
    answer = put(api, AS_WRITTEN)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["threshold"], body["amount"], body["method"], body["enabled"]) == ("20", "100", "card", True)
    assert (body["status"], body["monthly_limit"], body["asset"]) == ("armed", None, "usd")
    automatic.run_due()
    assert bank.charges() == []
    payer.shop.record(payer.customer, output_tokens=1000)
    automatic.run_due()
    automatic.run_due()
    assert [charge["amount"] for charge in bank.charges()] == [10_000]
    found = api.get(PATH).json()
    assert (found["status"], found["used_this_month"]) == ("cooling", {"amount": "100", "count": 1})


def test_it_is_replaced_and_switched_off(api: Api, payer: Payer) -> None:
    put(api, AS_WRITTEN)
    kept = payer.keep()
    changed = AS_WRITTEN | {"monthly_limit": "1000", "method": kept.provider_id, "enabled": False}
    body = put(api, changed).json()
    assert (body["monthly_limit"], body["method"], body["status"]) == ("1000", kept.provider_id, "off")
    assert AutoTopUp.objects.count() == 1
    put(api, AS_WRITTEN)
    assert api.send("DELETE", PATH, None).status_code == 204
    assert api.get(PATH).json()["status"] == "off"


def test_what_suspended_it_is_said_with_a_way_to_put_it_right(api: Api, payer: Payer) -> None:
    put(api, AS_WRITTEN)
    automatic.run_due()
    found = api.get(PATH).json()
    assert (found["status"], found["failure"]["code"]) == ("suspended", "no_method")
    assert found["fix_url"].endswith("/auto-top-up")
    kept = payer.keep(KEPT_DECLINED)
    assert put(api, AS_WRITTEN).json()["status"] == "suspended"
    assert put(api, AS_WRITTEN | {"method": kept.provider_id}).json()["status"] == "armed"
    automatic.run_due()
    assert PaymentAttempt.objects.get().status == "failed"


def test_at_fixed_times(api: Api, payer: Payer) -> None:
    path = "/customers/acme/scheduled-top-up"
    body = {"every": "month", "starts_at": "2030-01-31T09:00:00Z", "amount": "50"}
    answer = put(api, body, path)
    assert answer.status_code == 200
    found = api.get(path).json()
    assert (found["every"], found["starts_at"], found["not_before"]) == ("month", *["2030-01-31T09:00:00Z"] * 2)
    problem(api.get(PATH), 404, "not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event": "moon_full"}, "event"),
        ({"action": "send_flowers"}, "action"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": "-5"}, "threshold"),
        ({"amount": None}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "1"}, "amount"),
        ({"amount": None, "target": "10"}, "target"),
        ({"method": "pm_nobody"}, "method"),
        ({"monthly_limit": "0"}, "monthly_limit"),
        ({"count_limit": 0}, "count_limit"),
        ({"cooldown_seconds": -1}, "cooldown_seconds"),
        ({"asset": "gold"}, "asset"),
        ({"pack": "none"}, "pack"),
        ({"treshold": "5"}, "treshold"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items()),
)
def test_what_makes_no_sense_names_the_field(api: Api, payer: Payer, change: dict[str, Any], field: str) -> None:
    refusal = problem(put(api, AS_WRITTEN | change), 400, "invalid_request")
    assert [one["field"] for one in refusal["errors"]] == [field]
    assert not AutoTopUp.objects.exists()
