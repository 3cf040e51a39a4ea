"""An operator's key names the customer's own key that a call was made with: it counts for that one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Membership
from accounts.services import api_keys
from billing.models import Authorization, Customer, UsageEvent
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import LLM, Shop

CALL = {"customer": "acme", "type": LLM, "data": {"input_tokens": 4000}}  # A hundredth of a dollar.
AMOUNT = {"customer": "acme", "asset": "usd", "amount": "0.01"}


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="10")


@pytest.fixture
def key(shop: Shop, acme: Customer) -> ApiKey:
    """Made by dev@acme.test."""
    developer = shop.member(acme, "dev@acme.test", "developer")
    return made(acme, created_by=developer)


def made(customer: Customer, **terms: Any) -> ApiKey:
    return api_keys.issue(name="app", scopes=["wallets:read"], organization=customer.organization, **terms)[0]


def event(id: str, key: ApiKey | None, tokens: int = 4000, **more: Any) -> dict[str, Any]:
    named = {} if key is None else {"api_key": str(key.pk)}
    return cloud_event(id, data={"input_tokens": tokens}) | named | more


def test_its_budget_counts_and_refuses_what_comes_through_either_door(
    api: Api, shop: Shop, acme: Customer, key: ApiKey
) -> None:
    limit = shop.budget(acme, "0.03", api_key=key)
    named = {"api_key": str(key.pk)}

    opened = api.post("/authorizations", CALL | named).json()
    assert opened["api_key"] == str(key.pk)
    assert api.post("/events", event("one", key)).status_code == 201
    plain = api.post("/authorizations", AMOUNT | named)
    assert plain.status_code == 201

    for refused in (
        api.post("/events", event("two", key)),
        api.post("/authorizations", CALL | named),
        api.post("/authorizations", AMOUNT | named),
    ):
        assert problem(refused, 402, "budget_exceeded")["budget"] == str(limit.pk)
    assert api.post("/events", event("three", None)).status_code == 201
    assert api.post("/events", event("four", made(acme))).status_code == 201

    # The event of a capture need not say it again, and a plain amount cannot.
    assert api.post(f"/authorizations/{opened['id']}/capture", {"event": {"data": CALL["data"]}}).status_code == 200
    assert api.post(f"/authorizations/{plain.json()['id']}/capture", {"amount": "0.01"}).status_code == 200
    assert UsageEvent.objects.get(event_id=opened["id"]).api_key_id == key.pk
    assert api.get(f"/customers/acme/budgets/{limit.pk}").json()["spent"] == "0.03"
    used = api.get("/usage?customer=acme&granularity=month&group_by=api_key").json()["data"]
    assert [row["amount"] for row in used if row["api_key"] == str(key.pk)] == ["0.02"]


def test_a_budget_of_its_maker_counts_it_and_a_key_can_be_paused_by_one(
    api: Api, shop: Shop, acme: Customer, key: ApiKey
) -> None:
    shop.budget(acme, "0.01", member=Membership.objects.get(user__email="dev@acme.test"), at_cap="pause_key")
    assert api.post("/events", event("one", key)).status_code == 201

    refused = api.post("/authorizations", CALL | {"api_key": str(key.pk)})

    problem(refused, 402, "budget_exceeded")
    key.refresh_from_db()
    assert key.paused_at is not None
    paused = problem(api.post("/authorizations", CALL | {"api_key": str(key.pk)}), 403, "permission_denied")
    assert paused["detail"] == "This key is paused. A budget is used up."
    assert api.post("/authorizations", CALL).status_code == 201  # The operator's own is never paused.


@pytest.mark.parametrize("what", ["unknown", "foreign", "the operator's", "no id", "null", "without hyphens"])
def test_what_is_no_key_of_the_customer_s_is_refused_and_changes_nothing(
    api: Api, shop: Shop, acme: Customer, key: ApiKey, what: str
) -> None:
    named: dict[str, Any] = {
        "unknown": str(uuid4()),
        "foreign": str(made(shop.customer("globex", usd="1")).pk),
        "the operator's": str(ApiKey.objects.filter(organization=None).latest("created_at").pk),
        "no id": "app",
        "null": None,
        "without hyphens": key.pk.hex,
    }
    api_key = {"api_key": named[what]}
    opened = api.post("/authorizations", AMOUNT).json()["id"]
    before = (shop.balance(acme).available, Authorization.objects.count())

    for path, body, field in (
        ("/events", event("one", None) | api_key, "api_key"),
        ("/authorizations", CALL | api_key, "api_key"),
        ("/authorizations", AMOUNT | api_key, "api_key"),
        (f"/authorizations/{opened}/capture", {"event": event("two", None) | api_key}, "event.api_key"),
    ):
        problem(api.post(path, body), 400, "invalid_request", field)
    batch = api.post("/events", [event("three", None) | api_key, event("four", key)]).json()

    assert [(each["status"], each["code"]) for each in batch["results"]] == [
        ("rejected", "invalid_request"),
        ("charged", None),
    ]
    assert UsageEvent.objects.get().event_id == "four"
    assert (shop.balance(acme).available + shop.balance(acme).lifetime_spent, Authorization.objects.count()) == before


@pytest.mark.parametrize("how", ["revoked", "expired", "paused"])
def test_nothing_is_set_aside_for_a_key_that_cannot_call_and_what_it_did_before_is_charged(
    api: Api, acme: Customer, key: ApiKey, how: str
) -> None:
    opened = api.post("/authorizations", CALL | {"api_key": str(key.pk)}).json()["id"]
    end = {"revoked": "revoked_at", "expired": "expires_at", "paused": "paused_at"}[how]
    ApiKey.objects.filter(pk=key.pk).update(**{end: timezone.now() - timedelta(seconds=1)})

    for body in (CALL, AMOUNT):
        refused = problem(api.post("/authorizations", body | {"api_key": str(key.pk)}), 403, "permission_denied")
        assert ("paused" in refused["detail"]) == (how == "paused")
    assert Authorization.objects.count() == 1

    for done in (
        api.post(f"/authorizations/{opened}/capture", {"event": event("one", key)}),
        api.post("/events", event("two", key)),
    ):
        assert done.status_code in {200, 201}, done.content
    assert set(UsageEvent.objects.values_list("api_key_id", flat=True)) == {key.pk}


def test_only_the_operator_names_one_and_settles_what_it_set_aside(
    api: Api, acme: Customer, key: ApiKey, shop: Shop, as_key: Callable[[str | None], Api]
) -> None:
    own = as_key(shop.key(organization=acme.organization))
    named = {"api_key": str(key.pk)}

    problem(own.post("/events", event("one", key)), 400, "invalid_request", "api_key")
    for body in (CALL, AMOUNT):
        problem(own.post("/authorizations", body | named), 400, "invalid_request", "api_key")
    opened = api.post("/authorizations", CALL | named).json()["id"]
    for path, sent in (("capture", {"amount": "0.01"}), ("void", {})):
        problem(own.post(f"/authorizations/{opened}/{path}", sent), 403, "permission_denied")

    assert own.get(f"/authorizations/{opened}").json()["api_key"] == str(key.pk)
    assert not UsageEvent.objects.exists()
    assert api.post(f"/authorizations/{opened}/void", {}).status_code == 200


def test_an_event_names_the_key_that_its_authorization_does(api: Api, acme: Customer, key: ApiKey) -> None:
    """Else what was let pass for one could be charged to another."""
    other = made(acme)
    for named in ({}, {"api_key": str(other.pk)}):
        opened = api.post("/authorizations", CALL | named).json()["id"]
        refused = api.post(f"/authorizations/{opened}/capture", {"event": event("one", key)})
        problem(refused, 400, "invalid_request", "event.api_key")
    assert not UsageEvent.objects.exists()


def test_it_is_a_part_of_the_event(api: Api, acme: Customer, key: ApiKey) -> None:
    first = api.post("/events", event("one", key))
    again = api.post("/events", event("one", key))

    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    assert again.json() == first.json()
    for other in (None, made(acme)):
        problem(api.post("/events", event("one", other)), 409, "event_conflict")
    assert api.get("/events/one").json()["extensions"] == {"api_key": str(key.pk)}


def test_a_key_that_is_named_again_is_not_looked_up_again(
    api: Api, acme: Customer, key: ApiKey, django_assert_num_queries: Any
) -> None:
    assert api_keys.owners({key.pk}) == {key.pk: acme.organization_id}

    with django_assert_num_queries(0):
        assert api_keys.owners({key.pk}) == {key.pk: acme.organization_id}
        assert api_keys.owners([]) == {}
