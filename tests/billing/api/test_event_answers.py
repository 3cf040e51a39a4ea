"""What the answer to usage says beside its charges: the transaction, if there is one, and the headers."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from billing.models import LedgerTransaction
from tests.billing.api.conftest import Api, cloud_event
from tests.builders import Shop


def test_what_cost_nothing_names_no_transaction(api: Api, shop: Shop) -> None:
    shop.plan("free", [shop.price(shop.meter("free_input", "input_tokens"), "0")])
    shop.customer(plan="free", usd="1")
    transactions = LedgerTransaction.objects.count()

    first, again = api.post("/events", cloud_event()), api.post("/events", cloud_event())

    assert (first.status_code, again.status_code, LedgerTransaction.objects.count()) == (201, 200, transactions)
    assert [len(answer.json()["charges"]) for answer in (first, again, api.get("/events/one"))] == [1, 1, 1]
    assert [answer.json()["transaction"] for answer in (first, again, api.get("/events/one"))] == [None] * 3


def test_what_cost_something_names_its_transaction_every_time(api: Api, shop: Shop) -> None:
    shop.customer(usd="1")

    answers = [api.post("/events", cloud_event()), api.post("/events", cloud_event()), api.get("/events/one")]

    (name,) = {answer.json()["transaction"] for answer in answers}
    assert LedgerTransaction.objects.filter(pk=name).exists()


@pytest.mark.parametrize(
    ("tokens", "total"),
    [
        ({"input_tokens": "1000", "output_tokens": 450}, "1450"),
        ({"input_tokens": "1000", "output_tokens": "450.5"}, "1450.5"),
        ({"input_tokens": 99999999999999999, "output_tokens": "0.000000000001"}, "99999999999999999.000000000001"),
        ({"input_tokens": 1000}, "1000"),
    ],
)
def test_tokens_are_summed_as_they_are_charged(api: Api, shop: Shop, tokens: dict[str, Any], total: str) -> None:
    customer = shop.customer(usd="1")
    shop.fund(customer, "999999999999")

    response = api.post("/events", cloud_event(data=tokens))

    assert response.status_code == 201, response.content
    assert response["X-Total-Tokens"] == total


@pytest.mark.parametrize("tokens", ["many", "", True, None, [], {}])
def test_what_is_no_number_is_in_no_sum(api: Api, shop: Shop, tokens: Any) -> None:
    shop.plan("calls", [shop.price(shop.meter("calls"), "0.01")])
    shop.customer(plan="calls", usd="1")

    response = api.post("/events", cloud_event(data={"input_tokens": tokens}))

    assert response.status_code == 201, response.content
    assert "X-Total-Tokens" not in response


def test_the_document_names_the_headers_of_the_answer() -> None:
    document: Any = SchemaGenerator().get_schema(request=None, public=True)
    answers = document["paths"]["/api/v1/events"]["post"]["responses"]

    for status in ("200", "201"):
        assert set(answers[status]["headers"]) == {
            "X-Usage-Cost",
            "X-Total-Tokens",
            "X-Model",
            "X-Wallet-Balance",
            "Idempotent-Replayed",
        }


def test_the_document_names_the_refusals_that_any_operation_may_answer() -> None:
    document: Any = SchemaGenerator().get_schema(request=None, public=True)
    operations = [operation for operations in document["paths"].values() for operation in operations.values()]

    assert len(operations) > 20
    for operation in operations:
        assert {"400", "401", "403", "404", "405", "406", "500", "503"} <= set(operation["responses"])
