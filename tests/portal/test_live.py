"""The live balance: one poller for all who listen, and a stream for each."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connections
from django.test import Client

from accounts.ids import uuid7
from accounts.models import Membership, User
from accounts.reading import PLAIN
from billing.selectors.ledger.balances import BalanceNow
from portal import hub as hub_module
from portal import live
from portal.hub import Hub, TooManyListeners
from tests.builders import Shop

ACME, UMBRELLA, ADA = uuid7(), uuid7(), uuid7()


def run(story: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: a browser test may have left its event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, story).result()


def balance(customer: UUID, available: int, seq: int = 1) -> BalanceNow:
    zero = Decimal(0)
    return BalanceNow(customer, "usd", Decimal(available), zero, zero, zero, zero, seq)


class Database:
    """Balances, and who asked for which."""

    def __init__(self) -> None:
        self.rows = {ACME: balance(ACME, 10), UMBRELLA: balance(UMBRELLA, 20)}
        self.asked: list[set[UUID]] = []
        self.rested = 0
        self.broken = False

    def read(self, customers: Iterable[UUID]) -> list[BalanceNow]:
        self.asked.append(set(customers))
        if self.broken:
            raise OSError("no database")
        return [self.rows[customer] for customer in self.asked[-1]]

    def rest(self) -> None:
        self.rested += 1


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 0.01)
    return Database()


def make_hub(database: Database) -> Hub:
    return Hub(database.read, executor=None, rest=database.rest)


def test_listeners_are_told_at_once_and_then_only_of_changes(database: Database) -> None:
    async def story() -> None:
        hub = make_hub(database)
        listener = hub.join(ACME, ADA)
        assert await listener.wait(1) == [balance(ACME, 10)]
        assert await listener.wait(0.05) is None
        database.rows[ACME] = balance(ACME, 9, seq=2)
        assert await listener.wait(1) == [balance(ACME, 9, seq=2)]
        database.rows[ACME] = balance(ACME, 4, seq=2)  # A grant lapsed: no entry, another figure.
        assert await listener.wait(1) == [balance(ACME, 4, seq=2)]
        hub.leave(listener)

    run(story())


def test_many_listeners_are_one_question(database: Database) -> None:
    async def story() -> None:
        hub = make_hub(database)
        listeners = [hub.join(customer, uuid7()) for customer in [ACME, ACME, UMBRELLA] for _ in range(20)]
        assert all([await listener.wait(1) for listener in listeners])
        assert database.asked[-1] == {ACME, UMBRELLA}
        assert len(database.asked) < 10
        for listener in listeners:
            hub.leave(listener)

    run(story())


def test_nobody_is_told_of_anothers_balance(database: Database) -> None:
    async def story() -> None:
        hub = make_hub(database)
        acme, umbrella = hub.join(ACME, ADA), hub.join(UMBRELLA, ADA)
        assert await acme.wait(1) == [balance(ACME, 10)]
        assert await umbrella.wait(1) == [balance(UMBRELLA, 20)]
        database.rows[UMBRELLA] = balance(UMBRELLA, 1, seq=2)
        assert await umbrella.wait(1) == [balance(UMBRELLA, 1, seq=2)]
        assert await acme.wait(0.05) is None
        hub.leave(acme)
        hub.leave(umbrella)

    run(story())


def test_when_nobody_listens_nobody_asks(database: Database) -> None:
    async def story() -> None:
        hub = make_hub(database)
        for _ in range(2):  # And it starts again.
            listener = hub.join(ACME, ADA)
            assert await listener.wait(1)
            hub.leave(listener)
            await asyncio.sleep(0.05)
            asked = len(database.asked)
            await asyncio.sleep(0.05)
            assert len(database.asked) == asked
        assert database.rested == 2
        assert hub.listening == 0

    run(story())


def test_a_database_that_fails_is_asked_again(database: Database) -> None:
    async def story() -> None:
        hub = make_hub(database)
        database.broken = True
        listener = hub.join(ACME, ADA)
        assert await listener.wait(0.05) is None
        database.broken = False
        assert await listener.wait(2) == [balance(ACME, 10)]
        hub.leave(listener)

    run(story())


def test_a_slow_reader_gets_the_latest_and_never_falls_behind(database: Database) -> None:
    async def story() -> None:
        hub = make_hub(database)
        listener = hub.join(ACME, ADA)
        for seq in range(2, 6):
            database.rows[ACME] = balance(ACME, 10 - seq, seq)
            await asyncio.sleep(0.03)
        assert await listener.wait(1) == [balance(ACME, 5, seq=5)]
        assert await listener.wait(0.05) is None
        hub.leave(listener)

    run(story())


def test_there_is_room_for_so_many_and_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LISTENERS_MAX", 2)

    async def story() -> None:
        hub = make_hub(database)
        first, second = hub.join(ACME, ADA), hub.join(ACME, ADA)
        with pytest.raises(TooManyListeners):
            hub.join(UMBRELLA, ADA)
        hub.leave(first)
        third = hub.join(UMBRELLA, ADA)
        hub.close()
        assert await third.wait(1) is None or third.closed
        assert second.closed
        with pytest.raises(TooManyListeners):
            hub.join(ACME, ADA)

    run(story())


def test_one_person_and_one_customer_have_a_share(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PERSON_LISTENERS_MAX", 2)
    monkeypatch.setattr(hub_module, "CUSTOMER_LISTENERS_MAX", 3)

    async def story() -> None:
        hub = make_hub(database)
        first, _ = hub.join(ACME, ADA), hub.join(ACME, ADA)
        with pytest.raises(TooManyListeners):
            hub.join(ACME, ADA)
        hub.join(ACME, uuid7())
        with pytest.raises(TooManyListeners):
            hub.join(ACME, uuid7())
        hub.join(UMBRELLA, ADA)
        hub.leave(first)
        hub.join(ACME, ADA)
        hub.close()

    run(story())


# --- The stream -------------------------------------------------------------------------------------------------------


class Browser:
    """One request to the application, as a server would hand it over."""

    def __init__(self, cookies: str = "", path: str = live.PATH, method: str = "GET") -> None:
        self.scope = {"type": "http", "method": method, "path": path, "headers": [(b"cookie", cookies.encode())]}
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.gone = asyncio.Event()
        self._asked = False

    async def receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.sent.put(message)

    def start(self) -> "asyncio.Task[None]":
        return asyncio.create_task(live.application(self.scope, self.receive, self.send))

    async def status(self) -> int:
        message = await asyncio.wait_for(self.sent.get(), 5)
        return int(message["status"])

    async def event(self, name: str = "balance") -> Any:
        while True:
            message = await asyncio.wait_for(self.sent.get(), 5)
            body = message["body"].decode()
            if body.startswith(f"event: {name}\n"):
                return json.loads(body.split("data: ", 1)[1])


@pytest.fixture
def live_hub(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The application with a hub of its own, whose thread leaves no connection behind."""
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 0.05)
    hub = Hub(live._read, executor=live._executor)
    events = Hub(live._read_events, executor=live._executor)
    monkeypatch.setitem(live.CHANNELS, "/live/events", replace(live.CHANNELS["/live/events"], hub=events))
    monkeypatch.setitem(live.CHANNELS, live.PATH, replace(live.CHANNELS[live.PATH], hub=hub))
    yield hub
    live._executor.submit(connections.close_all).result()


