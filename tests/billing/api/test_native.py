"""``POST /events`` in the event loop: waiting callers share a transaction, and nobody waits for another's lock."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from accounts.services import api_keys
from billing import locks, pipeline
from billing.api import native, pace
from billing.models import Customer, LedgerTransaction, UsageEvent
from billing.services import usage
from tests.builders import LLM, Shop

Answer = tuple[int, dict[str, str], Any]


def in_loop(play: Callable[[], Any]) -> Any:
    """Run a coroutine in a thread of its own: browser tests leave their own loop running in this one."""
    found: list[Any] = []

    def run() -> None:
        found.append(asyncio.run(play()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=30)
    assert found, "it hangs"
    return found[0]


async def post(key: str, body: Any, *, messages: list[Any] | None = None, **headers: str) -> Answer | None:
    sent: list[dict[str, Any]] = []
    raw = json.dumps(body).encode()
    waiting = iter(messages or [{"type": "http.request", "body": raw, "more_body": False}])

    async def receive() -> Any:
        return next(waiting)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    lines = {"authorization": f"Bearer {key}", "content-type": "application/json", "host": "127.0.0.1"} | headers
    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in lines.items()]}
    await native.application(scope, receive, send)
    if not sent:
        return None
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, json.loads(sent[1]["body"])


def event(subject: str, name: str, **data: Any) -> dict[str, Any]:
    data = data or {"input_tokens": 1000, "output_tokens": 450}
    return {"specversion": "1.0", "id": name, "source": "tests", "type": LLM, "subject": subject, "data": data}


@pytest.fixture(autouse=True)
def _fresh(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads of the test's own, whose connections are closed when it is over."""
    shared = native.Shared()
    pools = {name: ThreadPoolExecutor(2) for name in ("_pool", "_key_pool", "_stranger_pool")}
    monkeypatch.setattr(native, "_shared", shared)
    for name, pool in pools.items():
        monkeypatch.setattr(native, name, pool)
    yield
    for pool in (shared._pool, shared._eager_pool, shared._lane_pool, *pools.values()):
        together = threading.Barrier(pool._max_workers)
        for closed in [pool.submit(_close, together) for _ in range(pool._max_workers)]:
            closed.result()
        pool.shutdown()


def _close(together: threading.Barrier) -> None:
    together.wait(timeout=10)
    connection.close()


