"""``/authorizations``: the contract, to the letter."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Authorization, Charge, LedgerEntry, UsageEvent
from tests.billing.api.conftest import Api, problem
from tests.builders import LLM, Shop

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
BY_USAGE: dict[str, Any] = {
    "customer": "acme",
    "type": LLM,
    "data": {"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 4000, "user": "u_17"},
    "expires_in": 600,
}
BY_AMOUNT = {"customer": "acme", "asset": "usd", "amount": "4"}
SHOWN = {
    "id",
    "customer",
    "status",
    "asset",
    "amount",
    "captured",
    "type",
    "api_key",
    "created_at",
    "expires_at",
    "closed_at",
}


@pytest.fixture(autouse=True)
def acme(shop: Shop) -> Any:
    return shop.customer(usd="10")


def opened(api: Api, **changes: Any) -> str:
    response = api.post("/authorizations", BY_AMOUNT | changes)
    assert response.status_code == 201, response.content
    return str(response.json()["id"])


def wallet(shop: Shop, acme: Any) -> tuple[str, str]:
    balance = shop.balance(acme)
    return f"{balance.available.normalize():f}", f"{balance.held.normalize():f}"


# --- Open -------------------------------------------------------------------------------------------------------------


def test_announced_usage_is_never_taken_for_the_end_of_a_level(api: Api, acme: Any) -> None:
    """What ends a level says itself what it is to be charged for, and is ours."""
    plain = api.post("/authorizations", BY_USAGE).json()
    forged = {"subscription": str(acme.subscriptions.get().pk), "price": "", "unit_hours": "-9", "dimensions": {}}

    response = api.post("/authorizations", BY_USAGE | {"data": {**BY_USAGE["data"], "held": forged}})

    assert (response.status_code, response.json()["holds"]) == (201, plain["holds"])


def test_opening_by_usage_sets_its_cost_aside_and_says_how_far_the_wallet_goes(api: Api, shop: Shop, acme: Any) -> None:
    response = api.post("/authorizations", BY_USAGE)

    assert response.status_code == 201
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert set(body) == SHOWN | {"holds", "affordable"}
    assert MOMENT.match(body["created_at"])
    assert MOMENT.match(body["expires_at"])
    life = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["created_at"])
    assert life.total_seconds() == 600
    # 1,200 × $2.50 and 4,000 × $10, each for a million.
    assert {name: body[name] for name in ("status", "asset", "amount", "captured", "type", "customer")} == {
        "status": "open",
        "asset": "usd",
        "amount": "0.043",
        "captured": "0",
        "type": LLM,
        "customer": "acme",
    }
    assert body["closed_at"] is None
    assert body["holds"] == {"usd": "0.043"}
    assert body["affordable"] == {"input_tokens": "3984000", "output_tokens": "999700"}
    assert wallet(shop, acme) == ("9.957", "0.043")


def test_opening_by_amount_sets_it_aside(api: Api, shop: Shop, acme: Any) -> None:
    response = api.post("/authorizations", BY_AMOUNT)

    assert response.status_code == 201
    body = response.json()
    assert (body["amount"], body["type"], body["holds"], body["affordable"]) == ("4", None, {"usd": "4"}, {})
    assert wallet(shop, acme) == ("6", "4")


@pytest.mark.parametrize("amount", ["4.50", 4, 4.5, "0.000000000001"])
def test_an_amount_is_a_decimal_string_or_a_number_read_exactly(api: Api, amount: Any) -> None:
    body = api.post("/authorizations", BY_AMOUNT | {"amount": amount}).json()

    assert body["amount"] == {"4.50": "4.5", 4: "4", 4.5: "4.5"}.get(amount, amount)


@pytest.mark.parametrize("seconds", [1, 604_800])
def test_a_life_is_from_a_second_to_a_week(api: Api, seconds: int) -> None:
    body = api.post("/authorizations", BY_AMOUNT | {"expires_in": seconds}).json()

    life = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["created_at"])
    assert life.total_seconds() == seconds


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"customer": None}, ["customer"]),
        ({"customer": ""}, ["customer"]),
        ({"customer": 7}, ["customer"]),
        ({"customer": "a\nb"}, ["customer"]),
        ({"asset": "nothing"}, ["asset"]),
        ({"asset": None}, ["asset"]),
        ({"asset": 7}, ["asset"]),
        ({"amount": None}, ["amount"]),
        ({"amount": "0"}, ["amount"]),
        ({"amount": "-1"}, ["amount"]),
        ({"amount": "NaN"}, ["amount"]),
        ({"amount": "Infinity"}, ["amount"]),
        ({"amount": "1e400"}, ["amount"]),
        ({"amount": "1.0000000000001"}, ["amount"]),
        ({"amount": "1" * 19}, ["amount"]),
        ({"amount": True}, ["amount"]),
        ({"amount": [1]}, ["amount"]),
        ({"amount": ""}, ["amount"]),
        ({"expires_in": 0}, ["expires_in"]),
        ({"expires_in": -1}, ["expires_in"]),
        ({"expires_in": 604_801}, ["expires_in"]),
        ({"expires_in": 10**40}, ["expires_in"]),
        ({"expires_in": 1.5}, ["expires_in"]),
        ({"expires_in": True}, ["expires_in"]),
        ({"expires_in": None}, ["expires_in"]),
        ({"expires_in": "soon"}, ["expires_in"]),
        ({"expires_in": [600]}, ["expires_in"]),
        ({"colour": "red"}, ["colour"]),
        ({"id": "x"}, ["id"]),
        ({"type": LLM}, ["body"]),
        ({"data": {}}, ["body"]),
        ({"type": LLM, "data": {"input_tokens": 1}}, ["body"]),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_request_is_named(
    api: Api, shop: Shop, acme: Any, change: dict[str, Any], fields: list[str]
) -> None:
    problem(api.post("/authorizations", BY_AMOUNT | change), 400, "invalid_request", *fields)

    assert Authorization.objects.count() == 0
    assert wallet(shop, acme) == ("10", "0")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"customer": "acme"}, ["asset", "amount"]),
        ({"customer": "acme", "asset": "usd"}, ["amount"]),
        ({"customer": "acme", "amount": "1"}, ["asset"]),
        ({"customer": "acme", "data": {"input_tokens": 1}}, ["asset", "amount"]),
        ({"asset": "usd", "amount": "1"}, ["customer"]),
        ({"customer": "acme", "type": ""}, ["type"]),
        ({"customer": "acme", "type": None}, ["type"]),
        ({"customer": "acme", "type": "a\nb"}, ["type"]),
        ({"customer": "acme", "type": LLM, "data": []}, ["data"]),
        ({"customer": "acme", "type": LLM, "data": None}, ["data"]),
        ({"customer": "acme", "type": LLM, "data": {"input_tokens": -1}}, ["data.input_tokens"]),
        ({"customer": "acme", "type": LLM, "data": {"input_tokens": "many"}}, ["data.input_tokens"]),
    ],
    ids=str,
)
def test_either_usage_or_an_amount_is_needed(api: Api, body: dict[str, Any], fields: list[str]) -> None:
    problem(api.post("/authorizations", body), 400, "invalid_request", *fields)

    assert Authorization.objects.count() == 0


@pytest.mark.parametrize("body", ["{", b"", "[]", '"x"', '{"customer": NaN}'], ids=str)
def test_what_is_no_object_is_refused(api: Api, body: Any) -> None:
    problem(api.post("/authorizations", body), 400, "invalid_request")


def test_usage_without_a_price_is_refused(api: Api) -> None:
    problem(api.post("/authorizations", BY_USAGE | {"type": "video"}), 422, "unpriced_usage")

    assert Authorization.objects.count() == 0


def test_a_wallet_with_too_little_is_refused_with_the_figures(api: Api, shop: Shop, acme: Any) -> None:
    refusal = problem(api.post("/authorizations", BY_AMOUNT | {"amount": "10.5"}), 402, "insufficient_funds")

    assert (refusal["asset"], refusal["available"], refusal["required"]) == ("usd", "10", "10.5")
    problem(api.post("/authorizations", BY_USAGE | {"data": {"output_tokens": 1_000_001}}), 402, "insufficient_funds")
    assert Authorization.objects.count() == 0
    assert wallet(shop, acme) == ("10", "0")


def test_a_customer_that_is_not_there_is_not_found(api: Api) -> None:
    problem(api.post("/authorizations", BY_AMOUNT | {"customer": "nobody"}), 404, "not_found")
    problem(api.post("/authorizations", BY_USAGE | {"customer": "nobody"}), 404, "not_found")


# --- Show and list ----------------------------------------------------------------------------------------------------


def test_an_authorization_is_shown(api: Api) -> None:
    created = api.post("/authorizations", BY_USAGE).json()

    shown = api.get(f"/authorizations/{created['id']}")

    assert shown.status_code == 200
    assert set(shown.json()) == SHOWN
    assert shown.json().items() <= created.items()


def test_authorizations_are_listed_by_customer_and_status(api: Api, shop: Shop) -> None:
    shop.customer("globex", usd="10")
    first, second, other = opened(api), opened(api), opened(api, customer="globex")
    api.post(f"/authorizations/{first}/void", {})

    def ids(query: str) -> list[str]:
        return [row["id"] for row in api.get(f"/authorizations{query}").json()["data"]]

    assert ids("") == [other, second, first]
    assert ids("?customer=acme") == [second, first]
    assert ids("?customer=acme&status=open") == [second]
    assert ids("?status=voided") == [first]
    problem(api.get("/authorizations?status=lost"), 400, "invalid_request", "status")
    problem(api.get("/authorizations?customer=nobody"), 404, "not_found")


@pytest.mark.parametrize("path", ["", "/capture", "/void"])
@pytest.mark.parametrize("id_", ["01890a5d-ac96-774b-bcce-b302099a8057", "x", "%00"])
def test_what_is_not_there_is_not_found(api: Api, path: str, id_: str) -> None:
    answer = api.post(f"/authorizations/{id_}{path}", {"amount": "1"}) if path else api.get(f"/authorizations/{id_}")

    problem(answer, 404, "not_found")


# --- Capture ----------------------------------------------------------------------------------------------------------


def test_capturing_the_usage_charges_it_and_gives_the_rest_back(api: Api, shop: Shop, acme: Any) -> None:
    id_ = api.post("/authorizations", BY_USAGE).json()["id"]
    event = {
        "specversion": "1.0",
        "id": "run-1",
        "source": "gateway",
        "type": LLM,
        "subject": "acme",
        "data": {"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 1000},
    }

    response = api.post(f"/authorizations/{id_}/capture", {"event": event})

    assert response.status_code == 200, response.content
    body = response.json()
    assert set(body) == SHOWN | {"event"}
    assert (body["status"], body["amount"], body["captured"]) == ("captured", "0.043", "0.013")
    assert MOMENT.match(body["closed_at"])
    assert body["event"] | {"charges": None, "transaction": None} == {
        "id": "run-1",
        "status": "charged",
        "customer": "acme",
        "charges": None,
        "cost": {"usd": "0.013"},
        "balance": {"usd": "9.987"},
        "transaction": None,
    }
    assert [(line["meter"], line["amount"]) for line in body["event"]["charges"]] == [
        ("llm_input", "0.003"),
        ("llm_output", "0.01"),
    ]
    assert api.get("/events/run-1").json()["status"] == "charged"
    assert wallet(shop, acme) == ("9.987", "0")


def test_the_event_need_not_say_what_the_authorization_knows(api: Api) -> None:
    id_ = api.post("/authorizations", BY_USAGE).json()["id"]

    response = api.post(f"/authorizations/{id_}/capture", {"event": {"data": {"output_tokens": 1000}}})

    assert response.status_code == 200
    event = UsageEvent.objects.get()
    assert (event.event_id, event.source, event.type) == (id_, "authorizations", LLM)
    assert response.json()["captured"] == "0.01"


def test_a_lost_answer_to_a_capture_is_given_again(api: Api) -> None:
    """Even without a key: the event is the authorization's own."""
    id_ = api.post("/authorizations", BY_USAGE).json()["id"]
    capture = {"event": {"data": {"output_tokens": 1000}}}
    first = api.post(f"/authorizations/{id_}/capture", capture)

    again = api.post(f"/authorizations/{id_}/capture", capture)

    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    assert "Idempotent-Replayed" not in first
    assert again.json() == first.json()
    assert Charge.objects.count() == 1
    problem(
        api.post(f"/authorizations/{id_}/capture", {"event": {"data": {"output_tokens": 1001}}}), 409, "event_conflict"
    )


