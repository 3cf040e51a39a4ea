"""Who reaches what: every route, every kind of key. A new route without a row here fails."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.api import urls
from billing.engine.webhook_scopes import READ_WITH
from billing.models import (
    Alert,
    Authorization,
    Budget,
    ChargeDispute,
    Customer,
    Grant,
    Invoice,
    LedgerEntry,
    PaymentMethod,
    PlanDraft,
    RecurringGrant,
    RevenueDay,
    Subscription,
    TopUp,
    UsageEvent,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.selectors.revenue import revenue_files
from billing.services import authorizations, subscriptions
from billing.services.catalog import drafts
from billing.services.funding import rules
from billing.services.invoicing import invoices
from billing.services.wallet import charge_disputes, recurring, wallets
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.billing.api.conftest import Api, cloud_event, problem, span, traces
from tests.builders import Shop
from tests.payments import Bank, Payer, standing_in
from tests.standing import standing

Keys = Callable[[str | None], Api]

ROUTES: dict[str, dict[str, str]] = {
    "customers": {"GET": "customers:read", "POST": "customers:write"},
    "customers/<str:external_id>": {"GET": "customers:read", "PATCH": "customers:write"},
    "customers/<str:external_id>/wallet": {"GET": "wallets:read", "PATCH": "wallets:write"},
    "customers/<str:external_id>/grants": {"GET": "wallets:read", "POST": "grants:write"},
    "customers/<str:external_id>/ledger": {"GET": "wallets:read"},
    "customers/<str:external_id>/adjustments": {"POST": "wallets:adjust"},
    "customers/<str:external_id>/budgets": {"GET": "wallets:read", "POST": "limits:write"},
    "customers/<str:external_id>/budgets/<uuid:budget_id>": {
        "GET": "wallets:read",
        "PATCH": "limits:write",
        "DELETE": "limits:write",
    },
    "customers/<str:external_id>/alerts": {"GET": "wallets:read", "POST": "limits:write"},
    "customers/<str:external_id>/alerts/<uuid:alert_id>": {"DELETE": "limits:write"},
    "customers/<str:external_id>/forecast": {"GET": "wallets:read"},
    "customers/<str:external_id>/pace": {"GET": "wallets:read"},
    "customers/<str:external_id>/embeds": {"POST": "wallets:read"},
    "customers/<str:external_id>/advice": {"GET": "wallets:read"},
    "customers/<str:external_id>/recurring-grants": {"GET": "wallets:read", "POST": "grants:write"},
    "recurring-grants/<uuid:recurring_id>/pause": {"POST": "grants:write"},
    "recurring-grants/<uuid:recurring_id>/resume": {"POST": "grants:write"},
    "recurring-grants/<uuid:recurring_id>/cancel": {"POST": "grants:write"},
    "grants/<uuid:grant_id>/void": {"POST": "grants:write"},
    "assets": {"GET": "catalog:read", "POST": "catalog:write"},
    "meters": {"GET": "catalog:read", "POST": "catalog:write"},
    "meter-presets": {"GET": "catalog:read"},
    "estimates": {"POST": "catalog:read"},
    "plans": {"GET": "catalog:read", "POST": "catalog:write"},
    "plans/<str:code>": {"GET": "catalog:read"},
    "plans/<str:code>/versions": {"GET": "catalog:read", "POST": "catalog:write"},
    "plans/<str:code>/drafts": {"GET": "catalog:read", "POST": "catalog:write"},
    "plans/<str:code>/drafts/<uuid:draft_id>": {
        "GET": "catalog:read",
        "PATCH": "catalog:write",
        "DELETE": "catalog:write",
    },
    "plans/<str:code>/drafts/<uuid:draft_id>/publish": {"POST": "catalog:write"},
    "provider-costs": {"GET": "catalog:read", "POST": "catalog:write"},
    "margins": {"GET": "margins:read"},
    "invoices": {"GET": "invoices:read"},
    "invoices/<uuid:invoice_id>": {"GET": "invoices:read"},
    "invoices/<uuid:invoice_id>/pdf": {"GET": "invoices:read"},
    "disputes": {"GET": "disputes:read", "POST": "disputes:write"},
    "disputes/<uuid:dispute_id>": {"GET": "disputes:read"},
    "disputes/<uuid:dispute_id>/evidence": {"GET": "disputes:read"},
    "disputes/<uuid:dispute_id>/evidence/pdf": {"GET": "disputes:read"},
    "revenue/days": {"GET": "revenue:read"},
    "revenue/days/<str:date>/export": {"GET": "revenue:read"},
    "subscriptions": {"GET": "customers:read", "POST": "subscriptions:write"},
    "subscriptions/<uuid:subscription_id>": {"GET": "customers:read"},
    "subscriptions/<uuid:subscription_id>/periods": {"GET": "customers:read"},
    "customers/<str:external_id>/top-ups": {"GET": "wallets:read", "POST": "top_ups:write"},
    "customers/<str:external_id>/auto-top-up": {
        "GET": "wallets:read",
        "PUT": "top_ups:write",
        "DELETE": "top_ups:write",
    },
    "customers/<str:external_id>/scheduled-top-up": {
        "GET": "wallets:read",
        "PUT": "top_ups:write",
        "DELETE": "top_ups:write",
    },
    "customers/<str:external_id>/payment-methods": {"GET": "wallets:read", "POST": "top_ups:write"},
    "customers/<str:external_id>/payment-methods/<str:method_id>": {"DELETE": "top_ups:write"},
    "top-ups/<uuid:top_up_id>": {"GET": "wallets:read"},
    "top-ups/<uuid:top_up_id>/refund": {"POST": "refunds:write"},
    "packs": {"GET": "catalog:read", "POST": "catalog:write"},
    "subscriptions/<uuid:subscription_id>/change": {"POST": "subscriptions:write"},
    "subscriptions/<uuid:subscription_id>/preview-change": {"POST": "subscriptions:write"},
    "subscriptions/<uuid:subscription_id>/cancel": {"POST": "subscriptions:write"},
    "subscriptions/<uuid:subscription_id>/reactivate": {"POST": "subscriptions:write"},
    "events": {"GET": "events:read", "POST": "events:write"},
    "otlp/v1/traces": {"POST": "events:write"},
    "events/<path:event_id>": {"GET": "events:read"},
    "events/<path:event_id>/reverse": {"POST": "events:reverse"},
    "events/<path:event_id>/refund": {"POST": "events:reverse"},
    "events/<path:event_id>/evidence": {"GET": "events:read"},
    "events/<path:event_id>/evidence/pdf": {"GET": "events:read"},
    "usage": {"GET": "events:read"},
    "customers/<str:external_id>/spend-watch": {"GET": "wallets:read", "PUT": "limits:write"},
    "customers/<str:external_id>/anomalies": {"GET": "wallets:read"},
    "webhook-types": {"GET": "webhooks:read"},
    "webhook-endpoints": {"GET": "webhooks:read", "POST": "webhooks:write"},
    "webhook-endpoints/<uuid:endpoint_id>": {
        "GET": "webhooks:read",
        "PATCH": "webhooks:write",
        "DELETE": "webhooks:write",
    },
    "webhook-endpoints/<uuid:endpoint_id>/rotate-secret": {"POST": "webhooks:write"},
    "webhook-endpoints/<uuid:endpoint_id>/test": {"POST": "webhooks:write"},
    "webhook-endpoints/<uuid:endpoint_id>/replay": {"POST": "webhooks:write"},
    "webhook-endpoints/<uuid:endpoint_id>/deliveries": {"GET": "webhooks:read"},
    "webhook-endpoints/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/replay": {"POST": "webhooks:write"},
    "authorizations": {"GET": "wallets:read", "POST": "authorizations:write"},
    "authorizations/<uuid:authorization_id>": {"GET": "wallets:read"},
    "authorizations/<uuid:authorization_id>/capture": {"POST": "authorizations:write"},
    "authorizations/<uuid:authorization_id>/void": {"POST": "authorizations:write"},
}
BESIDE: dict[tuple[str, str], list[str]] = {
    (f"webhook-endpoints{below}", "POST"): sorted(READ_WITH)
    for below in ("", "/<uuid:endpoint_id>/rotate-secret", "/<uuid:endpoint_id>/test")
}
"""What else is asked for where an endpoint is for everything."""
OPEN = {"webhooks/stripe", "webhooks/payments", "schema/", "docs/", "key", r"^[\s\S]*$"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CALLS = [(route, method, scope) for route, methods in ROUTES.items() for method, scope in methods.items()]


def path(route: str, *, customer: str = "acme") -> str:
    filled = route.replace("<str:external_id>", customer).replace("<str:code>", "pro").replace("<path:event_id>", "one")
    if "authorization_id" in filled:
        opened = Authorization.objects.get(customer__external_id=customer)
        filled = filled.replace("<uuid:authorization_id>", str(opened.pk))
    if "draft_id" in filled:
        filled = filled.replace("<uuid:draft_id>", str(PlanDraft.objects.get().pk))
    if "subscription_id" in filled:
        subscription = Subscription.objects.get(customer__external_id=customer)
        if "reactivate" in filled and subscription.ends_at is None:
            subscriptions.cancel(actor=SYSTEM, subscription=subscription)
        filled = filled.replace("<uuid:subscription_id>", str(subscription.pk))
    if "alert_id" in filled:
        filled = filled.replace("<uuid:alert_id>", str(Alert.objects.get(customer__external_id=customer).pk))
    if "dispute_id" in filled:
        filled = filled.replace("<uuid:dispute_id>", str(ChargeDispute.objects.get(customer__external_id=customer).pk))
    if "budget_id" in filled:
        filled = filled.replace("<uuid:budget_id>", str(Budget.objects.get(customer__external_id=customer).pk))
    if "recurring_id" in filled:
        made = RecurringGrant.objects.get(customer__external_id=customer)
        filled = filled.replace("<uuid:recurring_id>", str(made.pk))
    if "grant_id" in filled:
        filled = filled.replace("<uuid:grant_id>", str(Grant.objects.get(customer__external_id=customer).pk))
    if "top_up_id" in filled:
        filled = filled.replace("<uuid:top_up_id>", str(TopUp.objects.get(customer__external_id=customer).pk))
    if "method_id" in filled:
        kept = PaymentMethod.objects.filter(customer__external_id=customer).latest("pk")  # The bank keeps them all.
        filled = filled.replace("<str:method_id>", kept.provider_id)
    if "invoice_id" in filled:
        filled = filled.replace("<uuid:invoice_id>", str(Invoice.objects.get(customer__external_id=customer).pk))
    if "<str:date>" in filled:
        filled = filled.replace("<str:date>", closed_day().date.isoformat())
    if "endpoint_id" in filled:
        endpoint = WebhookEndpoint.objects.get(customer__external_id=customer)
        filled = filled.replace("<uuid:endpoint_id>", str(endpoint.pk))
    if "delivery_id" in filled:
        filled = filled.replace("<uuid:delivery_id>", str(endpoint.deliveries.get().pk))
    if filled.startswith("events/one/"):
        filled = f"{filled}?customer={customer}"  # Both have an event of that id.
    return f"/{filled}"


def owe(shop: Shop, customer: Customer) -> None:
    """Use more than there is in the wallet, and put what is owed on paper."""
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(50))
    shop.record(customer, input_tokens=10_000_000)
    assert invoices.issue(shop.balance(customer), end=timezone.now()) is not None


def closed_day() -> RevenueDay:
    """A day before anything was in the books."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    day = RevenueDay(date=start.date(), zone="UTC", start=start, end=start + timedelta(days=1), version=1)
    day.cut_at = day.closed_at = day.end
    day.files = revenue_files.measured(day)
    found, _ = RevenueDay.objects.get_or_create(
        date=day.date,
        defaults={
            **{name: getattr(day, name) for name in ("zone", "start", "end", "cut_at", "closed_at", "files")},
            "sha256": day.files["jsonl"]["sha256"],
            "state": "closed",
            "written_before": 0,
        },
    )
    return found