@contextmanager
def locked_elsewhere(customer: Customer) -> Iterator[Callable[[], None]]:
    """Somebody else holds the customer's lock until the block ends or it is told to let go."""
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            pipeline.run([locks.balances([customer.pk])])
            holding.set()
            let_go.wait(timeout=20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(timeout=10)
    try:
        yield let_go.set
    finally:
        let_go.set()
        thread.join(timeout=20)


def test_an_event_is_charged_and_answered(committed_db: None, shop: Shop) -> None:
    shop.customer(usd="100")
    key = shop.key()

    status, headers, body = in_loop(lambda: post(key, event("acme", "one")))

    assert (status, body["cost"], body["balance"]) == (201, {"usd": "0.007"}, {"usd": "99.993"})
    assert (headers["x-usage-cost"], headers["x-wallet-balance"], headers["x-total-tokens"]) == (
        "0.007",
        "99.993",
        "1450",
    )


def test_what_is_said_to_be_encoded_is_refused_on_each_way(committed_db: None, shop: Shop) -> None:
    shop.customer(usd="100")
    key = shop.key()
    gzip = {"content-encoding": "gzip"}
    one, long = event("acme", "one"), event("acme", "long", note="x" * native.SMALL_BYTES_MAX)

    async def play() -> list[Answer | None]:
        return [
            await post(key, one, **gzip),
            await post(key, [one], **gzip),
            await post(key, long, **gzip),
            await post(key, one, **gzip, **{"idempotency-key": "k"}),
        ]

    assert [(status, body["code"]) for status, _, body in in_loop(play)] == [(415, "unsupported_media_type")] * 4
    assert not UsageEvent.objects.exists()


def test_those_who_wait_at_the_same_time_share_a_transaction(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customer(usd="100")
    key = shop.key()
    groups: list[int] = []
    record = usage.record_unlocked

    def counted(events: Any) -> Any:
        groups.append(len(events))
        return record(events)

    monkeypatch.setattr(usage, "record_unlocked", counted)

    async def play() -> list[Answer | None]:
        await post(key, event("acme", "first"))
        return await asyncio.gather(*(post(key, event("acme", f"e{n}")) for n in range(30)))

    answers = in_loop(play)

    assert {answer[0] for answer in answers} == {201}
    assert len({answer[2]["balance"]["usd"] for answer in answers}) == 30
    assert len(groups) < 10
    assert sum(groups) == 31
    assert LedgerTransaction.objects.filter(template="usage.charged").count() == 31


def test_a_locked_customer_does_not_hold_up_the_others(committed_db: None, shop: Shop) -> None:
    acme, globex = shop.customer(usd="100"), shop.customer("globex", usd="100")
    key = shop.key()

    async def play(let_go: Callable[[], None]) -> tuple[list[bool], list[Answer | None]]:
        stuck = [asyncio.create_task(post(key, event("acme", f"a{n}"))) for n in range(10)]
        await asyncio.sleep(0.1)
        free = await asyncio.wait_for(
            asyncio.gather(*(post(key, event("globex", f"g{n}")) for n in range(10))), timeout=1.5
        )
        waiting = [not task.done() for task in stuck]
        let_go()
        return waiting, [*free, *await asyncio.gather(*stuck)]

    with locked_elsewhere(acme) as let_go:
        waiting, answers = in_loop(lambda: play(let_go))

    assert waiting == [True] * 10
    assert {answer[0] for answer in answers if answer} == {201}
    assert shop.balance(acme).seq == shop.balance(globex).seq == 21


@pytest.mark.parametrize(
    ("trouble", "status", "said"),
    [
        (RuntimeError("the secret is hunter2"), 500, "POST /events failed"),
        (OperationalError("gone"), 503, "The database is in trouble"),
    ],
    ids=["bug", "database"],
)
def test_what_goes_wrong_is_in_the_log_under_the_callers_id_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, str]], trouble: Exception, status: int, said: str
) -> None:
    shop.customer(usd="100")
    key = shop.key()

    def broken(events: Any) -> Any:
        raise trouble

    monkeypatch.setattr(usage, "record_unlocked", broken)
    monkeypatch.setattr(usage, "record", broken)

    async def play() -> list[Answer | None]:
        bodies: list[Any] = [
            event("acme", "one"),
            event("acme", "two"),
            [event("acme", "three")],
            [event("acme", "four")],
        ]
        return await asyncio.gather(*(post(key, body) for body in bodies))

    answers = in_loop(play)

    assert [answer[0] for answer in answers] == [status] * 4
    ids = [answer[1]["x-request-id"] for answer in answers]
    assert [answer[2]["request_id"] for answer in answers] == ids
    assert sorted(line["http.request.id"] for line in log if line["message"] == said) == sorted(ids)
    assert {line.get("http.request.id") for line in log if line["message"].startswith("A ")} == {None}