def test_a_part_keeps_the_rest_open(api: Api, shop: Shop, acme: Any) -> None:
    id_ = opened(api)

    part = api.post(f"/authorizations/{id_}/capture", {"amount": "1.5", "final": False})
    assert (part.status_code, part.json()["status"], part.json()["captured"]) == (200, "open", "1.5")
    assert part.json()["closed_at"] is None
    assert wallet(shop, acme) == ("6", "2.5")

    rest = api.post(f"/authorizations/{id_}/capture", {"amount": "0.5"})
    assert (rest.json()["status"], rest.json()["captured"]) == ("captured", "2")
    assert wallet(shop, acme) == ("8", "0")


def test_an_event_of_a_part_needs_an_id_of_its_own(api: Api) -> None:
    id_ = api.post("/authorizations", BY_USAGE).json()["id"]
    event = {"data": {"output_tokens": 100}}

    refusal = api.post(f"/authorizations/{id_}/capture", {"event": event, "final": False})
    problem(refusal, 400, "invalid_request", "event.id")

    for number in range(2):
        body = {"event": event | {"id": f"part-{number}"}, "final": False}
        assert api.post(f"/authorizations/{id_}/capture", body).json()["status"] == "open"
    assert Charge.objects.filter(amount__gt=0).count() == 2