def body(route: str, *, customer: str = "acme") -> Any:
    return {
        "customers": {"external_id": "new", "name": "New", "currency": "USD"},
        "customers/<str:external_id>": {"name": "Changed"},
        "customers/<str:external_id>/wallet": {"asset": "usd", "overdraft_limit": "1"},
        "customers/<str:external_id>/grants": {"asset": "usd", "amount": "1", "kind": "promotional"},
        "customers/<str:external_id>/recurring-grants": {"asset": "usd", "amount": "1", "interval": "month"},
        "recurring-grants/<uuid:recurring_id>/pause": {},
        "recurring-grants/<uuid:recurring_id>/resume": {},
        "recurring-grants/<uuid:recurring_id>/cancel": {},
        "customers/<str:external_id>/adjustments": {"asset": "usd", "amount": "-1", "reason": "Counted again"},
        "customers/<str:external_id>/budgets": {"name": "All", "asset": "usd", "limit": "5", "period": "month"},
        "customers/<str:external_id>/budgets/<uuid:budget_id>": {"limit": "6"},
        "customers/<str:external_id>/alerts": {"kind": "balance_below", "amount": "5"},
        "customers/<str:external_id>/embeds": {"view": "balance"},
        "grants/<uuid:grant_id>/void": {"reason": "By mistake"},
        "events/<path:event_id>/reverse": {"reason": "By mistake"},
        "events/<path:event_id>/refund": {"asset": "usd", "amount": "0.001", "reason": "By mistake"},
        "disputes": {"customer": customer, "events": ["one"], "reason": "Not ours"},
        "assets": {"code": "gold", "name": "Gold", "kind": "unit", "precision": 0},
        "meters": {"code": "calls", "name": "Calls", "event_type": "call", "aggregation": "count"},
        "estimates": {"customer": customer, "type": "llm.completion", "data": {"input_tokens": 1}},
        "plans": {
            "code": "other",
            "name": "Other",
            "currency": "USD",
            "prices": [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}],
        },
        "plans/<str:code>/versions": {
            "prices": [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}]
        },
        "customers/<str:external_id>/top-ups": {"amount": "10"},
        "customers/<str:external_id>/auto-top-up": {"threshold": "20", "amount": "100"},
        "customers/<str:external_id>/scheduled-top-up": {"every": "month", "amount": "100"},
        "customers/<str:external_id>/payment-methods": {},
        "top-ups/<uuid:top_up_id>/refund": {"amount": "1"},
        "packs": {
            "code": "ten",
            "name": "Ten",
            "asset": "usd",
            "amount": "10",
            "price": "9",
            "currency": "USD",
        },
        "provider-costs": {"provider": "openai", "model": "gpt-4o", "unit": "input", "unit_cost": "2.5"},
        "plans/<str:code>/drafts": {"base_fee": "5"},
        "plans/<str:code>/drafts/<uuid:draft_id>": {"base_fee": "6"},
        "plans/<str:code>/drafts/<uuid:draft_id>/publish": {},
        "subscriptions": {"customer": customer, "plan": "second"},
        "subscriptions/<uuid:subscription_id>/change": {"plan": "second"},
        "subscriptions/<uuid:subscription_id>/preview-change": {"plan": "second"},
        "subscriptions/<uuid:subscription_id>/cancel": {},
        "subscriptions/<uuid:subscription_id>/reactivate": {},
        "customers/<str:external_id>/spend-watch": {"action": "pause"},
        "webhook-endpoints": {"url": "https://hooks.test/", "events": ["*"]},
        "webhook-endpoints/<uuid:endpoint_id>": {"description": "Ours"},
        "webhook-endpoints/<uuid:endpoint_id>/replay": {"from": "2026-01-01T00:00:00Z"},
        "events": cloud_event("new", subject=customer),
        "otlp/v1/traces": traces(span(customer=customer)),
        "authorizations": {"customer": customer, "asset": "usd", "amount": "1"},
        "authorizations/<uuid:authorization_id>/capture": {"amount": "0.5"},
        "authorizations/<uuid:authorization_id>/void": {},
    }.get(route)


