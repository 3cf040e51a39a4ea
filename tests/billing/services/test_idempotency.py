"""A retry is answered, not repeated."""

import hashlib
from typing import Any

import pytest
from django.db import DatabaseError

from billing.errors import (
    BillingError,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidRequest,
    RateLimited,
    WalletBusy,
)
from billing.models import Grant, IdempotencyRecord
from billing.services import idempotency
from billing.services.idempotency import Answer
from tests.builders import Shop


def fingerprint(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def refuse(error: BillingError) -> Answer:
    return Answer(error.status, {"code": error.code})


def once(run: Any, *, key: str = "k", body: str = "body", principal: str = "operator") -> Answer:
    return idempotency.once(principal=principal, key=key, fingerprint=fingerprint(body), run=run, refuse=refuse)


def grants_one(shop: Shop, customer: Any) -> Any:
    def run() -> Answer:
        return Answer(201, {"id": str(shop.fund(customer, "1").pk), "count": Grant.objects.count()})

    return run


def test_the_second_copy_gets_the_first_answer_and_does_nothing(shop: Shop) -> None:
    acme = shop.customer()
    run = grants_one(shop, acme)

    first, second = once(run), once(run)

    assert (first.status, first.body["count"], first.replayed) == (201, 1, False)
    assert (second.status, second.body, second.replayed) == (201, first.body, True)
    assert shop.balance(acme).available == 1


def test_another_request_with_the_same_key_is_refused_and_the_first_stays_answerable(shop: Shop) -> None:
    acme = shop.customer()
    run = grants_one(shop, acme)
    first = once(run)

    with pytest.raises(IdempotencyConflict):
        once(run, body="another body")

    assert shop.balance(acme).available == 1
    assert once(run).body == first.body


def test_two_principals_may_choose_the_same_key(shop: Shop) -> None:
    acme = shop.customer()
    run = grants_one(shop, acme)

    assert [once(run).replayed, once(run, principal="another").replayed] == [False, False]
    assert shop.balance(acme).available == 2


def test_a_refusal_that_will_stay_the_same_is_the_answer_for_its_key(shop: Shop) -> None:
    acme = shop.customer()

    def run() -> Answer:
        if shop.balance(acme).available == 0:
            raise InsufficientFunds("Too little.")
        return grants_one(shop, acme)()

    first = once(run)
    shop.fund(acme, "5")
    again, other = once(run), once(run, key="another")

    assert (first.status, first.body, first.replayed) == (402, {"code": "insufficient_funds"}, False)
    assert (again.status, again.body, again.replayed) == (402, first.body, True)
    assert other.status == 201


def test_what_a_refused_request_did_is_undone(shop: Shop) -> None:
    acme = shop.customer()

    def run() -> Answer:
        shop.fund(acme, "1")
        raise InvalidRequest("After all not.")

    assert once(run).status == 400
    assert shop.balance(acme).available == 0
    assert Grant.objects.count() == 0


@pytest.mark.parametrize(
    "error", [WalletBusy("busy"), RateLimited("too many"), DatabaseError("gone"), ValueError("bug")]
)
def test_what_asks_for_a_retry_is_never_the_answer(shop: Shop, error: Exception) -> None:
    acme = shop.customer()

    def fails() -> Answer:
        shop.fund(acme, "1")
        raise error

    with pytest.raises(type(error)):
        once(fails)

    assert IdempotencyRecord.objects.count() == 0
    assert shop.balance(acme).available == 0
    assert once(grants_one(shop, acme)).status == 201
    assert shop.balance(acme).available == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\t", "nul\x00", "line\n"])
def test_a_key_is_plain_text(shop: Shop, key: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        once(lambda: Answer(200, {}), key=key)

    assert [error.field for error in refusal.value.errors] == ["Idempotency-Key"]
    assert IdempotencyRecord.objects.count() == 0


def test_a_key_may_have_255_characters(shop: Shop) -> None:
    assert once(lambda: Answer(200, {}), key="~" * 255).status == 200


def test_the_fingerprint_is_of_the_content_not_of_its_order() -> None:
    same = idempotency.fingerprint("POST", "/x", {"a": 1, "b": [1, 2]})

    assert idempotency.fingerprint("POST", "/x", {"b": [1, 2], "a": 1}) == same
    for other in (
        idempotency.fingerprint("PUT", "/x", {"a": 1, "b": [1, 2]}),
        idempotency.fingerprint("POST", "/y", {"a": 1, "b": [1, 2]}),
        idempotency.fingerprint("POST", "/x", {"a": 1, "b": [2, 1]}),
        idempotency.fingerprint("POST", "/x", {"a": "1", "b": [1, 2]}),
    ):
        assert other != same