def test_more_than_was_set_aside_and_is_free_is_refused(api: Api, shop: Shop, acme: Any) -> None:
    id_ = opened(api)

    by_amount = api.post(f"/authorizations/{id_}/capture", {"amount": "10.5"})
    event = {"id": "e", "type": LLM, "data": {"output_tokens": 1_050_000}}
    by_usage = api.post(f"/authorizations/{id_}/capture", {"event": event})

    for response in (by_amount, by_usage):
        refusal = problem(response, 402, "insufficient_funds")
        assert (refusal["asset"], refusal["available"], refusal["required"]) == ("usd", "10", "10.5")
    assert api.get(f"/authorizations/{id_}").json()["status"] == "open"
    assert UsageEvent.objects.count() == 0
    assert wallet(shop, acme) == ("6", "4")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["body"]),
        ({"final": True}, ["body"]),
        ({"amount": "1", "event": {"data": {}}}, ["body"]),
        ({"amount": "0"}, ["amount"]),
        ({"amount": "-1"}, ["amount"]),
        ({"amount": None}, ["amount"]),
        ({"amount": "1.0000000000001"}, ["amount"]),
        ({"amount": "1", "final": "perhaps"}, ["final"]),
        ({"amount": "1", "final": None}, ["final"]),
        ({"amount": "1", "colour": "red"}, ["colour"]),
        ({"event": None}, ["event"]),
        ({"event": []}, ["event"]),
        ({"event": {}}, ["event.type"]),
        ({"event": {"type": LLM, "id": ""}}, ["event.id"]),
        ({"event": {"type": LLM, "id": 7}}, ["event.id"]),
        ({"event": {"type": LLM, "source": "a\nb"}}, ["event.source"]),
        ({"event": {"type": LLM, "specversion": "0.3"}}, ["event.specversion"]),
        ({"event": {"type": LLM, "time": "yesterday"}}, ["event.time"]),
        ({"event": {"type": LLM, "data": 7}}, ["event.data"]),
        ({"event": {"type": LLM, "data": {}, "Bad-Name": 1}}, ["event.Bad-Name"]),
        ({"event": {"type": LLM, "subject": "globex", "data": {"input_tokens": 1}}}, ["event.subject"]),
        ({"event": {"type": LLM, "data": {"input_tokens": -1}}}, ["event.data.input_tokens"]),
        ({"event": {"type": LLM, "time": "2999-01-01T00:00:00Z", "data": {"input_tokens": 1}}}, ["event.time"]),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_capture_is_named(
    api: Api, shop: Shop, acme: Any, body: dict[str, Any], fields: list[str]
) -> None:
    id_ = opened(api)

    problem(api.post(f"/authorizations/{id_}/capture", body), 400, "invalid_request", *fields)

    assert api.get(f"/authorizations/{id_}").json()["status"] == "open"
    assert UsageEvent.objects.count() == 0
    assert wallet(shop, acme) == ("6", "4")


