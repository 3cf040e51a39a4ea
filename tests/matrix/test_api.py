"""Every route of the API, every place of a request that can name somebody else's row, every kind of customer's key.

Routes come from the URL configuration, places from the OpenAPI document: what is new fails until it has a row here.
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from drf_spectacular.generators import SchemaGenerator

from accounts.models import ApiKey, Membership
from accounts.services import api_keys
from billing.api import pace
from billing.models import PlanDraft
from tests.billing.api.conftest import Api
from tests.billing.api.test_access import ROUTES, body
from tests.builders import Shop
from tests.matrix.conftest import Tenant

OWNED = {
    "api_key": "key_id",
    "customer": "external_id",
    "subject": "external_id",
    "payment_method": "payment_method",
    "method": "payment_method",
    "external_customer_id": "external_id",
    "external_subscription_id": "external_id",
    "member": "member",
    "members": "member",
}
"""Fields and parameters, at any depth, that name a customer's row, and which id they take."""
NESTED = {
    "event": "a capture's own event: its subject must be the authorization's, which is another customer's or one's own",
    "scope": "names keys and people in fields that have rows of their own",
    "cursor": "a position in a list that is filtered all the same",
    **dict.fromkeys(
        ("resourceSpans", "resource", "scopeSpans", "spans"),
        "spans, whose customer is an attribute: tests/billing/api/test_otlp.py",
    ),
    "source": "narrows events that are filtered all the same",
    "external_id": "only of a customer that is added",
    "id": "only of an event that is added",
    "transaction_id": "the same, as another vendor's customers write it",
}
PLAIN = {
    *("above", "aggregation", "alert_at", "aliases", "allow_debt", "allowances", "already_used", "amount", "anchor"),
    *("applies_to", "asset", "at", "at_cap", "base_fee", "cached_tokens", "code", "counts", "country", "currency"),
    *(
        "data",
        "datacontenttype",
        "dataschema",
        "days",
        "dimensions",
        "discount",
        "effective_at",
        "ends_at",
        "effective_from",
    ),
    *(
        "effective_to",
        "email",
        "event_type",
        "expires",
        "expires_at",
        "expires_in",
        "fair_use",
        "filter",
        "final",
        "format",
        "from",
    ),
    *("granularity", "group_by", "hard", "interval", "kind", "limit", "metadata", "meter", "minimum_commitment"),
    *("model", "name", "of", "on_insufficient_funds", "outcome", "overdraft_limit", "pack", "paid", "per", "period"),
    *("overdue_action", "overdue_grace_days", "spend_cap"),
    *("commitment_discounts", "idempotency_key", "inference_id", "overage_limit", "rollover_limit", "section", "times"),
    *("phase", "plan", "precision", "prefix", "preset", "price", "price_overrides", "prices", "priority", "provider"),
    *("publish", "quantity", "reason", "refund", "return_url", "save_payment_method", "specversion", "starts_at"),
    *("status", "time", "timezone", "to", "trial_days", "type", "unit", "unit_cost", "value", "version", "when"),
    *("cooldown_seconds", "count_limit", "every", "fair_use", "monthly_limit", "target", "threshold"),
    *("action", "description", "enabled", "events", "only_failed", "state", "url", "view", "workload"),
    *("amount_field", "cached_of", "cost_field", "count", "covered_by", "failure_policy", "feature", "fixed_amount"),
    *("flat_amount", "free_units", "markup", "match", "maximum", "maximum_amount", "meters", "minimum"),
    *("minimum_amount", "project", "properties", "rate", "rounding", "session", "tiers", "timestamp", "unit_amount"),
    *("up_to", "user", "valid"),
}
SHARED = {"code", "draft_id", "date"}
"""Arguments of addresses that name the operator's own rows."""
ARGUMENT = re.compile(r"<\w+:(\w+)>")
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document(django_db_setup: None, django_db_blocker: Any) -> Any:
    with django_db_blocker.unblock():
        return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def operations(document: Any) -> Iterator[tuple[str, str, set[str], set[str]]]:
    """(path below /api/v1/, METHOD, query parameters, members of the body)."""
    for path, found in document["paths"].items():
        for method in METHODS:
            if method in found:
                query = {each["name"] for each in found[method].get("parameters", ()) if each["in"] == "query"}
                contents = found[method].get("requestBody", {}).get("content", {}).values()
                members = set().union(*(_members(each["schema"], document) for each in contents))
                yield path.removeprefix("/api/v1/"), method.upper(), query, members


