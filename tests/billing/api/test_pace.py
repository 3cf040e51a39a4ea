"""One customer's keys get no further than their share, and keep nobody else from theirs."""

from typing import Any

import pytest

from billing.api import otlp, pace
from billing.errors import RateLimited
from tests.billing.api.conftest import TRACED, Api, span, traces
from tests.builders import Shop

EVENT = {"specversion": "1.0", "type": "llm.completion", "source": "/tests", "subject": "acme", "data": {}}


@pytest.fixture(autouse=True)
def now(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One call a second, and a clock that stands still until it is moved."""
    settings.CUSTOMER_CALLS_PER_SECOND = 1.0
    clock = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    return clock


def key_of(shop: Shop, name: str) -> str:
    return shop.key(organization=shop.customer(name, usd="10", since=TRACED).organization)


def test_who_asks_too_often_waits_and_the_others_do_not(shop: Shop, now: list[float]) -> None:
    acme, other, operator = Api(key_of(shop, "acme")), Api(key_of(shop, "other")), Api(shop.key())

    answers = [acme.get("/customers/acme/wallet") for _ in range(12)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    assert (answers[-1].json()["code"], answers[-1]["Retry-After"]) == ("rate_limited", "1")
    assert other.get("/customers/other/wallet").status_code == 200
    assert {operator.get("/customers/acme/wallet").status_code for _ in range(20)} == {200}
    now[0] += 1
    assert [acme.get("/customers/acme/wallet").status_code for _ in range(2)] == [200, 429]


def test_all_keys_of_a_customer_share_it(shop: Shop) -> None:
    acme = shop.customer("acme", usd="10")
    keys = [Api(shop.key(organization=acme.organization)) for _ in range(11)]

    assert [key.get("/customers/acme/wallet").status_code for key in keys] == [200] * 10 + [429]


def test_a_large_batch_passes_and_is_waited_for(shop: Shop, now: list[float]) -> None:
    acme = Api(key_of(shop, "acme"))
    batch = [{**EVENT, "id": f"e{number}"} for number in range(200)]

    assert acme.post("/events", batch).status_code == 200
    refused = acme.post("/events", {**EVENT, "id": "next"})
    assert (refused.status_code, refused["Retry-After"]) == (429, "11")
    assert acme.post("/events", "[{" * 1000).status_code == 429  # Before anybody reads it.
    now[0] += 11
    assert acme.post("/events", {**EVENT, "id": "next"}).status_code != 429


def test_traces_and_papers_cost_what_they_are_worth(
    shop: Shop, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, other = Api(key_of(shop, "acme")), Api(key_of(shop, "other"))
    spans = [span(number=number) for number in range(1, 111)]

    assert acme.post("/otlp/v1/traces", traces(*spans)).json() == {}
    refused = acme.post("/events", {**EVENT, "id": "next"})
    assert (refused.status_code, refused["Retry-After"]) == (429, "2")

    shop.record("other", id="mine", input_tokens=1)
    assert other.get("/events/mine/evidence/pdf").status_code == 200
    assert other.get("/customers/other/wallet").status_code == 429

    monkeypatch.setattr(otlp, "CALLS_MAX", 3)
    assert Api(shop.key()).post("/otlp/v1/traces", traces(*spans[:4])).status_code == 413


def test_an_answer_that_is_repeated_counts_as_well(shop: Shop) -> None:
    acme = Api(key_of(shop, "acme"))

    answers = [acme.post("/events", {**EVENT, "id": "one"}, idempotency_key="k").status_code for _ in range(11)]

    assert (answers[-1], answers.count(429)) == (429, 1)


def test_none_is_no_limit(shop: Shop, settings: Any) -> None:
    settings.CUSTOMER_CALLS_PER_SECOND = 0
    acme = Api(key_of(shop, "acme"))

    assert {acme.get("/customers/acme/wallet").status_code for _ in range(20)} == {200}


def test_who_lately_asked_for_more_than_a_third_is_eager_until_it_asks_for_half_of_that(
    settings: Any, now: list[float]
) -> None:
    settings.CUSTOMER_CALLS_PER_SECOND = 30.0
    buckets, modest, eager = pace.Buckets(), pace.UUID(int=1), pace.UUID(int=2)

    def seconds(number: int, calls: int) -> None:
        for call in range(number * calls):
            buckets.spend(eager)
            if call % calls < 6:
                buckets.spend(modest)
            now[0] += 1 / calls

    assert not buckets.is_eager(eager)
    seconds(5, calls=18)
    assert [buckets.is_eager(each) for each in (modest, eager, None)] == [False, True, False]
    seconds(20, calls=7)  # Less than would make anybody eager.
    assert [buckets.is_eager(each) for each in (modest, eager)] == [False, True]
    seconds(20, calls=4)
    assert not buckets.is_eager(eager)
    buckets.spend_more(modest, 40)  # A batch counts by what it cost.
    assert buckets.is_eager(modest)


def test_others_are_around_while_somebody_calls_who_is_not_eager(settings: Any, now: list[float]) -> None:
    settings.CUSTOMER_CALLS_PER_SECOND = 30.0
    buckets, eager = pace.Buckets(), pace.UUID(int=1)

    buckets.spend_more(eager, 100)
    assert not buckets.are_others_around()
    for other in (pace.UUID(int=2), None):  # A customer's key, and the operator's.
        buckets.spend(other)
        now[0] += 0.9
        buckets.spend(eager)
        assert buckets.are_others_around()
        now[0] += 0.1
        assert not buckets.are_others_around()


def test_buckets_that_are_full_again_are_forgotten_two_a_call(settings: Any, now: list[float]) -> None:
    buckets = pace.Buckets()
    for number in range(100):
        buckets.spend(pace.UUID(int=number))
    now[0] += pace.LATELY_SECONDS
    for number in range(40):
        buckets.spend(pace.UUID(int=number))

    assert list(buckets._uses) == [pace.UUID(int=number) for number in [*range(81, 100), *range(40)]]


def test_buckets_fill_no_memory_and_remember_who_called_last(settings: Any, now: list[float]) -> None:
    buckets = pace.Buckets(size_max=3)
    for number in range(10):
        buckets.spend_more(pace.UUID(int=number), 5)
    for _ in range(5):
        buckets.spend(pace.UUID(int=9))
    with pytest.raises(RateLimited):
        buckets.spend(pace.UUID(int=9))

    assert list(buckets._uses) == [pace.UUID(int=number) for number in (7, 8, 9)]