# --- Void, and what is closed -----------------------------------------------------------------------------------------


def test_voiding_gives_everything_back(api: Api, shop: Shop, acme: Any) -> None:
    id_ = opened(api)

    response = api.post(f"/authorizations/{id_}/void", {"reason": "The user left."})

    assert response.status_code == 200
    assert set(response.json()) == SHOWN
    assert (response.json()["status"], response.json()["captured"]) == ("voided", "0")
    assert MOMENT.match(response.json()["closed_at"])
    assert Authorization.objects.get().reason == "The user left."
    assert wallet(shop, acme) == ("10", "0")


@pytest.mark.parametrize(
    ("body", "field"), [({"reason": 7}, "reason"), ({"reason": "x" * 201}, "reason"), ({"why": "x"}, "why")], ids=str
)
def test_what_is_wrong_with_a_void_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    id_ = opened(api)

    problem(api.post(f"/authorizations/{id_}/void", body), 400, "invalid_request", field)

    assert Authorization.objects.get().status == "open"


@pytest.mark.parametrize("end", ["captured", "voided"])
def test_a_second_end_is_refused(api: Api, end: str) -> None:
    id_ = opened(api)
    path, body = ("capture", {"amount": "1"}) if end == "captured" else ("void", {})
    assert api.post(f"/authorizations/{id_}/{path}", body).json()["status"] == end
    entries = LedgerEntry.objects.count()

    for answer in (
        api.post(f"/authorizations/{id_}/capture", {"amount": "1"}),
        api.post(f"/authorizations/{id_}/capture", {"amount": "1", "final": False}),
        api.post(f"/authorizations/{id_}/capture", {"event": {"type": LLM, "data": {"input_tokens": 1}}}),
        api.post(f"/authorizations/{id_}/void", {}),
    ):
        refusal = problem(answer, 409, "invalid_state")
        assert refusal["errors"] == []

    assert LedgerEntry.objects.count() == entries