def call(api: Api, route: str, method: str, *, customer: str = "acme") -> Any:
    return api.send(method, path(route, customer=customer), body(route, customer=customer) if method != "GET" else None)


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[Shop, Bank]]:
    """Two customers, each with money, an event, an authorization, and a second plan to subscribe to."""
    prices = [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}]
    with standing(django_db_blocker) as settings, standing_in(settings) as bank:
        shop = Shop()
        drafts.create(actor=SYSTEM, plan=shop.plan().plan, terms={"prices": prices})
        shop.plan("second", [shop.price(shop.meter("seconds", "seconds"), "1")])
        for name in ("acme", "globex"):
            customer = shop.customer(name, usd="10")
            shop.record(customer, id="one", input_tokens=1000)
            authorizations.open_amount(customer=customer, asset=shop.usd, amount=Decimal(1))
        yield shop, bank


@pytest.fixture
def world(made: tuple[Shop, Bank], db: None, request: pytest.FixtureRequest) -> Shop:
    """What was made, and what the test's route is about."""
    shop, bank = made
    for name in ("acme", "globex"):
        customer = Customer.objects.get(external_id=name)
        if "alert_id" in request.node.name:
            shop.alert(customer, "5")
        if "dispute_id" in request.node.name:
            one = UsageEvent.objects.get(customer=customer, event_id="one")
            charge_disputes.lodge(actor=SYSTEM, customer=customer, events=[one], reason="Not ours")
        if "budget_id" in request.node.name:
            shop.budget(customer, "100")
        if "recurring_id" in request.node.name:
            monthly = recurring.Terms(asset=shop.usd, amount=Decimal(1), interval="month")
            made = recurring.create(actor=SYSTEM, customer=customer, terms=monthly)
            if "resume" in request.node.name:
                recurring.pause(actor=SYSTEM, recurring=made)
        if "endpoint_id" in request.node.name:
            endpoint, _ = endpoints.create(
                actor=SYSTEM, may=anything, customer=customer, url="https://hooks.test/", events=["*"]
            )
            endpoints.test(endpoint, may=anything)
            WebhookDelivery.objects.update(state="failed")
        if "top_up_id" in request.node.name:
            Payer(shop, bank, customer).paid()
        if "-top-up" in request.node.name:
            bought = {"asset": shop.usd, "amount": Decimal(100)}
            rules.put(actor=SYSTEM, customer=customer, order=rules.Order(threshold=Decimal(5), **bought))
            rules.put(
                actor=SYSTEM, customer=customer, order=rules.Order(every="month", starts_at=timezone.now(), **bought)
            )
        if "invoice_id" in request.node.name:
            owe(shop, customer)
        if "method_id" in request.node.name:
            Payer(shop, bank, customer).keep()
    return shop


