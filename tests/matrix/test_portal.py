"""Every page of the portal, every role of a customer's people, every place that can name somebody else's row."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.db import transaction
from django.test import Client

from accounts import roles
from accounts.models import Membership, Role, Session, User
from billing.models import Budget
from portal import pages, urls
from tests.builders import Shop, browser_of
from tests.matrix.conftest import Tenant

MEMBER, OWN, OPEN = "every member", "about the person alone", "strangers too"

# route: {method: the scope that it takes, or who it is for}
PAGES: dict[str, dict[str, str]] = {
    "": {"GET": MEMBER},
    "activity": {"GET": MEMBER},
    "balance.json": {"GET": MEMBER},
    "usage": {"GET": MEMBER},
    "usage.csv": {"GET": MEMBER},
    "usage.parquet": {"GET": MEMBER},
    "advice": {"GET": "wallets:read"},
    "usage/events": {"GET": MEMBER},
    "usage/events.csv": {"GET": MEMBER},
    "usage/events.parquet": {"GET": MEMBER},
    "usage/live": {"GET": MEMBER},
    "usage/live.json": {"GET": MEMBER},
    "wallet": {"GET": "wallets:read"},
    "plan": {"GET": "catalog:read"},
    "plan/start/<str:code>": {"POST": "wallet:fund"},
    "plan/<uuid:subscription_id>/change/<str:code>": {"GET": "wallet:fund", "POST": "wallet:fund"},
    "plan/<uuid:subscription_id>/cancel": {"POST": "wallet:fund"},
    "plan/<uuid:subscription_id>/reactivate": {"POST": "wallet:fund"},
    "calculator": {"GET": "catalog:read"},
    "prices": {"GET": OPEN},
    "profile": {"GET": OWN, "POST": OWN},
    "embed/<str:token>": {"GET": OPEN},
    "usage/events/<uuid:event_id>": {"GET": "events:read"},
    "usage/events/<uuid:event_id>/dispute": {"POST": "disputes:write"},
    "disputes": {"GET": "disputes:read"},
    "disputes/<uuid:dispute_id>/withdraw": {"POST": "disputes:write"},
    "statement": {"GET": MEMBER},
    "expenses.csv": {"GET": MEMBER},
    "statement.csv": {"GET": MEMBER},
    "statement.pdf": {"GET": MEMBER},
    "invoices": {"GET": "invoices:read"},
    "invoices/<uuid:invoice_id>": {"GET": "invoices:read"},
    "invoices/<uuid:invoice_id>/pdf": {"GET": "invoices:read"},
    "top-up": {"GET": MEMBER, "POST": "wallet:fund"},
    "top-up/quote": {"GET": "wallet:fund"},
    "top-up/back": {"GET": MEMBER},
    "top-ups/<uuid:top_up_id>": {"GET": "invoices:read"},
    "top-ups/<uuid:top_up_id>/receipt": {"GET": "invoices:read"},
    "top-ups/<uuid:top_up_id>/receipt.pdf": {"GET": "invoices:read"},
    "payment-methods": {"POST": "wallet:fund"},
    "webhooks": {"GET": "webhooks:read"},
    "webhooks/new": {"POST": "webhooks:write"},
    "webhooks/<uuid:endpoint_id>": {"GET": "webhooks:read"},
    "webhooks/<uuid:endpoint_id>/act": {"POST": "webhooks:write"},
    "webhooks/<uuid:endpoint_id>/rotate": {"POST": "webhooks:write"},
    "auto-top-up": {"GET": MEMBER},
    "auto-top-up/save": {"POST": "wallet:fund"},
    "auto-top-up/schedule": {"POST": "wallet:fund"},
    r"^auto-top-up/(?P<purpose>auto_top_up|scheduled)/(?P<to>on|off)$": {"POST": "wallet:fund"},
    "payment-methods/<uuid:method_id>/remove": {"POST": "wallet:fund"},
    "keys": {"GET": "keys:read"},
    "keys/new": {"POST": "keys:write"},
    "keys/<uuid:key_id>/rotate": {"POST": "keys:write"},
    "keys/<uuid:key_id>/revoke": {"POST": "keys:write"},
    "keys/<uuid:key_id>/networks": {"GET": "keys:write", "POST": "keys:write"},
    "keys/<uuid:key_id>/resume": {"POST": "limits:write"},
    "budgets": {"GET": "wallets:read"},
    "budgets/new": {"POST": "limits:write"},
    "budgets/<uuid:budget_id>/change": {"GET": "limits:write", "POST": "limits:write"},
    "budgets/<uuid:budget_id>/remove": {"POST": "limits:write"},
    "alerts": {"GET": "wallets:read"},
    "alerts/new": {"POST": "limits:write"},
    "alerts/usual": {"POST": "limits:write"},
    "alerts/mine": {"POST": MEMBER},
    "alerts/<uuid:alert_id>/remove": {"POST": "limits:write"},
    "alerts/targets/new": {"POST": MEMBER},
    "alerts/targets/<uuid:target_id>/confirm": {"POST": MEMBER},
    "alerts/targets/<uuid:target_id>/remove": {"POST": MEMBER},
    "inbox": {"GET": MEMBER},
    "inbox/read": {"POST": MEMBER},
    "inbox/<uuid:sent_id>/send-again": {"POST": MEMBER},
    "letters": {"GET": OWN},
    "letters/<str:name>": {"GET": OWN},
    "letters/<str:name>/html": {"GET": OWN},
    "team": {"GET": "team:read"},
    "team/<uuid:membership_id>": {"GET": "team:read"},
    "team/invite": {"POST": "team:write"},
    "team/invitations/<uuid:invitation_id>/withdraw": {"POST": "team:write"},
    "team/<uuid:membership_id>/role": {"POST": "team:write"},
    "team/<uuid:membership_id>/remove": {"POST": "team:write"},
    "trail": {"GET": "audit:read"},
    "trail.csv": {"GET": "audit:read"},
    "networks": {"GET": "security:write", "POST": "security:write"},
    "single-sign-on": {"GET": "sign_on:write", "POST": "sign_on:write"},
    "single-sign-on/require": {"POST": "sign_on:write"},
    "single-sign-on/remove": {"POST": "sign_on:write"},
    "organization": {"POST": MEMBER},
    "privacy": {"GET": OWN},
    "privacy/my-data.zip": {"GET": OWN},
    "privacy/erase": {"POST": OWN},
    "privacy/organization-data.zip": {"GET": "privacy:write"},
    "privacy/organization/erase": {"POST": "privacy:write"},
    "terms": {"GET": OWN},
    "security": {"GET": OWN},
    "security/authenticator": {"GET": OWN},
    "security/passkeys/begin": {"POST": OWN},
    "security/passkeys": {"POST": OWN},
    "security/password": {"GET": OWN},
    "security/sessions/end": {"POST": OWN},
    "security/devices/<uuid:device_id>/revoke": {"POST": OWN},
    "security/company/<uuid:identity_id>/disconnect": {"POST": OWN},
    "security/recovery-codes": {"POST": OWN},
    "security/factors/<str:persistent_id>/remove": {"POST": OWN},
    "sign-in": {"GET": OPEN},
    "sign-up": {"GET": OPEN},
    "sign-up/<str:token>": {"GET": OPEN},
    "sign-in/company": {"GET": OPEN, "POST": OPEN},
    "sign-in/staff": {"GET": OPEN},
    "sign-in/company/back/<str:whose>": {"GET": OPEN},
    "sign-in/company/connect": {"GET": OPEN, "POST": OPEN},
    "sign-in/code": {"GET": OPEN},
    "sign-in/passkey/begin": {"POST": OPEN},
    "sign-in/passkey": {"POST": OPEN},
    "sign-out": {"POST": OPEN},
    "favicon.ico": {"GET": OPEN},
    "reset": {"GET": OPEN},
    "reset/sent": {"GET": OPEN},
    "reset/<uidb64>/<token>": {"GET": OPEN},
    "invitations/<str:token>": {"GET": OPEN},
}
CALLS = [(route, method, needs) for route, methods in PAGES.items() for method, needs in methods.items()]
ARGUMENT = re.compile(r"<\w+:(\w+)>")


def filled(route: str, whose: Tenant) -> str:
    own = {"method_id": whose.ids["kept_method"], "event_id": whose.ids["event_pk"]}
    ids = whose.ids | own | {"name": "20260101-000000-1", "code": "second"}
    if route.startswith("^"):
        return "/auto-top-up/scheduled/off"
    return "/" + ARGUMENT.sub(lambda match: ids[match[1]], route)


def text_of(response: Any) -> str:
    content = b"".join(response) if response.streaming else response.content
    return content.decode(errors="replace")


def people(acme: Tenant) -> list[tuple[str, User]]:
    """Somebody of each role in acme's team."""
    found = []
    for role in Role.values:
        user = User.objects.create_user(f"{role}@person.test")
        Membership.objects.create(organization=acme.customer.organization, user=user, role=role)
        found.append((role, user))
    return found