def late(shop: Shop) -> str:
    """An authorization of $4 whose time is over, and nobody has come by."""
    id_ = opened(Api(shop.key()))
    Authorization.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    return id_


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize(("path", "body"), [("capture", {"amount": "1"}), ("void", {})])
def test_whoever_comes_too_late_is_refused_and_the_hold_goes_back_at_once(
    api: Api, shop: Shop, acme: Any, path: str, body: Any, key: str | None
) -> None:
    headers = {} if key is None else {"idempotency_key": key}
    id_ = late(shop)

    first = api.post(f"/authorizations/{id_}/{path}", body, **headers)

    problem(first, 409, "invalid_state")
    assert wallet(shop, acme) == ("10", "0")
    again = api.post(f"/authorizations/{id_}/{path}", body, **headers)
    assert again.json()["detail"] == first.json()["detail"]
    assert again.headers.get("Idempotent-Replayed") == ("true" if key else None)
    assert api.get(f"/authorizations/{id_}").json()["status"] == "expired"


@pytest.mark.parametrize("key", ["k", None])
def test_usage_that_comes_too_late_is_charged_by_itself(api: Api, shop: Shop, acme: Any, key: str | None) -> None:
    headers = {} if key is None else {"idempotency_key": key}
    id_ = late(shop)

    body = api.post(
        f"/authorizations/{id_}/capture", {"event": {"type": LLM, "data": {"output_tokens": 100_000}}}, **headers
    ).json()

    assert (body["status"], body["captured"], body["event"]["status"]) == ("expired", "0", "charged")
    assert wallet(shop, acme) == ("9", "0")


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize(
    ("data", "status", "code"),
    [({"output_tokens": 9_000_000}, 402, "insufficient_funds"), ({"output_tokens": "x"}, 400, "invalid_request")],
)
def test_usage_that_comes_too_late_and_is_refused_leaves_nothing_held(
    api: Api, shop: Shop, acme: Any, data: Any, status: int, code: str, key: str | None
) -> None:
    headers = {} if key is None else {"idempotency_key": key}
    id_ = late(shop)

    answer = api.post(f"/authorizations/{id_}/capture", {"event": {"type": LLM, "data": data}}, **headers)

    problem(answer, status, code)
    assert wallet(shop, acme) == ("10", "0")
    assert not UsageEvent.objects.exists()


