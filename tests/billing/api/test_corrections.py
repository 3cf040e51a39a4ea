"""``POST /events/{id}/reverse``, ``/refund`` and ``POST /customers/{id}/adjustments``, and how all else shows them."""

from collections.abc import Callable
from typing import Any

import pytest

from billing.models import Correction, Customer, LedgerEntry
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

WHY = {"reason": "The model failed"}


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """With an event ``one`` that cost $2.50 of its $10."""
    customer = shop.customer(usd="10")
    shop.record(customer, id="one", input_tokens=1_000_000, model="gpt-4o")
    return customer


def available(api: Api) -> str:
    found: str = api.get("/customers/acme/wallet").json()["balances"][0]["available"]
    return found


def test_the_answer_says_what_came_back_and_what_is_there_now(api: Api, acme: Customer) -> None:
    response = api.post("/events/one/reverse", WHY)

    assert response.status_code == 200
    body = response.json()
    assert {name: body[name] for name in ("kind", "event", "customer", "source", "reason", "amounts", "balance")} == {
        "kind": "reversal",
        "event": "one",
        "customer": "acme",
        "source": "tests",
        "reason": "The model failed",
        "amounts": {"usd": "2.5"},
        "balance": {"usd": "10"},
    }
    assert body["transaction"] == body["id"] == str(Correction.objects.get().pk)


def test_everything_else_shows_it(api: Api, acme: Customer) -> None:
    done = api.post("/events/one/reverse", WHY).json()

    receipt = api.get("/events/one").json()
    assert (receipt["status"], receipt["cost"], receipt["net_cost"]) == ("reversed", {"usd": "2.5"}, {"usd": "0"})
    assert receipt["corrections"] == [
        {name: done[name] for name in ("id", "kind", "reason", "amounts", "transaction", "created_at")}
    ]
    assert [charge["amount"] for charge in receipt["charges"]] == ["2.5"]
    assert [(entry["kind"], entry["amount"]) for entry in receipt["entries"]] == [("usage", "2.5"), ("reversal", "2.5")]
    assert [event["status"] for event in api.get("/events").json()["data"]] == ["reversed"]
    assert len(api.get("/events?status=reversed").json()["data"]) == 1
    assert api.get("/events?status=charged").json()["data"] == []
    (row,) = api.get("/usage?customer=acme&granularity=month").json()["data"]
    assert (row["quantity"], row["amount"], row["events"]) == ("0", "0", 0)
    entry = api.get("/customers/acme/ledger?kind=reversal").json()["data"][0]
    assert (entry["amount"], entry["event"], entry["transaction"]) == ("2.5", "one", done["transaction"])
    balance = api.get("/customers/acme/wallet").json()["balances"][0]
    assert (balance["lifetime_granted"], balance["lifetime_spent"]) == ("10", "0")


def test_the_customer_sees_it_without_the_reason(
    api: Api, acme: Customer, shop: Shop, as_key: Callable[[str], Api]
) -> None:
    api.post("/events/one/reverse", WHY)

    own = as_key(shop.key(organization=acme.organization))

    (correction,) = own.get("/events/one").json()["corrections"]
    assert correction["amounts"] == {"usd": "2.5"}
    assert "reason" not in correction


def test_the_same_key_is_the_same_answer_and_nothing_twice(api: Api, acme: Customer) -> None:
    for path, body in (
        ("/events/one/refund", {"asset": "usd", "amount": "1", **WHY}),
        ("/events/one/reverse", WHY),
        ("/customers/acme/adjustments", {"asset": "usd", "amount": "-1", **WHY}),
    ):
        first = api.post(path, body, idempotency_key=path)
        before = LedgerEntry.objects.count()
        again = api.post(path, body, idempotency_key=path)

        assert first.status_code == again.status_code < 300
        assert (first.json(), again["Idempotent-Replayed"]) == (again.json(), "true")
        assert LedgerEntry.objects.count() == before
        problem(api.post(path, {**body, "reason": "Other"}, idempotency_key=path), 409, "idempotency_conflict")
    assert available(api) == "9"


def test_the_key_is_for_one_event_however_it_is_named(api: Api, acme: Customer, shop: Shop) -> None:
    shop.record(shop.customer("globex", usd="10"), id="one", input_tokens=1000)

    assert api.post("/events/one/reverse?customer=acme", WHY, idempotency_key="k").status_code == 200
    problem(api.post("/events/one/reverse?customer=globex", WHY, idempotency_key="k"), 409, "idempotency_conflict")


def test_a_second_reversal_is_a_conflict(api: Api, acme: Customer) -> None:
    api.post("/events/one/reverse", WHY)

    assert problem(api.post("/events/one/reverse", WHY), 409, "invalid_state")["status"] == 409
    problem(api.post("/events/one/refund", {"asset": "usd", "amount": "1", **WHY}), 409, "invalid_state")
    assert available(api) == "10"


