"""``/customers/…/alerts``, ``/forecast`` and ``/pace``."""

from typing import Any

import pytest

from billing.models import Alert, Customer
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

DAYS = {"kind": "runway_below", "days": [7]}


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="100")


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (
            {"kind": "balance_below", "asset": "usd", "at": ["0.1", "0.5", "0.2"], "of": "last_top_up"},
            {"asset": "usd", "at": ["0.5", "0.2", "0.1"], "of": "last_top_up", "amount": None, "days": []},
        ),
        ({"kind": "balance_below", "amount": "10"}, {"asset": "usd", "amount": "10", "at": ["10"], "of": None}),
        (DAYS, {"asset": "usd", "days": [7], "at": []}),
        ({"kind": "grant_expiring", "days": [1, 30, 7]}, {"asset": None, "days": [30, 7, 1]}),
        (
            {"kind": "commitment_used", "at": ["1", "0.5", "0.8"]},
            {"asset": None, "amount": None, "at": ["0.5", "0.8", "1"], "of": None, "days": []},
        ),
        ({"kind": "spend_anomaly"}, {"asset": None, "amount": None, "at": [], "of": None, "days": []}),
    ],
    ids=["shares", "amount", "runway", "expiry", "commitment", "anomaly"],
)
def test_an_alert_is_made_listed_and_removed(
    api: Api, acme: Customer, wanted: dict[str, Any], shown: dict[str, Any]
) -> None:
    made = api.post("/customers/acme/alerts", wanted)

    assert made.status_code == 201, made.content
    assert {**shown, "kind": wanted["kind"], "crossed": False}.items() <= made.json().items()
    assert api.get("/customers/acme/alerts").json()["data"] == [made.json()]
    path = f"/customers/acme/alerts/{made.json()['id']}"
    assert api.send("DELETE", path, None).status_code == 204
    problem(api.send("DELETE", path, None), 404, "not_found")
    assert api.get("/customers/acme/alerts").json()["data"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "weather"},
        {"kind": "balance_below"},
        {"kind": "balance_below", "amount": "1", "at": ["0.5"], "of": "last_top_up"},
        {"kind": "balance_below", "at": ["0.5"]},
        {"kind": "balance_below", "at": [], "of": "last_top_up"},
        {"kind": "balance_below", "at": ["1.5"], "of": "last_top_up"},
        {"kind": "balance_below", "amount": "0"},
        {"kind": "balance_below", "amount": "10", "asset": "gold"},
        {"kind": "runway_below"},
        {"kind": "runway_below", "days": [0]},
        {"kind": "runway_below", "days": [7], "amount": "1"},
        {"kind": "grant_expiring", "days": [7], "asset": "usd"},
        {"kind": "runway_below", "days": ["soon"]},
        {"kind": "commitment_used"},
        {"kind": "commitment_used", "at": ["11"]},
        {"kind": "commitment_used", "at": ["0.5"], "of": "last_top_up"},
        {"kind": "commitment_used", "at": ["0.5"], "asset": "usd"},
        {"kind": "spend_anomaly", "days": [7]},
        {"kind": "spend_anomaly", "asset": "usd"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(api: Api, acme: Customer, wrong: dict[str, Any]) -> None:
    problem(api.post("/customers/acme/alerts", wrong), 400, "invalid_request")

    assert not Alert.objects.exists()


def test_an_alert_for_what_is_far_from_usual_turns_the_watch_on_and_off(api: Api, acme: Customer) -> None:
    api.send("PUT", "/customers/acme/spend-watch", {"action": "nothing"})

    made = api.post("/customers/acme/alerts", {"kind": "spend_anomaly"}).json()
    assert api.get("/customers/acme/spend-watch").json() == {"action": "tell"}
    api.send("DELETE", f"/customers/acme/alerts/{made['id']}", None)
    assert api.get("/customers/acme/spend-watch").json() == {"action": "nothing"}


def test_there_is_an_end_to_alerts(api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.services.alerts.managing.ALERTS_MAX", 1)
    api.post("/customers/acme/alerts", DAYS)

    problem(api.post("/customers/acme/alerts", DAYS), 409, "invalid_state")


def test_forecast_and_pace_answer(api: Api, shop: Shop, acme: Customer) -> None:
    shop.record(acme, input_tokens=400_000)

    forecast = api.get("/customers/acme/forecast").json()
    pace = api.get("/customers/acme/pace?asset=usd").json()

    assert (forecast["available"], forecast["per_day"], forecast["month"]["spent"]) == ("99", "1", "1")
    assert (pace["available"], pace["spent_last_hour"], pace["budgets"]) == ("99", "1", [])
    problem(api.get("/customers/acme/pace?asset=gold"), 400, "invalid_request")
    problem(api.get("/customers/nobody/forecast"), 404, "not_found")


def test_advice_says_where_money_could_be_saved(api: Api, shop: Shop) -> None:
    acme = shop.customer(usd="10")
    for _ in range(2):
        shop.record(acme, input_tokens=400_000, prompt_hash="same")

    found = api.get("/customers/acme/advice").json()

    assert (found["asset"], found["events"], found["cheaper_models"], found["small_calls"]) == ("usd", 2, [], [])
    assert [(each["fingerprint"], each["calls"], each["wasted"]) for each in found["repeated"]] == [("same", 2, "1")]
    problem(api.get("/customers/acme/advice?asset=gold"), 400, "invalid_request", "asset")
