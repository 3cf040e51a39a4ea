"""``/customers`` and what is below them."""

import re
from typing import Any
from urllib.parse import quote

import pytest

from accounts.models import AuditEvent
from billing.models import Customer, Grant, LedgerEntry
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
ACME = {
    "external_id": "acme",
    "name": "Acme",
    "email": "billing@acme.test",
    "currency": "USD",
    "country": "US",
    "timezone": "Europe/Berlin",
    "metadata": {"tier": "gold", "ratio": 0.1, "nested": [1, {"x": None}]},
}


def test_a_customer_is_added_and_shown(api: Api) -> None:
    response = api.post("/customers", ACME)

    assert response.status_code == 201
    created = dict(response.json())
    assert MOMENT.match(created.pop("created_at"))
    assert created == ACME | {
        "on_insufficient_funds": "reject",
        "overdue_action": "default",
        "overdue_grace_days": None,
        "metadata": {"tier": "gold", "ratio": "0.1", "nested": [1, {"x": None}]},
    }
    shown = api.get("/customers/acme")
    assert (shown.status_code, shown.json()) == (200, response.json())


def test_only_id_name_and_currency_are_needed(api: Api) -> None:
    response = api.post("/customers", {"external_id": "acme", "name": "Acme", "currency": "usd"})

    assert response.status_code == 201
    assert {name: response.json()[name] for name in ("email", "country", "timezone", "metadata", "currency")} == {
        "email": "",
        "country": "",
        "timezone": "UTC",
        "metadata": {},
        "currency": "USD",
    }


@pytest.mark.parametrize(
    "external_id", ["acme", "org_1:prod", "a" * 255, "Ünïcode-🙂", "a?b#c&d", "100%", "..a", "a.b"]
)
def test_a_customer_is_addressed_by_the_operators_own_id(api: Api, external_id: str) -> None:
    assert api.post("/customers", ACME | {"external_id": external_id}).status_code == 201

    assert api.get(f"/customers/{quote(external_id, safe='')}").json()["external_id"] == external_id


def test_a_second_customer_with_the_same_id_is_refused(api: Api) -> None:
    api.post("/customers", ACME)

    problem(api.post("/customers", ACME | {"name": "Other"}), 409, "already_exists")

    assert Customer.objects.get().name == "Acme"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"external_id": ""}, "external_id"),
        ({"external_id": None}, "external_id"),
        ({"external_id": 7}, "external_id"),
        ({"external_id": "a/b"}, "external_id"),
        ({"external_id": "a b"}, "external_id"),
        ({"external_id": "a\n"}, "external_id"),
        ({"external_id": ".."}, "external_id"),
        ({"external_id": "."}, "external_id"),
        ({"external_id": "a" * 256}, "external_id"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a\tb"}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": 7}, "email"),
        ({"email": ["a@b.test"]}, "email"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": ""}, "currency"),
        ({"currency": 7}, "currency"),
        ({"currency": None}, "currency"),
        ({"country": "usa"}, "country"),
        ({"country": "us"}, "country"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"on_insufficient_funds": "pray"}, "on_insufficient_funds"),
        ({"overdue_action": "sue"}, "overdue_action"),
        ({"overdue_grace_days": -1}, "overdue_grace_days"),
        ({"overdue_grace_days": 366}, "overdue_grace_days"),
        ({"metadata": []}, "metadata"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {str(n): n for n in range(51)}}, "metadata"),
        ({"metadata": {"x": "y" * 17_000}}, "metadata"),
        ({"colour": "red"}, "colour"),
        ({"created_at": "2026-01-01T00:00:00Z"}, "created_at"),
        ({"id": "x"}, "id"),
        ({"organization": "x"}, "organization"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_customer_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    problem(api.post("/customers", ACME | change), 400, "invalid_request", field)

    assert Customer.objects.count() == 0


def test_all_that_is_wrong_is_named_at_once(api: Api) -> None:
    body = {"name": "", "currency": "XXX", "country": "usa"}

    problem(api.post("/customers", body), 400, "invalid_request", "country", "currency", "external_id", "name")


def test_a_customer_is_changed_in_part(api: Api, shop: Shop) -> None:
    api.post("/customers", ACME)

    response = api.patch("/customers/acme", {"name": "Acme Inc.", "metadata": {}, "on_insufficient_funds": "overdraft"})

    assert response.status_code == 200
    changed = response.json()
    assert (changed["name"], changed["metadata"], changed["on_insufficient_funds"]) == ("Acme Inc.", {}, "overdraft")
    assert (changed["email"], changed["timezone"]) == ("billing@acme.test", "Europe/Berlin")
    assert AuditEvent.objects.get(action="customer.changed").actor_kind == "api_key"


@pytest.mark.parametrize("field", ["external_id", "currency", "created_at", "colour"])
def test_what_a_customer_is_stays(api: Api, field: str) -> None:
    api.post("/customers", ACME)

    problem(api.patch("/customers/acme", {field: "eur"}), 400, "invalid_request", field)


@pytest.mark.parametrize(
    "path", ["/customers/nobody", "/customers/nobody/wallet", "/customers/nobody/grants", "/customers/nobody/ledger"]
)
def test_an_unknown_customer_is_not_found(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not_found")


def test_the_wallet_of_a_new_customer_is_empty(api: Api) -> None:
    api.post("/customers", ACME)

    response = api.get("/customers/acme/wallet")

    assert response.status_code == 200
    assert response.json() == {
        "customer": "acme",
        "balances": [
            {
                "asset": "usd",
                "available": "0",
                "held": "0",
                "overdraft_limit": "0",
                "lifetime_granted": "0",
                "lifetime_spent": "0",
            }
        ],
    }


def test_the_wallet_tells_what_came_and_went(api: Api, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, input_tokens=1000, output_tokens=450)

    (balance,) = api.get("/customers/acme/wallet").json()["balances"]

    assert balance == {
        "asset": "usd",
        "available": "99.993",
        "held": "0",
        "overdraft_limit": "0",
        "lifetime_granted": "100",
        "lifetime_spent": "0.007",
    }


def test_an_overdraft_limit_is_set(api: Api, shop: Shop) -> None:
    shop.customer()

    response = api.patch("/customers/acme/wallet", {"asset": "usd", "overdraft_limit": "50.5"})

    assert response.status_code == 200
    assert response.json()["balances"][0]["overdraft_limit"] == "50.5"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"asset": "usd", "overdraft_limit": "-1"}, "overdraft_limit"),
        ({"asset": "usd", "overdraft_limit": "NaN"}, "overdraft_limit"),
        ({"asset": "usd"}, "overdraft_limit"),
        ({"asset": "gold", "overdraft_limit": "1"}, "asset"),
        ({"overdraft_limit": "1"}, "asset"),
        ({"asset": "usd", "overdraft_limit": "1", "available": "100"}, "available"),
    ],
    ids=str,
)
def test_a_wrong_overdraft_limit_is_named(api: Api, shop: Shop, body: dict[str, Any], field: str) -> None:
    acme = shop.customer()

    problem(api.patch("/customers/acme/wallet", body), 400, "invalid_request", field)

    assert shop.balance(acme).overdraft_limit == 0