def _members(schema: Any, document: Any, within: tuple[str, ...] = ()) -> set[str]:
    """The fields of the body, and below them ``scope.member``. ``within``: the shapes that lead here."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return set() if name in within else _members(document["components"]["schemas"][name], document, (*within, name))
    found = set()
    for name, field in schema.get("properties", {}).items():
        found |= {name, *(f"{name}.{below}" for below in _members(field, document, within))}
    parts = [part for way in ("oneOf", "anyOf", "allOf") for part in schema.get(way, ())]
    rest = schema.get("additionalProperties")
    parts += [part for part in (schema.get("items"), rest) if isinstance(part, dict)]
    return found.union(*(_members(part, document, within) for part in parts))


def leaf(field: str) -> str:
    return field.rpartition(".")[2]


def attempts(document: Any, mine: Tenant, theirs: Tenant) -> Iterator[tuple[str, str, str, Any]]:
    """(what is foreign, METHOD, path, body): each place of each operation filled with the other's row, once alone."""
    members = {(path, method): (query, fields) for path, method, query, fields in operations(document)}
    for route, methods in ROUTES.items():
        owned = [name for name in ARGUMENT.findall(route) if name not in SHARED]
        for method in methods:
            query, fields = members[ARGUMENT.sub(r"{\1}", route), method]
            sent = body(route, customer=mine.customer.external_id) if method != "GET" else None
            own = _filled(route, mine, mine, ())
            for foreign in {*((name,) for name in owned), *([tuple(owned)] if len(owned) > 1 else [])}:
                yield f"{route} {method} {foreign}", method, _filled(route, mine, theirs, foreign), sent
            for name in sorted(query & OWNED.keys()):
                value = urlencode({name: theirs.ids[OWNED[name]]})
                yield f"{route} {method} ?{name}", method, f"{own}?{value}", sent
            for field in sorted(field for field in fields if leaf(field) in OWNED):
                yield f"{route} {method} {field}", method, own, _with(sent, field, theirs)


def _with(sent: Any, field: str, theirs: Tenant) -> dict[str, Any]:
    """The body with the other's id in this field."""
    within, _, name = field.rpartition(".")
    named: Any = theirs.owner.email if OWNED[name] == "member" else theirs.ids[OWNED[name]]
    named = {name: [named] if name == "members" else named}
    if within == "event":
        return {"event": {"transaction_id": "new", "code": "llm.completion", "properties": {"input_tokens": 1}} | named}
    return {**(sent or {}), **({within: named} if within else named)}


