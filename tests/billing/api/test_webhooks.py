"""Webhook endpoints by API: whose they are, what is shown of them, and what is refused."""

from typing import Any

import pytest
from django.db import connection

from accounts.models import AuditEvent, User
from accounts.services.audit import SYSTEM
from billing.engine.webhooks import TYPES
from billing.models import Customer, IdempotencyRecord, WebhookDelivery, WebhookEndpoint
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.billing.api.conftest import Api, problem
from tests.billing.api.test_access import Keys
from tests.builders import Shop, browser_of

URL = "https://hooks.test/ante"


@pytest.fixture
def own(shop: Shop, as_key: Keys) -> Api:
    """The API as acme sees it."""
    return as_key(shop.key(organization=shop.customer("acme").organization))


def named(customer: Customer | None) -> WebhookEndpoint:
    return endpoints.create(actor=SYSTEM, may=anything, customer=customer, url=URL, events=["*"])[0]


def test_the_secret_is_shown_once(api: Api) -> None:
    made = api.post("/webhook-endpoints", {"url": URL, "events": ["wallet.balance_low", "*"], "customer": None})

    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    shown = api.get(f"/webhook-endpoints/{made.json()['id']}").json()
    assert shown == {name: value for name, value in made.json().items() if name != "secret"}
    assert (shown["events"], shown["customer"], shown["enabled"]) == (["wallet.balance_low", "*"], None, True)
    renewed = api.post(f"/webhook-endpoints/{shown['id']}/rotate-secret", None).json()["secret"]
    assert renewed != made.json()["secret"]


@pytest.mark.usefixtures("plain_static_files")
def test_an_answer_that_is_kept_has_the_secret_sealed(api: Api) -> None:
    body = {"url": URL, "events": ["*"], "customer": None}
    made = api.post("/webhook-endpoints", body, idempotency_key="made")
    rotate = f"/webhook-endpoints/{made.json()['id']}/rotate-secret"
    renewed = api.post(rotate, None, idempotency_key="renewed")

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), string_agg(r::text, ' ') FROM billing_idempotencyrecord r")
        count, stored = cursor.fetchone()
    assert (count, "whsec_" in stored) == (2, False)
    again = api.post("/webhook-endpoints", body, idempotency_key="made")
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, made.json(), "true")
    again = api.post(rotate, None, idempotency_key="renewed")
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (200, renewed.json(), "true")
    assert made.json()["secret"] != renewed.json()["secret"] == WebhookEndpoint.objects.get().secret
    admin = browser_of(User.objects.create_superuser("admin@ante.test"))
    record = IdempotencyRecord.objects.get(key="made")
    shown = admin.get(f"/admin/billing/idempotencyrecord/{record.pk}/change/").content.decode()
    assert "(hidden)" in shown
    assert "whsec_" not in shown


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://hooks.test/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": 7}, "url"),
        ({"events": []}, "events"),
        ({"events": ["no.such"]}, "events"),
        ({"events": "*"}, "events"),
        ({"secret": "mine"}, "secret"),
    ],
    ids=["plain", "loopback", "no-host", "number", "none", "unknown", "text", "own-secret"],
)
def test_what_cannot_be_is_refused_by_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    response = api.post("/webhook-endpoints", {"url": URL, "events": ["*"]} | change)

    assert problem(response, 400, "invalid_request")["errors"][0]["field"] == field
    assert not WebhookEndpoint.objects.exists()


def test_a_customers_key_names_its_own_and_reaches_no_other(shop: Shop, own: Api) -> None:
    globex = shop.customer("globex")
    made = own.post("/webhook-endpoints", {"url": URL, "events": ["*"]}).json()
    assert made["customer"] == "acme"
    problem(own.post("/webhook-endpoints", {"url": URL, "events": ["*"], "customer": "globex"}), 404, "not_found")
    for foreign in (named(globex), named(None)):
        for method, below in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")]:
            problem(own.send(method, f"/webhook-endpoints/{foreign.pk}{below}", {}), 404, "not_found")
    assert [row["id"] for row in own.get("/webhook-endpoints").json()["data"]] == [made["id"]]


def test_the_trail_says_what_of_an_endpoint_changed_and_no_path(shop: Shop, api: Api) -> None:
    endpoint = named(shop.customer("acme"))
    path = f"/webhook-endpoints/{endpoint.pk}"
    host = "https://hooks.test"
    for change in ({"url": f"{host}:8443/secret", "enabled": True}, {"events": ["*"]}, {"description": "Ann's"}):
        assert api.patch(path, change).status_code == 200
    assert api.patch(path, {"enabled": False, "description": "Ann's"}).status_code == 200

    lines = AuditEvent.objects.filter(action="webhook_endpoint.changed").order_by("pk")
    assert [(line.before, line.after) for line in lines] == [
        ({"url": host}, {"url": f"{host}:8443"}),
        ({"description": ""}, {"description": "Ann's"}),
        ({"enabled": True}, {"enabled": False}),
    ]
    assert [line.sealed_after for line in lines] == [{}, {}, {"enabled": False}]


def test_a_delivery_is_that_endpoints_alone(shop: Shop, api: Api) -> None:
    one, other = named(shop.customer("acme")), named(None)
    delivery = endpoints.test(one, may=anything)

    problem(api.post(f"/webhook-endpoints/{other.pk}/deliveries/{delivery.pk}/replay", None), 404, "not_found")
    problem(api.post(f"/webhook-endpoints/{one.pk}/deliveries/{delivery.pk}/replay", None), 409, "invalid_state")
    WebhookDelivery.objects.update(state="failed")
    again = api.post(f"/webhook-endpoints/{one.pk}/deliveries/{delivery.pk}/replay", None)
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    assert api.post(f"/webhook-endpoints/{one.pk}/replay", {"from": "2026-01-01T00:00:00Z"}).json() == {"count": 0}


def test_deliveries_are_listed_and_filtered(shop: Shop, api: Api) -> None:
    endpoint = named(shop.customer("acme"))
    endpoints.test(endpoint, may=anything)

    (row,) = api.get(f"/webhook-endpoints/{endpoint.pk}/deliveries").json()["data"]
    assert (row["type"], row["state"], row["data"]["customer"]) == ("webhook.test", "pending", "acme")
    assert row["message"].startswith("msg_")
    assert api.get(f"/webhook-endpoints/{endpoint.pk}/deliveries?state=failed").json()["data"] == []
    problem(api.get(f"/webhook-endpoints/{endpoint.pk}/deliveries?state=x"), 400, "invalid_request")


def test_an_endpoint_that_is_off_or_removed(shop: Shop, api: Api) -> None:
    endpoint = named(shop.customer("acme"))
    address = f"/webhook-endpoints/{endpoint.pk}"
    assert api.patch(address, {"enabled": False}).json()["enabled"] is False
    problem(api.post(f"{address}/test", None), 409, "invalid_state")
    assert api.patch(address, {"enabled": True, "events": ["grant.created"]}).json()["events"] == ["grant.created"]
    assert api.send("DELETE", address, None).status_code == 204
    problem(api.get(address), 404, "not_found")
    assert api.get("/webhook-endpoints").json()["data"] == []


def test_only_so_many(shop: Shop, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "ENDPOINTS_MAX", 1)
    named(None)

    problem(api.post("/webhook-endpoints", {"url": URL, "events": ["*"]}), 409, "invalid_state")


def test_the_catalogue(api: Api) -> None:
    rows = api.get("/webhook-types").json()["data"]

    assert [row["type"] for row in rows] == list(TYPES)
    assert all(row["example"]["type"] == row["type"] for row in rows)