def send(client: Client, method: str, path: str, data: Any = None) -> Any:
    """One request by itself: what it did is taken back, and who is signed in stays so."""
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    with transaction.atomic():
        response = client.get(path, data) if method == "GET" else client.post(path, data or {})
        text = text_of(response)
        transaction.set_rollback(True)
    client.cookies.load(cookies)
    return response, text


def test_every_page_has_a_row() -> None:
    assert {str(pattern.pattern) for pattern in urls.urlpatterns} == set(PAGES)


def test_every_role_gets_what_the_table_says(acme: Tenant, globex: Tenant) -> None:
    wrong = []
    for role, user in people(acme):
        client = browser_of(user, raise_request_exception=False)
        for route, method, needs in CALLS:
            if needs in {OWN, OPEN}:
                continue
            response, text = send(client, method, filled(route, acme))
            refused = response.status_code == 403
            if refused == (needs == MEMBER or roles.may(role, needs)) or response.status_code >= 500:
                wrong.append((role, route, method, response.status_code))
            if globex.mark in text:
                wrong.append((role, route, method, "shows another customer's"))

    assert wrong == []


def test_no_address_reaches_another_customers_row(acme: Tenant, globex: Tenant) -> None:
    before, found = globex.content(), []
    routes = [call for call in CALLS if set(ARGUMENT.findall(call[0])) - {"code"} and call[2] != OPEN]
    assert len(routes) >= 10
    for role, user in people(acme):
        client = browser_of(user, raise_request_exception=False)
        for route, method, needs in routes:
            path = filled(route, globex)
            response = client.get(path) if method == "GET" else client.post(path, {"role": "owner", "days": "1"})
            # A person's own page about a device that is not theirs does nothing, and says as much.
            does_nothing = needs == OWN and response.status_code == 302
            if (response.status_code not in {403, 404} and not does_nothing) or globex.mark in text_of(response):
                found.append((role, route, method, response.status_code))

    assert found == []
    assert globex.content() == before