def test_a_limit_below_what_is_owed_is_an_invalid_state(api: Api, shop: Shop) -> None:
    acme = shop.customer()
    api.patch("/customers/acme/wallet", {"asset": "usd", "overdraft_limit": "5"})
    shop.record(acme, output_tokens=400_000)

    refused = problem(
        api.patch("/customers/acme/wallet", {"asset": "usd", "overdraft_limit": "3"}), 409, "invalid_state"
    )

    assert refused["owed"] == "4"


GRANT = {
    "asset": "usd",
    "amount": "100",
    "kind": "purchase",
    "priority": 50,
    "effective_at": None,
    "expires_at": "2099-01-01T00:00:00+01:00",
    "paid": {"amount": "90.50", "currency": "USD"},
    "applies_to": {"meters": ["llm_output"]},
    "name": "Launch credits",
    "metadata": {"invoice": "i1"},
}


def test_a_grant_is_put_in_and_shown(api: Api, shop: Shop) -> None:
    shop.customer()

    response = api.post("/customers/acme/grants", GRANT)

    assert response.status_code == 201
    grant = dict(response.json())
    assert re.fullmatch(r"[0-9a-f-]{36}", grant.pop("id"))
    assert MOMENT.match(grant.pop("effective_at"))
    assert MOMENT.match(grant.pop("created_at"))
    assert grant == {
        "customer": "acme",
        "asset": "usd",
        "amount": "100",
        "remaining": "100",
        "held": "0",
        "status": "active",
        "kind": "purchase",
        "priority": 50,
        "expires_at": "2098-12-31T23:00:00Z",
        "paid": {"amount": "90.5", "currency": "USD"},
        "applies_to": {"meters": ["llm_output"]},
        "name": "Launch credits",
        "metadata": {"invoice": "i1"},
    }
    assert api.get("/customers/acme/grants").json() == {"data": [response.json()], "next_cursor": None}