def test_every_route_is_in_this_file() -> None:
    routes = {str(pattern.pattern) for pattern in urls.urlpatterns}

    assert routes == set(ROUTES) | OPEN


@pytest.mark.parametrize(("route", "method", "scope"), CALLS)
def test_the_right_scope_opens_a_route_and_nothing_else_does(
    world: Shop, as_key: Keys, route: str, method: str, scope: str
) -> None:
    others = sorted(set(api_keys.OPERATOR_SCOPES) - {"*", scope})
    before = (LedgerEntry.objects.count(), UsageEvent.objects.count(), Grant.objects.count())

    refused = problem(call(as_key(world.key(*others)), route, method), 403, "permission_denied")
    anonymous = call(as_key(None), route, method)

    assert refused["scope"] == scope
    problem(anonymous, 401, "unauthenticated")
    assert anonymous["WWW-Authenticate"] == "Bearer"
    assert (LedgerEntry.objects.count(), UsageEvent.objects.count(), Grant.objects.count()) == before
    enough = as_key(world.key(scope, *BESIDE.get((route, method), [])))
    assert call(enough, route, method).status_code in {200, 201, 202, 204}


@pytest.mark.parametrize("route", ROUTES)
def test_other_methods_are_not_allowed(world: Shop, as_key: Keys, route: str) -> None:
    for method in set(METHODS) - set(ROUTES[route]):
        response = call(as_key(world.key()), route, method)

        problem(response, 405, "method_not_allowed")
        assert set(ROUTES[route]) <= set(response["Allow"].replace(",", "").split())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Token {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer sk_live_unknown",
        "Bearer " + "x" * 10_000,
        "Bearer ключ",
        "Bearer {key} {key}",
    ],
)
def test_a_header_that_brings_no_key_is_unauthenticated(world: Shop, as_key: Keys, header: str) -> None:
    brought = header.format(key=world.key())
    nobody = as_key(None)

    problem(nobody.get("/customers", authorization=brought), 401, "unauthenticated")
    problem(nobody.post("/events", cloud_event("new"), authorization=brought), 401, "unauthenticated")

    assert not UsageEvent.objects.filter(event_id="new").exists()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_schemes_case_does_not_matter(world: Shop, as_key: Keys, scheme: str) -> None:
    assert as_key(None).get("/customers", authorization=f"{scheme} {world.key()}").status_code == 200


