"""An endpoint is told of nothing that its maker's key could not read: every scope, both kinds of owner, every way."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.utils import timezone

from accounts import roles
from accounts.ids import uuid7
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.api import alerts, auto_top_ups, budgets, customers, disputes, events, funding, invoices, revenue, spending
from billing.api import webhooks as api_webhooks
from billing.engine.webhook_scopes import OPERATORS, READ_WITH, SCOPE_OF, named
from billing.engine.webhooks import EVERYTHING, TYPES
from billing.errors import PermissionDenied
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.billing.api.conftest import Api, problem
from tests.billing.api.test_access import Keys
from tests.builders import Shop

URL, OTHER = "https://hooks.test/ante", "https://elsewhere.test/"
SHOWN_BY: dict[str, Any] = {
    **{"customer": customers.CustomerView, "grant": customers.GrantsView, "wallet": customers.WalletView},
    **{"top_up": funding.TopUpView, "auto_top_up": auto_top_ups.AutoTopUpView, "budget": budgets.BudgetView},
    **{"commitment": alerts.AlertsView, "usage": events.EventView, "usage.spike": spending.AnomaliesView},
    **{"usage.anomaly_detected": spending.AnomaliesView, "invoice": invoices.InvoiceView},
    **{"dispute": disputes.DisputeView, "charge_dispute": disputes.DisputeView, "revenue_export": revenue.ExportView},
    **{"books": revenue.DaysView, "export": revenue.ExportView, "webhook_endpoint": api_webhooks.EndpointView},
}
"""Which call of the API shows what a type tells; by the type's name, or what is before its point."""


@pytest.mark.parametrize("name", TYPES)
def test_a_type_asks_for_what_the_api_asks_for_to_show_the_same(name: str) -> None:
    view = SHOWN_BY.get(name) or SHOWN_BY[name.partition(".")[0]]

    assert SCOPE_OF[name] == view.scopes["GET"]


def test_a_customers_keys_and_people_can_have_what_its_endpoints_ask_for() -> None:
    own = {SCOPE_OF[name] for name in named([EVERYTHING], of_customer=True)}

    assert own == set(READ_WITH) - OPERATORS == set(READ_WITH) & api_keys.CUSTOMER_SCOPES.keys()
    assert own <= roles.scopes_of(roles.OWNER) & roles.scopes_of(roles.ADMIN)
    assert all(TYPES[name].about_customer for name in named([EVERYTHING], of_customer=True))


def sent(endpoint: WebhookEndpoint, name: str, *, state: str = "failed") -> WebhookDelivery:
    fields = {"lane": uuid7(), "message": uuid7(), "data": {"secret": 7}, "type": name, "state": state}
    return WebhookDelivery.objects.create(
        endpoint=endpoint, customer=endpoint.customer, happened_at=timezone.now(), due_at=timezone.now(), **fields
    )


def refused(response: Any, scope: str) -> Mapping[str, Any]:
    found = problem(response, 403, "permission_denied")
    assert found["scopes"] == [scope]
    assert {SCOPE_OF[name] for name in found["types"]} == {scope}
    assert [(error["field"], error["code"]) for error in found["errors"]] == [("events", "insufficient_scope")]
    assert all(name in found["detail"] for name in [scope, *found["types"]])
    return found


@pytest.mark.parametrize(
    ("owner", "scope"),
    [("operator", scope) for scope in READ_WITH]
    + [("customer", scope) for scope in READ_WITH if scope not in OPERATORS],
)
def test_whoever_lacks_a_scope_has_nothing_of_it_sent(shop: Shop, as_key: Keys, owner: str, scope: str) -> None:
    customer = shop.customer("acme") if owner == "customer" else None
    organization = customer.organization if customer else None
    rest = set(READ_WITH) - {scope} - (OPERATORS if customer else set())
    lesser = as_key(shop.key("webhooks:write", *rest, organization=organization))
    narrow = as_key(shop.key("webhooks:write", scope, organization=organization))
    whole = as_key(shop.key("webhooks:write", *rest, scope, organization=organization))
    types = [name for name in TYPES if SCOPE_OF[name] == scope]
    others = [name for name in TYPES if SCOPE_OF[name] in rest]

    assert refused(lesser.post("/webhook-endpoints", {"url": URL, "events": types}), scope)["types"] == types
    refused(lesser.post("/webhook-endpoints", {"url": URL, "events": [*others, types[0]]}), scope)
    refused(lesser.post("/webhook-endpoints", {"url": URL, "events": ["*"]}), scope)
    problem(narrow.post("/webhook-endpoints", {"url": URL, "events": ["*"]}), 403, "permission_denied")
    assert not WebhookEndpoint.objects.exists()
    assert narrow.post("/webhook-endpoints", {"url": URL, "events": types}).status_code == 201
    own = lesser.post("/webhook-endpoints", {"url": URL, "events": others}).json()["id"]
    for wider in (["*"], [*others, types[0]]):
        refused(lesser.patch(f"/webhook-endpoints/{own}", {"events": wider}), scope)

    made = whole.post("/webhook-endpoints", {"url": URL, "events": ["*"]})
    assert made.status_code == 201
    endpoint = WebhookEndpoint.objects.get(pk=made.json()["id"])
    address, secret = f"/webhook-endpoints/{endpoint.pk}", endpoint.secret
    delivery = sent(endpoint, types[0])
    refused(lesser.patch(address, {"url": OTHER}), scope)
    for below, body in [("rotate-secret", None), ("test", None), ("replay", {"from": "2026-01-01T00:00:00Z"})]:
        refused(lesser.post(f"{address}/{below}", body), scope)
    refused(lesser.post(f"{address}/deliveries/{delivery.pk}/replay", None), scope)
    endpoint.refresh_from_db()
    delivery.refresh_from_db()
    assert (endpoint.url, endpoint.secret, delivery.state) == (URL, secret, "failed")
    if scope != "webhooks:read":
        assert [row["data"] for row in lesser.get(f"{address}/deliveries").json()["data"]] == [None]
        watching = as_key(shop.key("webhooks:read", scope, organization=organization))
        assert [row["data"] for row in watching.get(f"{address}/deliveries").json()["data"]] == [{"secret": 7}]

    assert lesser.patch(address, {"enabled": False, "description": "x"}).status_code == 200
    assert lesser.patch(address, {"url": URL, "events": others, "enabled": True}).json()["events"] == others
    assert whole.post(f"{address}/deliveries/{delivery.pk}/replay", None).status_code == 202