def test_an_upload_that_was_broken_off_is_not_charged(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    key = shop.key()
    whole = json.dumps(event("acme", "one")).encode()
    messages = [{"type": "http.request", "body": whole, "more_body": True}, {"type": "http.disconnect"}]

    assert in_loop(lambda: post(key, None, messages=messages)) is None
    assert shop.balance(acme).available == 100


def test_a_host_that_is_not_ours_is_refused(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    key = shop.key()

    status, _, body = in_loop(lambda: post(key, event("acme", "one"), host="evil.example"))

    assert (status, body["code"]) == (400, "invalid_request")
    assert shop.balance(acme).available == 100


def test_keys_that_are_made_up_hold_up_none_that_is_known(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "REMEMBERED_SECONDS", 0.0)
    shop.customer("acme", usd="10")
    key, through = shop.key(), threading.Event()

    async def play() -> tuple[Answer | None, Answer | None]:
        first = await post(key, event("acme", "one"))
        for _ in range(2):
            native._stranger_pool.submit(through.wait, 20)
        stranger = asyncio.create_task(post(f"sk_live_{'x' * 43}", event("acme", "two")))
        second = await post(key, event("acme", "three"))
        assert not stranger.done()
        through.set()
        return first, second if (await stranger or [0])[0] == 401 else None

    first, second = in_loop(play)
    assert [answer[0] for answer in (first, second)] == [201, 201]


@pytest.fixture
def eager_acme(committed_db: None, shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of Acme, which asks for much at once from its third event on; the clock of that stands still."""
    settings.CUSTOMER_CALLS_PER_SECOND = 2.0
    monkeypatch.setattr(pace, "buckets", pace.Buckets())
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    return shop.key(organization=shop.customer("acme", usd="100").organization)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which thread wrote whose events."""
    found: list[tuple[str, str]] = []
    record, record_unlocked = usage.record, usage.record_unlocked

    def noted(function: Callable[[Any], Any], events: Any) -> Any:
        found.extend((threading.current_thread().name.partition("_")[0], event.subject) for event in events)
        return function(events)

    monkeypatch.setattr(usage, "record", partial(noted, record))
    monkeypatch.setattr(usage, "record_unlocked", partial(noted, record_unlocked))
    return found


def test_who_asks_for_much_waits_in_a_line_of_their_own(
    shop: Shop, eager_acme: str, threads: list[tuple[str, str]]
) -> None:
    globex, operator = shop.key(organization=shop.customer("globex", usd="100").organization), shop.key()

    async def play() -> list[Answer | None]:
        for number in range(2):
            await post(eager_acme, event("acme", f"a{number}"))
        assert set(threads) == {("usage", "acme")}
        threads.clear()
        sent = [(eager_acme, "acme"), (globex, "globex"), (operator, "globex"), (eager_acme, "acme")]
        return await asyncio.gather(*(post(key, event(of, f"n{n}")) for n, (key, of) in enumerate(sent)))

    answers = in_loop(play)

    assert [answer and answer[0] for answer in answers] == [201] * 4
    assert set(threads) == {("usage", "globex"), ("usage-eager", "acme")}


def test_who_asks_for_much_and_is_locked_tries_again_before_it_waits_where_others_do(
    shop: Shop, eager_acme: str, threads: list[tuple[str, str]]
) -> None:
    acme = Customer.objects.get()
    pace.buckets.spend_more(acme.organization_id, 3)

    async def play(let_go: Callable[[], None]) -> Answer | None:
        stuck = asyncio.create_task(post(eager_acme, event("acme", "one")))
        while ("usage-lane", "acme") not in threads:
            await asyncio.sleep(0.01)
        let_go()
        return await stuck

    with locked_elsewhere(acme) as let_go:
        answer = in_loop(lambda: play(let_go))

    assert answer is not None
    assert answer[0] == 201
    assert threads == [("usage-eager", "acme")] * (1 + native.TRIES) + [("usage-lane", "acme")]


@pytest.mark.parametrize(("others", "took", "pause"), [(False, 0.02, 0.06), (True, 0.02, 0.2), (True, 2.0, 1.0)])
def test_who_asks_for_much_is_told_one_after_the_other_in_the_pause(
    monkeypatch: pytest.MonkeyPatch, others: bool, took: float, pause: float
) -> None:
    clock, slept, told = [0.0], [], []

    def written(events: list[Any]) -> list[Any]:
        clock[0] += took
        return ["charged" for _ in events]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        told.append(sum(each.future.done() for each in group))

    async def play() -> None:
        group.extend(native.Waiting(None, asyncio.get_running_loop().create_future()) for _ in range(5))  # type: ignore[arg-type]
        await native._shared._write_eager(group)

    group: list[native.Waiting] = []
    monkeypatch.setattr(usage, "record_unlocked", written)
    monkeypatch.setattr(native, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(pace, "buckets", SimpleNamespace(are_others_around=lambda: others))
    monkeypatch.setattr(native.asyncio, "sleep", sleep)
    in_loop(play)

    assert told == [1, 2, 3, 4, 5]
    assert slept == [pytest.approx(pause / 5)] * 5