def test_a_revoked_or_expired_key_is_unauthenticated(world: Shop, as_key: Keys) -> None:
    key, secret = api_keys.issue(name="x", scopes=["*"])
    assert as_key(secret).get("/customers").status_code == 200
    api_keys.revoke(key)
    expired = api_keys.issue(name="x", scopes=["*"], expires_at=timezone.now() - timedelta(seconds=1))[1]

    problem(as_key(secret).get("/customers"), 401, "unauthenticated")
    problem(as_key(secret).post("/events", cloud_event("new")), 401, "unauthenticated")
    problem(as_key(expired).get("/customers"), 401, "unauthenticated")


# --- A customer's own key ---------------------------------------------------------------------------------------------


@pytest.fixture
def own(world: Shop, as_key: Keys) -> Api:
    """The API as acme sees it, with all that a customer's key may have."""
    return as_key(world.key(organization=world_customer("acme").organization))


def world_customer(name: str) -> Any:
    return Customer.objects.get(external_id=name)


def test_a_customers_key_reaches_its_own(own: Api) -> None:
    assert own.get("/customers/acme/wallet").json()["balances"][0]["available"] == "8.9975"
    assert own.get("/customers/acme/ledger").status_code == 200
    assert own.get("/customers/acme/grants").status_code == 200
    assert own.get("/events/one").json()["customer"] == "acme"
    assert own.get("/usage").json()["data"][0]["events"] == 1
    assert own.get("/plans").status_code == 200
    assert own.post("/events", cloud_event("new")).status_code == 201