def cookie_of(client: Client) -> str:
    return client.cookies.output(header="", sep=";").split(";")[0].strip()


def test_a_debit_reaches_the_browser(live_hub: Hub, shop: Shop) -> None:
    acme = shop.customer("acme", usd="10")
    client = Client()
    client.force_login(shop.member(acme))

    async def story() -> None:
        browser = Browser(cookie_of(client))
        task = browser.start()
        assert await browser.status() == 200
        assert (await browser.event())["balances"][0]["available"] == "10"
        await asyncio.to_thread(_record_and_close, shop, acme)
        (balance,) = (await browser.event())["balances"]
        assert (balance["available"], balance["change_text"]) == ("9.99", "−$0.01")
        browser.gone.set()
        await asyncio.wait_for(task, 2)
        assert live_hub.listening == 0

    run(story())


def test_events_reach_the_browser_once_each_with_what_became_of_them(live_hub: Hub, shop: Shop) -> None:
    acme = shop.customer("acme", usd="10")
    shop.record(shop.customer("umbrella", usd="10"), id="not theirs", output_tokens=1000)
    shop.record(acme, id="first", model="o3", output_tokens=1000)
    client = Client()
    client.force_login(shop.member(acme))

    async def story() -> None:
        browser = Browser(cookie_of(client), path="/live/events")
        task = browser.start()
        assert await browser.status() == 200
        (first,) = (await browser.event("events"))["events"]
        assert (first["event"], first["amount"], first["status"]) == ("first", "$0.01", "charged")
        assert first["bears"] == [{"name": "model", "value": "o3"}]
        await asyncio.to_thread(_record_and_close, shop, acme, id="refused", output_tokens=5_000_000)
        (refused,) = (await browser.event("events"))["events"]
        assert (refused["event"], refused["amount"], refused["status"]) == ("refused", "–", "rejected")
        assert "too little" in refused["refusal"] or "takes" in refused["refusal"]
        browser.gone.set()
        await asyncio.wait_for(task, 2)

    run(story())
    assert [event["event"] for event in client.get("/usage/live.json").json()["events"]] == ["first", "refused"]
    assert Client().get("/usage/live.json").status_code == 401