def test_a_refusal_in_time_changes_nothing_with_a_key_either(api: Api, shop: Shop, acme: Any) -> None:
    id_ = opened(api)
    body = {"event": {"type": LLM, "data": {"output_tokens": 9_000_000}}}

    problem(api.post(f"/authorizations/{id_}/capture", body, idempotency_key="k"), 402, "insufficient_funds")

    assert wallet(shop, acme) == ("6", "4")


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_with_an_idempotency_key_each_step_happens_once(api: Api, shop: Shop, acme: Any) -> None:
    first = api.post("/authorizations", BY_AMOUNT, idempotency_key="open")
    again = api.post("/authorizations", BY_AMOUNT, idempotency_key="open")
    assert (again.status_code, again["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first
    assert Authorization.objects.count() == 1
    id_ = first.json()["id"]

    part = {"amount": "1", "final": False}
    answers = [api.post(f"/authorizations/{id_}/capture", part, idempotency_key="part") for _ in range(3)]
    assert [(a.status_code, a.json()["captured"]) for a in answers] == [(200, "1")] * 3
    problem(
        api.post(f"/authorizations/{id_}/capture", part | {"amount": "2"}, idempotency_key="part"),
        409,
        "idempotency_conflict",
    )

    voids = [api.post(f"/authorizations/{id_}/void", {}, idempotency_key="void") for _ in range(2)]
    assert [(a.status_code, a.json()["status"]) for a in voids] == [(200, "voided")] * 2
    assert wallet(shop, acme) == ("9", "0")


def test_a_refusal_is_kept_under_its_key(api: Api, shop: Shop, acme: Any) -> None:
    body = BY_AMOUNT | {"amount": "11"}
    first = api.post("/authorizations", body, idempotency_key="k")
    shop.fund(acme, "5")

    again = api.post("/authorizations", body, idempotency_key="k")

    assert (first.status_code, again.status_code) == (402, 402)
    assert again.json() == first.json()
    assert again["Content-Type"] == "application/problem+json"
    assert Authorization.objects.count() == 0


def test_a_customers_key_reaches_only_its_own(
    api: Api, shop: Shop, acme: Any, as_key: Callable[[str | None], Api]
) -> None:
    globex = shop.customer("globex", usd="10")
    mine, theirs = as_key(shop.key(organization=acme.organization)), as_key(shop.key(organization=globex.organization))
    id_ = opened(mine)

    assert mine.get(f"/authorizations/{id_}").status_code == 200
    for answer in (
        theirs.get(f"/authorizations/{id_}"),
        theirs.post(f"/authorizations/{id_}/capture", {"amount": "1"}),
        theirs.post(f"/authorizations/{id_}/void", {}),
        theirs.post("/authorizations", BY_AMOUNT),
        theirs.post("/authorizations", BY_USAGE),
        theirs.get("/authorizations?customer=acme"),
    ):
        problem(answer, 404, "not_found")
    assert theirs.get("/authorizations").json()["data"] == []
    assert len(mine.get("/authorizations").json()["data"]) == 1
    assert Authorization.objects.get().status == "open"


def test_what_the_operator_set_aside_is_settled_by_the_operator_alone(
    api: Api, shop: Shop, acme: Any, as_key: Callable[[str | None], Api]
) -> None:
    """Else a customer could give back what a model that runs for it is about to use."""
    own = as_key(shop.key(organization=acme.organization))
    theirs, mine = opened(api), opened(own)

    for path, body in (("capture", {"amount": "1"}), ("void", {})):
        problem(own.post(f"/authorizations/{theirs}/{path}", body), 403, "permission_denied")

    assert Authorization.objects.get(pk=theirs).status == "open"
    assert own.post(f"/authorizations/{mine}/capture", {"amount": "1", "final": False}).status_code == 200
    assert as_key(shop.key(organization=acme.organization)).post(f"/authorizations/{mine}/void", {}).status_code == 200
    assert api.post(f"/authorizations/{theirs}/void", {}).status_code == 200


def test_a_customers_key_cannot_take_the_id_of_usage_that_the_operator_is_about_to_report(
    api: Api, shop: Shop, acme: Any, as_key: Callable[[str | None], Api]
) -> None:
    own = as_key(shop.key(organization=acme.organization))
    id_, mine = (key.post("/authorizations", BY_USAGE).json()["id"] for key in (api, own))
    event = {"specversion": "1.0", "id": id_, "source": "authorizations", "type": LLM, "subject": "acme", "data": {}}

    refused = problem(own.post("/events", event), 400, "invalid_request")
    assert [error["field"] for error in refused["errors"]] == ["source"]
    lago = {"event": {"transaction_id": id_, "code": LLM, "external_customer_id": "acme", "properties": {}}}
    assert own.post("/events", lago).status_code != 409
    assert UsageEvent.objects.get(event_id=id_).source == "own-lago"

    captured = api.post(f"/authorizations/{id_}/capture", {"event": {"data": BY_USAGE["data"]}})
    assert (captured.status_code, captured.json()["event"]["status"]) == (200, "charged")
    assert own.post(f"/authorizations/{mine}/capture", {"event": {"data": BY_USAGE["data"]}}).status_code == 200
    assert UsageEvent.objects.get(event_id=mine).source == "own-authorizations"


def test_a_key_needs_the_scope(api: Api, shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    id_ = opened(api)
    reader, nobody = as_key(shop.key("wallets:read")), as_key(None)

    assert reader.get(f"/authorizations/{id_}").status_code == 200
    for path, body in (
        ("/authorizations", BY_AMOUNT),
        (f"/authorizations/{id_}/capture", {"amount": "1"}),
        (f"/authorizations/{id_}/void", {}),
    ):
        assert problem(reader.post(path, body), 403, "permission_denied")["scope"] == "authorizations:write"
        problem(nobody.post(path, body), 401, "unauthenticated")
    writer = as_key(shop.key("authorizations:write"))
    problem(writer.get(f"/authorizations/{id_}"), 403, "permission_denied")
    assert writer.post(f"/authorizations/{id_}/void", {}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_authorization_cannot_be_changed_otherwise(api: Api, method: str) -> None:
    id_ = opened(api)

    assert api.send(method, f"/authorizations/{id_}", {"status": "voided"}).status_code == 405
    assert Authorization.objects.get().status == "open"