@pytest.mark.parametrize(
    "path_",
    [
        "/customers/globex/wallet",
        "/customers/globex/ledger",
        "/customers/globex/grants",
        "/events?customer=globex",
        "/events/one?customer=globex",
        "/usage?customer=globex",
        "/authorizations?customer=globex",
        "/customers/globex/top-ups",
        "/customers/globex/payment-methods",
        "/customers/globex/auto-top-up",
    ],
)
def test_what_is_another_customers_is_not_found_as_if_it_did_not_exist(own: Api, path_: str) -> None:
    foreign = problem(own.get(path_), 404, "not_found")
    unknown = problem(own.get(path_.replace("globex", "nobody")), 404, "not_found")

    assert foreign["detail"].replace("globex", "nobody") == unknown["detail"]


@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("POST", "/capture"), ("POST", "/void")])
def test_another_customers_authorization_is_not_found_and_stays_open(own: Api, method: str, below: str) -> None:
    foreign = Authorization.objects.get(customer__external_id="globex")

    problem(own.send(method, f"/authorizations/{foreign.pk}{below}", {"amount": "0.5"}), 404, "not_found")
    problem(own.post("/authorizations", body("authorizations", customer="globex")), 404, "not_found")

    foreign.refresh_from_db()
    assert (foreign.status, foreign.captured) == ("open", 0)
    assert Authorization.objects.count() == 2