NAMES = ("organization", "q", "before", "meter", "asset", "method", "group", "covers", "who", "customer", "member")
"""Parameters that pages read, and one that they might."""


@pytest.mark.timeout(600)  # Every page, once for every row of the other.
def test_no_parameter_reaches_another_customers_row(acme: Tenant, globex: Tenant) -> None:
    client = browser_of(acme.owner, raise_request_exception=False)
    values = [*globex.ids.values(), str(globex.customer.pk), str(globex.customer.organization_id)]
    for route, method, needs in CALLS:
        if method == "GET" and needs not in {OWN, OPEN}:
            for value in values:
                response, text = send(client, "GET", filled(route, acme), dict.fromkeys(NAMES, value))
                assert response.status_code < 500, (route, value)
                assert globex.mark not in text.replace(value, ""), (route, value)


FOREIGN = {"covers", "members", "method", "do", "session", "organization"}
"""Fields of what pages are sent that name somebody's row."""
FIELDS = {
    *("amount", "at", "currency", "pack", "preset", "keep", "key", "threshold", "target", "monthly_limit", "buy"),
    *("regular", "every", "alert_at", "at_cap", "limit", "name", "period", "unit", "value", "asset", "when"),
    *("email_topics", "quiet_from", "quiet_until", "address", "channel", "topics", "code", "trust", "reason"),
    *("email", "role", "company", "plan", "password", "networks", "days", "scopes", "url", "events", "format"),
    *("short_name", "issuer", "client_id", "client_secret", "required", "typed", "version", "agree", "timezone"),
    *("language", "date_style", "number_style", "old_password", "new_password1", "new_password2", "username", "sure"),
}
READS = re.compile(r"""(?:POST\.get|values\.get|_amount\(values,|\btext)\(?\s*"(\w+)\"""")


