"""The benchmark: what it counts, what it compares, and that it says so when something is wrong."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.bench import history, load, measures, neighbours, profile, reads, report, shop
from billing.bench.load import Request, Sample
from billing.bench.traffic import Traffic
from billing.management.commands import bench
from billing.models import LedgerEntry
from billing.services import usage
from tests.builders import Shop

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine"


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A server that gives these answers in turn, over and over; an empty one closes the connection. Its port."""
    ready = threading.Event()
    ports: list[int] = []
    loop = asyncio.new_event_loop()
    given = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        while await reader.readuntil(b"\r\n\r\n"):
            answer = answers[given % len(answers)]
            given += 1
            if not answer:
                break
            # In two parts, as a network may.
            writer.write(answer[:10])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(answer[10:])
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        server.close()

    stop = asyncio.Event()
    loop.set_exception_handler(lambda loop, context: None)
    thread = threading.Thread(target=lambda: loop.run_until_complete(listen()))
    thread.start()
    ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def drive(port: int, *, requests_max: int, connections: int = 2, weight: int = 1) -> Sample:
    request = Request(b"GET / HTTP/1.1\r\n\r\n", lambda status, body: (status, body) == (200, b"fine"), weight)
    return load.drive(
        "127.0.0.1", port, connections=connections, seconds=5, requests=lambda: request, requests_max=requests_max
    )


def test_right_answers_are_counted_by_their_weight() -> None:
    with answering(OK) as port:
        sample = drive(port, requests_max=10, weight=100)
    assert (sample.count, sample.wrong_count, sample.wrong) == (1000, 0, [])
    assert sample.p50_ms is not None
    assert sample.p99_ms is not None
    assert 0 < sample.p50_ms <= sample.p99_ms


def test_wrong_answers_are_not_counted_but_told() -> None:
    wrong = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    with answering(OK, wrong) as port:
        sample = drive(port, requests_max=10, connections=1)
    assert (sample.count, sample.wrong_count, sample.wrong[0]) == (5, 5, "503 busy")


def test_a_connection_that_breaks_is_told() -> None:
    with answering(OK, b"") as port:
        sample = drive(port, requests_max=10, connections=1)
    assert (sample.count, sample.wrong_count) == (1, 1)
    assert "broke" in sample.wrong[0]


def test_time_ends_it_too() -> None:
    request = Request(b"GET / HTTP/1.1\r\n\r\n", lambda status, body: True)
    with answering(OK) as port:
        sample = load.drive("127.0.0.1", port, connections=1, seconds=0.2, requests=lambda: request)
    assert 0.2 <= sample.seconds < 2
    assert sample.count > 0


def test_ratios_are_taken_round_by_round_and_bars_from_them() -> None:
    # The machine was half as fast in the second round: the ratio does not care.
    single = [Sample(400, 1, 10, 30), Sample(200, 1, 20, 60), Sample(600, 1, 10, 40)]
    empty = [Sample(1000, 1), Sample(500, 1), Sample(1000, 1)]
    hot = [Sample(300, 1, 10, 80), Sample(100, 1, 10, 80), Sample(480, 1, 10, 80)]
    found = {line.measure.name: line for line in report.lines({"empty": empty, "single": single, "hot": hot})}
    assert (found["single"].rate, found["single"].p50_ms, found["single"].p99_ms) == (400, 10, 40)
    assert found["single"].ratios == {"empty": 0.4}
    assert [found["single"].reaches(bar) for bar in found["single"].measure.bars] == [True]
    assert found["hot"].ratios["single"] == 0.75
    assert [found["hot"].reaches(bar) for bar in found["hot"].measure.bars] == [False, False]
    shown = report.table(list(found.values()))
    assert "0.40 × empty" in shown
    assert "bar: single ≥ 0.3 of the empty view: reached" in shown
    assert "bar: hot ≥ 0.8 of many wallets: NOT REACHED" in shown


def test_a_figure_brings_its_ceilings_along_and_nothing_else() -> None:
    assert [measure.name for measure in measures.chosen(["batch-100"])] == ["copy", "batch-100"]
    assert [measure.name for measure in measures.chosen([])] == list(measures.MEASURES)


@pytest.fixture
def traffic(shop: Shop) -> Traffic:
    return Traffic(host="127.0.0.1", key=shop.key("events:write"), customers=_customers(2))


def _customers(count: int) -> list[str]:
    return shop.make(count, made=lambda number: None)


