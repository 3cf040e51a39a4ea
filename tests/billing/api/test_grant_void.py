"""``POST /grants/{id}/void``."""

from collections.abc import Callable

import pytest

from billing.models import Grant, LedgerEntry
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

WHY = {"reason": "Bought by mistake"}


@pytest.fixture
def grant(shop: Shop) -> Grant:
    return shop.fund(shop.customer(), "5")


def test_the_answer_is_the_grant_as_it_is_now(api: Api, grant: Grant) -> None:
    response = api.post(f"/grants/{grant.pk}/void", WHY)

    assert response.status_code == 200
    body = response.json()
    assert (body["id"], body["customer"], body["status"], body["remaining"]) == (str(grant.pk), "acme", "voided", "0")
    listed = api.get("/customers/acme/grants").json()["data"]
    assert listed == [body]
    (entry, _) = api.get("/customers/acme/ledger").json()["data"]
    assert (entry["kind"], entry["amount"], entry["balance_after"]) == ("void", "-5", "0")
    assert api.get("/customers/acme/ledger?kind=void").json()["data"] == [entry]


def test_a_second_time_is_a_conflict_and_the_same_key_the_same_answer(api: Api, grant: Grant) -> None:
    path = f"/grants/{grant.pk}/void"
    first = api.post(path, WHY, idempotency_key="k")
    again = api.post(path, WHY, idempotency_key="k")

    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (200, 200, "true")
    assert first.json() == again.json()
    assert problem(api.post(path, WHY), 409, "invalid_state")["status"] == 409
    problem(api.post(path, {"reason": "another"}, idempotency_key="k"), 409, "idempotency_conflict")
    assert LedgerEntry.objects.filter(kind="void").count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a\x01b"}, "reason"),
        (WHY | {"amount": "1"}, "amount"),
    ],
)
def test_a_reason_is_needed_and_nothing_else(api: Api, grant: Grant, body: dict[str, str], field: str) -> None:
    problem(api.post(f"/grants/{grant.pk}/void", body), 400, "invalid_request", field)

    assert not LedgerEntry.objects.filter(kind="void").exists()


def test_who_may_not(api: Api, grant: Grant, shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    path = f"/grants/{grant.pk}/void"
    problem(as_key(None).post(path, WHY), 401, "unauthenticated")
    problem(as_key(shop.key("wallets:read")).post(path, WHY), 403, "permission_denied")
    problem(as_key(shop.key(organization=grant.customer.organization)).post(path, WHY), 403, "permission_denied")
    problem(api.post("/grants/0198c0de-0000-7000-8000-000000000001/void", WHY), 404, "not_found")
    problem(api.post("/grants/nonsense/void", WHY), 404, "not_found")

    grant.refresh_from_db()
    assert grant.voided_at is None