def _filled(route: str, mine: Tenant, theirs: Tenant, foreign: tuple[str, ...]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        shared = {"code": "pro", "date": "2020-01-01", "draft_id": str(PlanDraft.objects.get().pk)}
        return shared.get(name) or quote((theirs if name in foreign else mine).ids[name])

    return "/" + ARGUMENT.sub(value, route)


def test_every_field_and_parameter_has_a_row(document: Any) -> None:
    names = {leaf(name) for _, _, query, fields in operations(document) for name in query | fields}

    assert names - OWNED.keys() - NESTED.keys() - PLAIN == set(), "does it name somebody's row? Put it into a table"
    assert (OWNED.keys() | NESTED.keys() | PLAIN) - names == set(), "is gone: take it out of its table"


def test_every_route_is_in_the_document(document: Any) -> None:
    described = {(path, method) for path, method, _, _ in operations(document)}

    assert described >= {(ARGUMENT.sub(r"{\1}", route), method) for route in ROUTES for method in ROUTES[route]}


@pytest.fixture
def intruders(acme: Tenant) -> list[Api]:
    """Keys of acme's: with all that a customer's key may have, and with every scope, given past the service."""
    whole = sorted(api_keys.CUSTOMER_SCOPES)
    made = [api_keys.issue(name="x", scopes=whole, organization=acme.customer.organization) for _ in range(2)]
    ApiKey.objects.filter(pk=made[1][0].pk).update(scopes=["*"])
    return [Api(secret) for _, secret in made]


def test_no_place_reaches_another_customers_row(
    document: Any, acme: Tenant, globex: Tenant, intruders: list[Api]
) -> None:
    before, found = globex.content(), []
    places = list(attempts(document, acme, globex))
    assert len(places) > 60
    for intruder in intruders:
        for what, method, path, sent in places:
            pace.buckets.clear()  # So many calls are more than a key has in a second.
            answer = intruder.send(method, path, sent)
            # 400: a field that names a row of another customer's is answered like one that names nothing.
            allowed = {403, 404} if what.split()[-1].startswith(("(", "?")) else {400, 403, 404}
            if answer.status_code not in allowed or globex.mark.encode() in answer.content:
                found.append((what, answer.status_code, answer.content[:200]))
    for what, method, path, sent in places:
        if Api(None).send(method, path, sent).status_code != 401:
            found.append((what, "without a key"))

    assert found == []
    assert globex.content() == before


def test_no_budget_counts_what_another_customers_people_and_keys_use(
    acme: Tenant, globex: Tenant, shop: Shop, intruders: list[Api]
) -> None:
    """The operator's key neither: the same request with one's own is the control."""
    people = {
        tenant.mark: [tenant.owner.email, Membership.objects.get(pk=tenant.ids["membership_id"]).user.email]
        for tenant in (acme, globex)
    }

    def scopes(whose: Tenant) -> list[dict[str, Any]]:
        one, other = people[whose.mark]
        mixed = [acme.owner.email, other]
        return [{"api_key": whose.ids["key_id"]}, {"member": one}, {"member": other.upper()}, {"members": mixed}]

    url, used = "/customers/acme/budgets", {"accounts_apikey": "says when it was used last"}
    terms = {"name": "All", "asset": "usd", "limit": "5", "period": "month"}
    shared = shop.budget(acme.customer, "100", members=list(acme.customer.organization.memberships.all()))
    before = [globex.content(), acme.content() | used]
    for caller in (Api(shop.key()), *intruders):
        pace.buckets.clear()
        answers = [caller.post(url, terms | {"scope": scope}) for scope in scopes(globex)]
        answers.append(caller.patch(f"{url}/{shared.pk}", {"members": people[globex.mark]}))
        assert {answer.status_code for answer in answers} <= {400, 403}, [answer.content for answer in answers]
        assert not any(globex.mark in answer.json()["detail"] for answer in answers)
    assert [globex.content(), acme.content() | used] == before

    operator = Api(shop.key())
    assert [operator.post(url, terms | {"scope": scope}).status_code for scope in scopes(acme)] == [201] * 4
    assert operator.patch(f"{url}/{shared.pk}", {"members": people[acme.mark]}).status_code == 200


def test_the_same_rows_are_there_for_their_owner(acme: Tenant, globex: Tenant, shop: Shop) -> None:
    """The control: what was not found above is found by whoever may see it, at the very same addresses."""
    operator, missing = Api(shop.key()), []
    for route in (route for route, methods in ROUTES.items() if "GET" in methods and "<str:date>" not in route):
        answer = operator.get(_filled(route, acme, globex, tuple(ARGUMENT.findall(route))))
        if answer.status_code != 200:
            missing.append((route, answer.status_code))

    assert missing == []


def test_no_list_holds_another_customers_rows(acme: Tenant, globex: Tenant, intruders: list[Api]) -> None:
    for intruder, route in product(intruders, ROUTES):
        if "GET" in ROUTES[route]:
            pace.buckets.clear()
            answer = intruder.get(_filled(route, acme, acme, ()))
            assert answer.status_code in {200, 403, 404}, route
            assert globex.mark.encode() not in answer.content, route
