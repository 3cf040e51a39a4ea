"""The OpenAPI document and the server agree: what the document allows is answered as it says, the rest is refused."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.services import api_keys
from billing.models import Customer
from billing.services import authorizations
from tests.builders import Shop
from tests.payments import Payer, standing_in
from tests.standing import standing

DOCUMENT: dict[str, Any] = SchemaGenerator().get_schema(public=True)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = get_wsgi_application()
OPERATIONS = {operation.label: operation for operation in (found.ok() for found in SCHEMA.get_all_operations())}
SHAPES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KNOWN = {
    "asset": "usd",
    "currency": "USD",
    "customer": "acme",
    "subject": "acme",
    "external_id": "acme",
    "plan": "second",
    "code": "pro",
    "meter": "llm_input",
    "type": "llm.completion",
    "event_id": "one",
}
"""Names that mean something here, so that not every request ends at the first look-up."""


@pytest.fixture
def _one_connection() -> Iterator[None]:
    """Requests stay inside the test's own transaction, as those of Django's test client do."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, str]]:
    """An operator's key, in a shop with a bit of everything."""
    with standing(django_db_blocker) as kept, standing_in(kept) as bank:
        shop = Shop()
        payer = Payer(shop, bank)
        acme = payer.customer
        shop.fund(acme, "1000")
        paid = payer.paid()
        shop.plan("second", [shop.price(shop.meter("seconds", "seconds"), "1")])
        shop.record(acme, id="one", input_tokens=1000)
        opened = authorizations.open_amount(customer=acme, asset=shop.usd, amount=shop.balance(acme).available / 100)
        yield {
            "Authorization": f"Bearer {shop.key()}",
            "X-Test-Authorization-Id": str(opened.authorization.pk),
            "X-Test-Top-Up-Id": str(paid.pk),
        }


@pytest.fixture
def headers(made: dict[str, str], db: None, _one_connection: None) -> dict[str, str]:
    """What was made, in the test's own transaction."""
    return made


def meaningful(value: Any) -> Any:
    """The same with known names in place of random ones."""
    if isinstance(value, list):
        return [meaningful(member) for member in value]
    if isinstance(value, dict):
        return {
            name: KNOWN[name] if name in KNOWN and isinstance(member, str) else meaningful(member)
            for name, member in value.items()
        }
    return value


def must_be_refused(case: Any) -> bool:
    """Whether what is wrong with the case is wrong with the whole of the request."""
    wrong = {location for location, found in case.meta.components.items() if found.mode.is_negative}
    if wrong <= {ParameterLocation.HEADER}:
        return False  # The key takes the place of the wrong header.
    if wrong == {ParameterLocation.QUERY} or wrong == {ParameterLocation.QUERY, ParameterLocation.HEADER}:
        # An empty filter is no filter, and one that nobody knows is not looked at.
        declared = {parameter.name for parameter in case.operation.query}
        return all(name in declared and value not in ("", None) for name, value in case.query.items())
    # In a batch each event stands for itself: the answer is 200, with a refusal for the wrong one.
    return not (case.path == "/api/v1/events" and isinstance(case.body, list))


def explore(operation: Any, mode: GenerationMode, examples: int, headers: dict[str, str], checks: list[Any]) -> None:
    negative = mode is GenerationMode.NEGATIVE

    @seed(1)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode), known=st.sampled_from([True, True, True, False]))
    def run(case: Any, known: bool) -> None:
        if known and not negative:
            case.body = meaningful(case.body)
            for container in (case.path_parameters, case.query):
                for name in container or {}:
                    container[name] = KNOWN.get(name, container[name])
            if "authorization_id" in (case.path_parameters or {}):
                case.path_parameters["authorization_id"] = headers["X-Test-Authorization-Id"]
            if "top_up_id" in (case.path_parameters or {}):
                case.path_parameters["top_up_id"] = headers["X-Test-Top-Up-Id"]
        wanted = [*checks, negative_data_rejection] if negative and must_be_refused(case) else checks
        case.validate_response(case.call(headers=headers), checks=wanted)

    run()


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_the_document_allows_is_answered_as_it_says(label: str, headers: dict[str, str]) -> None:
    explore(OPERATIONS[label], GenerationMode.POSITIVE, 25, headers, SHAPES)


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_the_document_does_not_allow_is_refused(label: str, headers: dict[str, str]) -> None:
    explore(OPERATIONS[label], GenerationMode.NEGATIVE, 15, headers, SHAPES)


def keys(shop: Shop) -> dict[str, str | None]:
    """Every other kind of caller by what it is, with its secret: each scope alone too, and nobody."""
    acme, other = Customer.objects.get(external_id="acme"), shop.customer("other", usd="10")
    found: dict[str, str | None] = {"nobody": None, "an unknown key": "sk_live_" + "x" * 43}
    for customer in (acme, other):
        found[f"all of {customer}"] = shop.key(organization=customer.organization)
    for scope in api_keys.CUSTOMER_SCOPES:
        found[f"acme's {scope}"] = shop.key(scope, organization=acme.organization)
    for scope in api_keys.OPERATOR_SCOPES:
        found[f"the operator's {scope}"] = shop.key(scope)
    return found


def few(operation: Any, count: int) -> list[Any]:
    """So many requests that the document allows."""
    found: list[Any] = []

    @seed(2)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(GenerationMode.POSITIVE))
    def collect(case: Any) -> None:
        case.body = meaningful(case.body)
        for container in (case.path_parameters, case.query):
            for name in container or {}:
                container[name] = KNOWN.get(name, container[name])
        found.append(case)

    collect()
    return found


@pytest.mark.timeout(600)  # Every operation by some forty keys.
def test_every_other_kind_of_key_is_answered_as_the_document_says(
    shop: Shop, headers: dict[str, str], settings: Any
) -> None:
    settings.CUSTOMER_CALLS_PER_SECOND = 0
    wrong, answers = [], Counter[int]()
    cases = [case for operation in OPERATIONS.values() for case in few(operation, 1)]
    for name, secret in keys(shop).items():
        sent = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        for case in cases:
            response = case.call(headers=sent)
            answers[response.status_code] += 1
            try:
                case.validate_response(response, checks=SHAPES, headers=sent)
            except (AssertionError, FailureGroup) as error:
                wrong.append((name, case.operation.label, response.status_code, str(error)[:200]))

    assert wrong == []
    # The control: they were all told apart.
    assert {200, 401, 403, 404} <= set(answers)
    assert answers.total() >= 40 * len(cases)


def test_the_document_is_valid_openapi_3_1() -> None:
    validate_schema(DOCUMENT)

    assert DOCUMENT["openapi"].startswith("3.1")


def test_the_document_is_served_to_anybody_and_made_once_whatever_they_ask(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Client().get("/api/v1/schema/?version=mine&lang=de", headers={"accept": "application/json"})
    monkeypatch.setattr(SchemaGenerator, "get_schema", None)
    response = Client().get("/api/v1/schema/", headers={"accept": "application/json; q=0.9"})

    assert response.status_code == 200
    assert response.content == first.content
    found = response.json()
    assert (found["paths"].keys(), found["info"]) == (DOCUMENT["paths"].keys(), DOCUMENT["info"])