def test_a_refused_event_cannot_be_reversed(api: Api, acme: Customer) -> None:
    api.post("/events", cloud_event("two", data={"input_tokens": 10_000_000}))

    problem(api.post("/events/two/reverse", WHY), 409, "invalid_state")


def test_parts_are_given_back_up_to_the_whole(api: Api, acme: Customer) -> None:
    def refund(amount: str) -> Any:
        return api.post("/events/one/refund", {"asset": "usd", "amount": amount, **WHY})

    assert refund("1").json()["balance"] == {"usd": "8.5"}
    assert refund("1.5").status_code == 200
    assert problem(refund("0.000000000001"), 409, "invalid_state")["left"] == "0"
    receipt = api.get("/events/one").json()
    assert (receipt["status"], receipt["net_cost"]) == ("charged", {"usd": "0"})
    assert [each["kind"] for each in receipt["corrections"]] == ["refund", "refund"]


def test_an_id_that_two_customers_used_must_be_told_apart(api: Api, acme: Customer, shop: Shop) -> None:
    shop.record(shop.customer("globex", usd="10"), id="one", input_tokens=1000)

    problem(api.post("/events/one/reverse", WHY), 400, "invalid_request", "customer")
    assert not Correction.objects.exists()

    assert api.post("/events/one/reverse?customer=acme&source=tests", WHY).json()["customer"] == "acme"
    problem(api.post("/events/one/reverse?customer=nobody", WHY), 404, "not_found")
    problem(api.post("/events/none/reverse", WHY), 404, "not_found")


def test_an_id_with_slashes_can_be_reversed(api: Api, acme: Customer, shop: Shop) -> None:
    shop.record(acme, id="run/7/step", input_tokens=1000)

    assert api.post("/events/run/7/step/reverse", WHY).json()["event"] == "run/7/step"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/events/one/reverse", {}, "reason"),
        ("/events/one/reverse", {"reason": " "}, "reason"),
        ("/events/one/reverse", {"reason": "x" * 501}, "reason"),
        ("/events/one/reverse", {**WHY, "amount": "1"}, "amount"),
        ("/events/one/refund", {**WHY, "asset": "usd"}, "amount"),
        ("/events/one/refund", {**WHY, "asset": "gold", "amount": "1"}, "asset"),
        ("/events/one/refund", {**WHY, "asset": "usd", "amount": "0"}, "amount"),
        ("/events/one/refund", {**WHY, "asset": "usd", "amount": "-1"}, "amount"),
        ("/events/one/refund", {**WHY, "asset": "usd", "amount": "NaN"}, "amount"),
        ("/customers/acme/adjustments", {**WHY, "asset": "usd", "amount": "0"}, "amount"),
        ("/customers/acme/adjustments", {"asset": "usd", "amount": "1"}, "reason"),
        ("/customers/acme/adjustments", {**WHY, "asset": "usd", "amount": "1", "allow_debt": "perhaps"}, "allow_debt"),
        ("/customers/acme/adjustments", {**WHY, "asset": "usd", "amount": "9" * 18}, "amount"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_done(
    api: Api, acme: Customer, path: str, body: dict[str, str], field: str
) -> None:
    before = LedgerEntry.objects.count()

    problem(api.post(path, body), 400, "invalid_request", field)

    assert (LedgerEntry.objects.count(), Correction.objects.count()) == (before, 0)


def test_an_adjustment_goes_in_and_out(api: Api, acme: Customer) -> None:
    put_in = api.post("/customers/acme/adjustments", {"asset": "usd", "amount": "5", **WHY})
    taken = api.post("/customers/acme/adjustments", {"asset": "usd", "amount": "-2", **WHY})

    assert (put_in.status_code, taken.status_code) == (201, 201)
    assert (put_in.json()["balance"], taken.json()["balance"]) == ({"usd": "12.5"}, {"usd": "10.5"})
    assert put_in.json()["grant"]
    assert taken.json()["grant"] is None
    listed = api.get("/customers/acme/ledger?kind=adjustment").json()["data"]
    assert [entry["amount"] for entry in listed] == ["-2", "5"]
    assert [entry["transaction"] for entry in listed] == [taken.json()["transaction"], put_in.json()["transaction"]]


def test_an_adjustment_never_goes_beyond_what_is_allowed(api: Api, acme: Customer) -> None:
    def take(amount: str, **more: Any) -> Any:
        return api.post("/customers/acme/adjustments", {"asset": "usd", "amount": amount, **WHY, **more})

    refused = problem(take("-8"), 402, "insufficient_funds")
    assert (refused["available"], refused["required"]) == ("7.5", "8")
    problem(take("-8", allow_debt=True), 402, "insufficient_funds")
    api.patch("/customers/acme/wallet", {"asset": "usd", "overdraft_limit": "0.5"})
    problem(take("-8"), 402, "insufficient_funds")

    assert take("-8", allow_debt=True).json()["balance"] == {"usd": "-0.5"}