def test_what_is_answered_is_accounted_for_to_the_last_digit(traffic: Traffic) -> None:
    for requests in (traffic.single(), traffic.single(hot=True)):
        request = requests()
        assert request.is_right(201, _record(request))
    assert traffic.events == 2
    assert traffic.cost > 0
    assert bench._wrong_books(traffic) == []


def test_an_answer_that_lies_is_found_in_the_books(traffic: Traffic) -> None:
    request = traffic.single()()
    assert request.is_right(201, b'{"status":"charged"}')
    wrong = bench._wrong_books(traffic)
    assert wrong[0] == "1 events were answered as charged, and 0 are recorded"
    assert wrong[1].startswith("The answers come to 0.")


def test_a_refusal_is_a_wrong_answer_and_not_accounted_for(traffic: Traffic) -> None:
    assert not traffic.single()().is_right(402, b"{}")
    assert not traffic.batch(2)().is_right(200, b'{"accepted":1,"duplicates":0,"rejected":1,"results":[]}')
    assert (traffic.events, traffic.cost) == (0, Decimal(0))


def test_no_event_is_sent_twice(traffic: Traffic) -> None:
    sent = [json.loads(traffic.single()().content.partition(b"\r\n\r\n")[2])["id"] for _ in range(50)]
    assert len(set(sent)) == 50


def test_the_profile_takes_the_hot_path_apart_and_leaves_the_books_right(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "GROUPS", (1, 3))
    found = profile.stages(traffic.single(), repeats=2)
    assert set(found) == {1, 3}
    assert all(timings[stage] > 0 for timings in found.values() for stage in profile.STAGES)
    assert "lock and read" in profile.table(found)
    assert bench._wrong_books(traffic) == []


def test_it_refuses_a_database_that_has_customers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.customer()
    with pytest.raises(CommandError, match="empty database"):
        call_command("bench")


@pytest.mark.parametrize(
    "arguments", [["--only", "nothing"], ["--seconds", "0"], ["--rounds", "1000"], ["--customers", "-1"]]
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("bench", *arguments)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_of_it_on_servers_of_its_own() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "manage.py", "bench", "--json"),
            *("--seconds", "0.3", "--rounds", "1", "--customers", "5"),
        ],
        cwd=settings.BASE_DIR,
        env=os.environ | {"ANTE_SKIP_BOOTSTRAP": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["books"]["wrong"] == []
    assert result["postgresql"]["fsync"] == "on"
    assert {figure["name"] for figure in result["figures"]} == set(measures.MEASURES)
    assert all(figure["rate"] > 0 for figure in result["figures"])


def _record(request: Request) -> bytes:
    """What the service makes of the request, as far as the check looks."""
    event = json.loads(request.content.partition(b"\r\n\r\n")[2])
    incoming = usage.IncomingEvent(event["id"], event["source"], event["type"], event["subject"], None, event["data"])
    (outcome,) = usage.record([incoming])
    return b'{"status":"%s"}' % str(outcome.status).encode()


def test_a_copied_history_is_as_right_as_a_recorded_one(committed_db: None) -> None:
    """Its books hold, all of it can be sealed, and its wallets can be asked for."""
    template = reads.prepare(shop.make(1, made=lambda count: None)[0])
    group = history.Group(1, 210, timezone.now() - timedelta(days=history.DAYS))
    made: list[int] = []

    history.make(group, template, done=made.append)

    assert sum(made) == 210
    assert LedgerEntry.objects.filter(customer=group.customer(history.LARGE)).count() == 1 + 2 * 21
    assert reads.seal_and_verify(template.customer, done=lambda count: None, say=lambda text: None)["wrong"] == []
    for number in (history.LARGE, 1):
        reads._pages(group.customer(number))["balance (API)"]()


def test_reads_are_compared_and_held_against_their_bars() -> None:
    found = [reads.Read("usage", "small", 10.0, 13.0), reads.Read("usage", "large", None, 250.0)]

    shown = reads.table(found, 1_000_000)

    assert "1.30" in shown
    assert "NOT REACHED (usage: 1.30)" in shown
    assert "NOT REACHED (usage, large wallet: 250 ms)" in shown


def test_one_caller_beside_ten_is_held_against_the_bar() -> None:
    quiet = [neighbours.Turn(latencies_ms=[10.0] * 40) for _ in range(3)]
    noisy = [neighbours.Turn(latencies_ms=[13.0] * 40, answered=1000, refused=200) for _ in range(3)]

    found = neighbours.as_dict(quiet, noisy, 2.0)

    assert (round(found["ratio"], 2), found["allowed"], found["refused"], found["wrong"]) == (1.3, 500, 100, [])
    assert "NOT REACHED (1.30)" in neighbours.table(found)
