"""The query string: what is not known is refused, and what is known is what the document says."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from billing.api import base, urls
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop
from tests.payments import Bank

PATHS = [
    "/customers",
    "/customers/acme",
    "/customers/acme/wallet",
    "/customers/acme/grants",
    "/customers/acme/ledger",
    "/customers/acme/budgets",
    "/customers/acme/alerts",
    "/customers/acme/forecast",
    "/customers/acme/pace",
    "/assets",
    "/meters",
    "/plans",
    "/plans/pro",
    "/plans/pro/versions",
    "/subscriptions",
    "/margins",
    "/provider-costs",
    "/invoices",
    "/revenue/days",
    "/events",
    "/events/one",
    "/authorizations",
    "/usage",
    "/customers/acme/top-ups",
    "/customers/acme/payment-methods",
    "/packs",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_parameter_that_is_not_known_is_named(api: Api, shop: Shop, bank: Bank, path: str) -> None:
    acme = shop.customer(usd="1")
    shop.record(acme, id="one", input_tokens=1)

    refused = problem(api.get(f"{path}?custmer=acme&Limit=1"), 400, "invalid_request", "Limit", "custmer")

    assert "Limit, custmer" in refused["detail"]
    assert api.send("HEAD", f"{path}?custmer=acme", None).status_code == 400
    assert api.get(path).status_code == 200
    assert api.get(f"{path}?format=json").status_code == 200


def test_a_write_takes_no_parameters(api: Api, shop: Shop) -> None:
    shop.customer(plan=None)

    problem(api.patch("/customers/acme?name=x", {"name": "Acme"}), 400, "invalid_request", "name")
    problem(api.post("/customers?dry_run=1", {}), 400, "invalid_request", "dry_run")


@pytest.mark.parametrize("query", ["%00=1", "=1", "%ff=1", "x" * 5000 + "=1"])
def test_odd_names_are_refused_as_well(api: Api, query: str) -> None:
    problem(api.get(f"/customers?{query}"), 400, "invalid_request")


def declared() -> Iterator[tuple[str, set[str]]]:
    for pattern in urls.urlpatterns:
        view = getattr(pattern.callback, "cls", None)
        if isinstance(view, type) and issubclass(view, base.View):
            path = re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
            for method in view.scopes:
                yield f"{method} /api/v1/{path}", set(view.parameters.get(method, ()))


def test_the_document_names_just_what_is_taken() -> None:
    document: Any = SchemaGenerator().get_schema(request=None, public=True)
    documented = {
        f"{method.upper()} {path}": {
            one["name"] for one in operation.get("parameters", []) if one["in"] == "query" and one["name"] != "format"
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }

    assert documented == dict(declared()) | {"GET /api/v1/key": set()}