def test_what_waits_goes_to_no_address_of_whoever_cannot_read_it(shop: Shop, as_key: Keys) -> None:
    """An endpoint that is told of less now still has to send what it was told before."""
    endpoint, _ = endpoints.create(actor=SYSTEM, may=anything, customer=None, url=URL, events=["*"])
    waits, gone = sent(endpoint, "invoice.paid", state="pending"), sent(endpoint, "invoice.overdue")
    lesser, address = as_key(shop.key("webhooks:write", "wallets:read")), f"/webhook-endpoints/{endpoint.pk}"
    assert lesser.patch(address, {"events": ["grant.created"]}).status_code == 200

    assert refused(lesser.patch(address, {"url": OTHER}), "invoices:read")["types"] == ["invoice.paid"]
    WebhookDelivery.objects.filter(pk=waits.pk).update(state="delivered")
    assert lesser.patch(address, {"url": OTHER}).status_code == 200
    refused(lesser.post(f"{address}/deliveries/{gone.pk}/replay", None), "invoices:read")
    refused(lesser.post(f"{address}/replay", {"from": "2026-01-01T00:00:00Z"}), "invoices:read")
    gone.delete()
    assert lesser.post(f"{address}/replay", {"from": "2026-01-01T00:00:00Z"}).json() == {"count": 0}


def test_what_was_added_meanwhile_is_neither_sent_elsewhere_nor_undone(shop: Shop) -> None:
    """The endpoint is looked at under its lock, and not as it was when it was asked for."""
    endpoint, _ = endpoints.create(actor=SYSTEM, may=anything, customer=None, url=URL, events=["grant.created"])
    stale = WebhookEndpoint.objects.get()
    both = ["grant.created", "invoice.paid"]
    endpoints.change(actor=SYSTEM, may=anything, endpoint=endpoint, events=both)

    with pytest.raises(PermissionDenied):
        endpoints.change(actor=SYSTEM, may={"wallets:read"}.__contains__, endpoint=stale, url=OTHER)
    endpoints.change(actor=SYSTEM, may={"wallets:read"}.__contains__, endpoint=stale, description="x")

    found = WebhookEndpoint.objects.get()
    assert (found.url, found.events, found.description) == (URL, both, "x")


def test_a_kept_answer_shows_no_secret_to_a_lesser_key(shop: Shop, api: Api, as_key: Keys) -> None:
    lesser, body = as_key(shop.key("webhooks:write")), {"url": URL, "events": ["invoice.paid"]}
    made = api.post("/webhook-endpoints", body, idempotency_key="made").json()
    rotate = f"/webhook-endpoints/{made['id']}/rotate-secret"
    api.post(rotate, None, idempotency_key="renewed")
    replay = (
        f"/webhook-endpoints/{made['id']}/deliveries/{sent(WebhookEndpoint.objects.get(), 'invoice.paid').pk}/replay"
    )
    assert api.post(replay, None, idempotency_key="again").json()["data"] == {"secret": 7}

    refused(lesser.post("/webhook-endpoints", body, idempotency_key="made"), "invoices:read")
    refused(lesser.post(rotate, None, idempotency_key="renewed"), "invoices:read")
    refused(lesser.post(replay, None, idempotency_key="again"), "invoices:read")


def test_an_operators_key_that_makes_a_customers_endpoint_reads_what_that_is_told(shop: Shop, as_key: Keys) -> None:
    shop.customer("acme")
    body = {"url": URL, "events": ["*"], "customer": "acme"}
    enough = sorted(set(READ_WITH) - OPERATORS)

    assert as_key(shop.key("webhooks:write", *enough)).post("/webhook-endpoints", body).status_code == 201
    refused(as_key(shop.key("webhooks:write", *enough[1:])).post("/webhook-endpoints", body), enough[0])