def test_a_grant_needs_only_asset_amount_and_kind(api: Api, shop: Shop) -> None:
    acme = shop.customer()

    response = api.post("/customers/acme/grants", {"asset": "usd", "amount": 0.1, "kind": "promotional"})

    assert response.status_code == 201
    assert (response.json()["amount"], response.json()["priority"], response.json()["paid"]) == ("0.1", 50, None)
    assert str(shop.balance(acme).available) == "0.100000000000"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('"0.1"', "0.1"),
        ("0.1", "0.1"),
        ("1e-7", "0.0000001"),
        ('"1E-7"', "0.0000001"),
        ("1E2", "100"),
        ("123456789012345678", "123456789012345678"),
        ('"999999999999999999.999999999999"', "999999999999999999.999999999999"),
        ("999999999999999999.999999999999", "999999999999999999.999999999999"),
        ("0.000000000001", "0.000000000001"),
        ("1.10", "1.1"),
    ],
)
def test_an_amount_arrives_exactly_as_it_was_written(api: Api, shop: Shop, sent: str, stored: str) -> None:
    shop.customer()

    response = api.post("/customers/acme/grants", f'{{"asset": "usd", "kind": "promotional", "amount": {sent}}}')

    assert response.status_code == 201
    assert response.json()["amount"] == stored
    assert api.get("/customers/acme/wallet").json()["balances"][0]["available"] == stored


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"asset": "gold"}, "asset"),
        ({"asset": None}, "asset"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "Infinity"}, "amount"),
        ({"amount": "1e400"}, "amount"),
        ({"amount": "1" * 40}, "amount"),
        ({"amount": "0.0000000000001"}, "amount"),
        ({"amount": "1000000000000000000"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount": " 1"}, "amount"),
        ({"amount": "1_0"}, "amount"),
        ({"amount": "+1"}, "amount"),
        ({"amount": "0x10"}, "amount"),
        ({"amount": "١"}, "amount"),
        ({"amount": "1,5"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": [1]}, "amount"),
        ({"amount": {}}, "amount"),
        ({"kind": "wish"}, "kind"),
        ({"kind": None}, "kind"),
        ({"priority": 101}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 4070908800}, "expires_at"),
        ({"expires_at": "2099-02-30T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59Z"}, "expires_at"),
        ({"effective_at": "0001-01-01T00:00:00Z"}, "effective_at"),
        ({"effective_at": "2099-01-02T00:00:00Z"}, "expires_at"),
        ({"paid": {"amount": "-1", "currency": "USD"}}, "paid.amount"),
        ({"paid": {"amount": "0e-99999", "currency": "USD"}}, "paid.amount"),
        ({"paid": {"amount": "1"}}, "paid.currency"),
        ({"paid": {"amount": "1", "currency": "USD", "tip": "1"}}, "paid.tip"),
        ({"paid": "1"}, "paid"),
        ({"applies_to": {"meters": []}}, "applies_to.meters"),
        ({"applies_to": {"meters": ["unknown"]}}, "applies_to.meters.0"),
        ({"applies_to": {"models": ["x"]}}, "applies_to.models"),
        ({"applies_to": []}, "applies_to"),
        ({"remaining": "1"}, "remaining"),
        ({"status": "active"}, "status"),
        ({"posted": True}, "posted"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_grant_is_named_and_nothing_moves(
    api: Api, shop: Shop, change: dict[str, Any], field: str
) -> None:
    acme = shop.customer()

    refused = problem(api.post("/customers/acme/grants", GRANT | change), 400, "invalid_request")

    assert field in {error["field"] for error in refused["errors"]}
    assert shop.balance(acme).available == 0
    assert Grant.objects.count() == LedgerEntry.objects.count() == 0


def test_a_wallet_that_would_overflow_refuses_clearly(api: Api, shop: Shop) -> None:
    shop.customer(usd="999999999999999999")

    problem(
        api.post("/customers/acme/grants", {"asset": "usd", "amount": "1", "kind": "promotional"}),
        400,
        "invalid_request",
        "amount",
    )


def test_the_statement_shows_every_movement_newest_first(api: Api, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    recorded = shop.record(acme, id="one", input_tokens=1000)

    response = api.get("/customers/acme/ledger")

    assert response.status_code == 200
    usage, top_up = response.json()["data"]
    assert (usage["kind"], usage["amount"], usage["balance_after"], usage["event"]) == (
        "usage",
        "-0.0025",
        "99.9975",
        "one",
    )
    assert usage["transaction"] == str(recorded.transaction_id)
    assert (top_up["kind"], top_up["amount"], top_up["balance_after"], top_up["event"]) == (
        "top_up",
        "100",
        "100",
        None,
    )
    assert usage["grant"] == top_up["grant"] == str(Grant.objects.get().pk)
    assert set(usage) == {
        *("id", "transaction", "kind", "asset", "amount", "balance_after"),
        *("grant", "event", "occurred_at", "posted_at"),
    }
    assert response.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("kind=usage", ["usage"]),
        ("kind=top_up", ["top_up"]),
        ("kind=expiry", []),
        ("asset=usd", ["usage", "top_up"]),
        ("asset=eur", []),
        ("from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z", []),
        ("from=2020-01-01T00:00:00%2B01:00", ["usage", "top_up"]),
        ("from=2020-01-01T00:00:00+01:00", ["usage", "top_up"]),
        ("from=&to=&kind=&asset=", ["usage", "top_up"]),
    ],
)
def test_the_statement_can_be_filtered(api: Api, shop: Shop, query: str, kinds: list[str]) -> None:
    shop.record(shop.customer(usd="100"), input_tokens=1000)

    assert [entry["kind"] for entry in api.get(f"/customers/acme/ledger?{query}").json()["data"]] == kinds


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=wish", "kind"),
        ("asset=gold", "asset"),
        ("from=yesterday", "from"),
        ("to=2020-01-01", "to"),
        ("to=2020-01-01T00:00:00", "to"),
        ("from=0001-01-01T00:00:00Z", "from"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=²", "limit"),
        ("kind=%00", "kind"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(api: Api, shop: Shop, query: str, field: str) -> None:
    shop.customer()

    problem(api.get(f"/customers/acme/ledger?{query}"), 400, "invalid_request", field)