def fields_read() -> set[str]:
    """The fields of every form of the pages, and those that they read by themselves."""
    found = set()
    for each in pkgutil.iter_modules(pages.__path__):
        page = importlib.import_module(f"{pages.__name__}.{each.name}")
        found |= set(READS.findall(inspect.getsource(page)))
        for form in vars(page).values():
            if isinstance(form, type) and issubclass(form, forms.BaseForm):
                found |= getattr(form, "base_fields", {}).keys()
    return found


def test_every_field_that_pages_read_has_a_row() -> None:
    added = {"members", "plan"}  # By their forms, as these are made.
    assert fields_read() | added == FIELDS | FOREIGN, "does it name somebody's row? Send globex's in it"


def sent(mine: Tenant, theirs: Tenant, shared: Budget) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, form): each form that can name a row, whole but for theirs in that place."""
    ids, budget = theirs.ids, {"name": "Ours", "limit": "5", "at_cap": "refuse", "period": "month", "unit": "usd"}
    owner = theirs.owner.memberships.get().pk
    for covers in (f"member:{owner}", f"member:{ids['membership_id']}", f"key:{ids['key_id']}"):
        yield "/budgets/new", budget | {"covers": covers}
    for people in ([owner], [mine.owner.memberships.get().pk, ids["membership_id"]]):
        yield "/budgets/new", budget | {"covers": "members", "members": people}
        yield f"/budgets/{shared.pk}/change", budget | {"members": people}
    method = {"method": ids["kept_method"]}
    yield "/auto-top-up/save", {"threshold": "5", "amount": "20", "buy": "amount"} | method
    yield "/auto-top-up/schedule", {"every": "month", "regular": "20"} | method
    yield "/top-up", {"amount": "10"} | method
    yield f"/webhooks/{mine.ids['endpoint_id']}/act", {"do": ids["delivery_id"]}
    for session in Session.objects.filter(user_id=theirs.owner.pk).exclude(agent="here"):
        yield "/security/sessions/end", {"session": session.pk}


def test_no_field_reaches_another_customers_row(acme: Tenant, globex: Tenant, shop: Shop) -> None:
    organization = acme.customer.organization
    for owner in (acme.owner, globex.owner):
        browser_of(owner)
    client = browser_of(acme.owner, raise_request_exception=False, headers={"user-agent": "here"})
    shared = shop.budget(acme.customer, "9", members=list(organization.memberships.all()), set_by="customer")
    client.get("/")
    used = {"accounts_session": "says when it was used last"}
    before = [globex.content(), acme.content() | used]
    for path, form in sent(acme, globex, shared):
        response = client.post(path, form)
        assert response.status_code in {400, 403, 404}, (path, form, response.status_code)
        assert globex.mark not in text_of(response), path
    # The organization that one has not is as if none had been chosen.
    client.post("/organization", {"organization": str(globex.customer.organization_id)})
    assert globex.mark not in text_of(client.get("/"))
    assert [globex.content(), acme.content() | used] == before

    done = {(path, *form): client.post(path, form).status_code for path, form in sent(acme, acme, shared)}
    assert done == dict.fromkeys(done, 302), "the control: with one's own it is done"


def test_strangers_get_no_further_than_the_door(acme: Tenant) -> None:
    for route, method, needs in CALLS:
        if needs == OPEN:
            continue
        response, text = send(Client(), method, filled(route, acme))
        assert response.status_code in {302, 401, 403, 404}, route
        assert acme.mark not in text.replace(filled(route, acme), ""), route