def _record_and_close(shop: Shop, customer: Any, **fields: Any) -> None:
    try:
        shop.record(customer, **{"output_tokens": 1000, **fields})
    finally:
        connections.close_all()


def test_strangers_and_those_who_signed_out_get_no_stream(live_hub: Hub, shop: Shop) -> None:
    client = Client()
    client.force_login(shop.member(shop.customer("acme", usd="10")))
    cookie = cookie_of(client)
    client.post("/sign-out")

    async def story() -> None:
        for cookies in [
            "",
            cookie,
            "ante_session=nonsense",
            "ante_session=" + "x" * 5000,
            "=;;=",
            r'ante_session="abcdefghijkl\000mnop"',
        ]:
            browser = Browser(cookies)
            await asyncio.wait_for(browser.start(), 5)
            assert await browser.status() == 401

    run(story())


def test_other_paths_and_methods_are_refused(live_hub: Hub) -> None:
    async def story() -> None:
        for path, method, status in [("/live/else", "GET", 404), (live.PATH, "POST", 405)]:
            browser = Browser(path=path, method=method)
            await asyncio.wait_for(browser.start(), 5)
            assert await browser.status() == status

    run(story())


def test_the_servers_end_ends_the_streams(live_hub: Hub, shop: Shop) -> None:
    client = Client()
    client.force_login(shop.member(shop.customer("acme", usd="10")))

    async def story() -> None:
        browser = Browser(cookie_of(client))
        task = browser.start()
        assert await browser.status() == 200
        await browser.event()
        live.close()
        await asyncio.wait_for(task, 2)

    run(story())


def _signed_out(client: Client, user: User) -> None:
    client.post("/sign-out")


def _removed(client: Client, user: User) -> None:
    Membership.objects.filter(user=user).delete()


def _deactivated(client: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _given_a_new_password(client: Client, user: User) -> None:
    user.set_password("another long phrase")
    user.save()


@pytest.mark.parametrize("what", [_signed_out, _removed, _deactivated, _given_a_new_password])
def test_who_may_no_longer_see_it_hears_no_more(
    live_hub: Hub, shop: Shop, monkeypatch: pytest.MonkeyPatch, what: Callable[[Client, User], None]
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.1)
    acme = shop.customer("acme", usd="10")
    client, user = Client(), shop.member(acme)
    client.force_login(user)

    def happen() -> None:
        try:
            what(client, user)
        finally:
            connections.close_all()

    async def story() -> None:
        browser = Browser(cookie_of(client))
        task = browser.start()
        assert await browser.status() == 200
        await browser.event()
        await asyncio.sleep(0.3)
        assert not task.done()  # As long as nothing happens, it goes on.
        await asyncio.to_thread(happen)
        await asyncio.wait_for(task, 5)
        assert live_hub.listening == 0

    run(story())


def test_it_is_looked_up_also_while_there_is_news_all_the_time(
    live_hub: Hub, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.2)
    acme = shop.customer("acme", usd="10")
    client, user = Client(), shop.member(acme)
    client.force_login(user)
    cookies = cookie_of(client)
    _removed(client, user)

    async def story() -> None:
        browser, listener = Browser(), hub_module.Listener(acme.pk, user.pk)
        task = asyncio.create_task(
            live._stream(live.CHANNELS[live.PATH], listener, live.Visitor(cookies), PLAIN, browser.send)
        )
        for _ in range(100):
            listener.tell([])
            await asyncio.sleep(0.05)
            if task.done():
                return
        raise AssertionError("The stream goes on.")

    run(story())


def test_without_a_database_there_is_no_stream_for_now(live_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(visitor: live.Visitor) -> None:
        raise OperationalError("no database")

    monkeypatch.setattr(live, "_reader", down)

    async def story() -> None:
        browser = Browser("ante_session=x")
        await asyncio.wait_for(browser.start(), 5)
        assert await browser.status() == 503

    run(story())