def test_lists_hold_only_what_is_ones_own(own: Api, world: Shop) -> None:
    world.record("globex", id="secret", input_tokens=1)

    assert {event["customer"] for event in own.get("/events").json()["data"]} == {"acme"}
    assert own.get("/usage?granularity=month").json()["data"][0]["quantity"] == "1000"
    assert {found["customer"] for found in own.get("/authorizations").json()["data"]} == {"acme"}
    problem(own.get("/events/secret"), 404, "not_found")


def test_events_for_another_customer_are_not_found_and_charge_nobody(own: Api, world: Shop) -> None:
    before = LedgerEntry.objects.count()

    problem(own.post("/events", cloud_event("new", subject="globex")), 404, "not_found")
    problem(own.post("/events", cloud_event("new", subject="globex"), idempotency_key="k"), 404, "not_found")
    batch = own.post("/events", [cloud_event("new", subject="globex"), cloud_event("new", subject="nobody")])

    assert [result["code"] for result in batch.json()["results"]] == ["not_found", "not_found"]
    assert LedgerEntry.objects.count() == before
    assert not UsageEvent.objects.filter(event_id="new").exists()


def test_an_event_of_another_customer_cannot_be_probed_by_its_id(own: Api, world: Shop) -> None:
    taken = own.post("/events", cloud_event("one", source="tests", subject="globex"))
    free = own.post("/events", cloud_event("two", source="tests", subject="globex"))

    assert problem(taken, 404, "not_found")["detail"] == problem(free, 404, "not_found")["detail"]


@pytest.mark.parametrize(
    ("route", "method", "scope"),
    [row for row in CALLS if row[2] not in api_keys.CUSTOMER_SCOPES],
)
def test_a_customers_key_does_nothing_that_is_the_operators(own: Api, route: str, method: str, scope: str) -> None:
    before = (LedgerEntry.objects.count(), Grant.objects.count())

    problem(call(own, route, method), 403, "permission_denied")

    assert (LedgerEntry.objects.count(), Grant.objects.count()) == before


def test_a_customers_key_with_a_scope_it_should_not_have_is_still_bound_to_its_customer(
    world: Shop, as_key: Keys
) -> None:
    """Second line of defence: the key was given the scope past the service."""
    acme = world_customer("acme")
    key, secret = api_keys.issue(name="x", scopes=["wallets:read"], organization=acme.organization)
    key.scopes = ["*"]
    key.save()
    mighty = as_key(secret)

    problem(mighty.post("/customers/acme/grants", body("customers/<str:external_id>/grants")), 403, "permission_denied")
    problem(mighty.post("/customers", body("customers")), 403, "permission_denied")
    problem(mighty.post("/subscriptions", body("subscriptions")), 403, "permission_denied")
    problem(mighty.patch("/customers/acme/wallet", {"asset": "usd", "overdraft_limit": "1"}), 403, "permission_denied")
    problem(mighty.patch("/customers/acme", {"name": "x"}), 403, "permission_denied")
    problem(mighty.get("/customers/globex"), 404, "not_found")
    assert [customer["external_id"] for customer in mighty.get("/customers").json()["data"]] == ["acme"]
    assert [found["customer"] for found in mighty.get("/subscriptions").json()["data"]] == ["acme"]
    problem(mighty.get("/subscriptions?customer=globex"), 404, "not_found")
    for path_, route in (("/assets", "assets"), ("/meters", "meters"), ("/plans", "plans")):
        problem(mighty.post(path_, body(route)), 403, "permission_denied")
