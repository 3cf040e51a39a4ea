"""The spool: what was recorded is forwarded exactly once, whatever happens to processes, disk and server."""

import json
import resource
import threading
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ante_client import Ante, Spool, SpoolFull, SpoolUnwritable, Unreachable, calls, running
from ante_client.forward import main
from ante_client.inference import Inference
from ante_client.running import Running
from tests.clients.conftest import QUICK
from tests.clients.elsewhere import FORWARDING, elsewhere, end, is_ready, kill
from tests.clients.standin import OPERATOR_KEY, Billing, Refusal, eventually


def drained(billing: Billing, spool: Path, timeout: float = 30.0) -> bool:
    """Forward what is there, as a process that comes later does."""
    with Ante(billing.address, OPERATOR_KEY, retry=QUICK, spool=spool) as ante:
        return ante.flush(timeout)


def contents(spool: Path) -> list[str]:
    return sorted(path.suffix for path in spool.iterdir())


def test_recorded_usage_arrives_in_batches(spooling: Ante, billing: Billing) -> None:
    names = [spooling.usage.record("acme", "gpt_tokens", 1, "0.001") for _ in range(500)]

    assert eventually(lambda: len(billing.events) == 500)
    assert [name for _, _, name in billing.events] == names
    assert len(billing.seen) < 100
    assert spooling.flush()


def test_a_capture_goes_the_same_way(spooling: Ante, billing: Billing) -> None:
    held = spooling.wallet.authorize("acme", "llm.completion", {"output_tokens": 1000})
    event = calls.event(customer="acme", type="llm.completion", data={"output_tokens": 300}, source="app")

    spooling.usage.settle(event, held.id)

    assert spooling.flush()
    assert billing.statuses() == ["captured"]
    assert billing.wallets["acme"] == Decimal("99.7")


def test_what_was_set_aside_has_gone_and_the_work_is_charged_all_the_same(spooling: Ante, billing: Billing) -> None:
    held = spooling.wallet.authorize("acme", "llm.completion", {"output_tokens": 1000})
    assert held.id is not None
    spooling.wallet.void(held.id)

    spooling.usage.settle(
        calls.event(customer="acme", type="llm.completion", data={"output_tokens": 300}, source="app"), held.id
    )

    assert spooling.flush()
    assert len(billing.events) == 1


def test_what_a_budget_puts_off_holds_up_nobody(spooling: Ante, billing: Billing) -> None:
    held = spooling.wallet.authorize("acme", "llm.completion", {"output_tokens": 1000})
    billing.faults.append(Refusal(429, "rate_limited", budget="b"))

    spooling.usage.settle(
        calls.event(customer="acme", type="llm.completion", data={"output_tokens": 300}, source="app"), held.id
    )
    spooling.usage.record("acme", "gpt_tokens", 1, "0.001")

    assert spooling.flush()
    assert [event["type"] for event in billing.events.values()] == ["gpt_tokens", "llm.completion"]


def test_an_outage_costs_the_caller_nothing_and_loses_nothing(spooling: Ante, billing: Billing) -> None:
    billing.away = True
    for _ in range(100):
        spooling.usage.record("acme", "gpt_tokens", 1, "0.001")
    assert not spooling.flush(0.1)

    billing.away = False

    assert eventually(lambda: len(billing.events) == 100)


def test_what_is_refused_for_good_is_kept_and_holds_up_nobody(billing: Billing, tmp_path: Path) -> None:
    told: list[Any] = []
    hear: Callable[[Any, str], None] = lambda event, code: told.append((event["subject"], code))  # noqa: E731
    with Ante(billing.address, OPERATOR_KEY, spool=tmp_path, on_refused=hear) as ante:
        ante.usage.report("acme", "llm.completion", {"output_tokens": 1})
        ante.usage.report("nobody", "llm.completion", {"output_tokens": 1})
        ante.usage.report("acme", "unpriced", {})
        ante.usage.report("acme", "llm.completion", {"output_tokens": 2})

    assert told == [("nobody", "not_found"), ("acme", "unpriced_usage")]
    kept = [json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in kept] == ["not_found", "unpriced_usage"]
    assert len(billing.events) == 2
    assert contents(tmp_path) == [".jsonl"]


def test_a_key_that_is_no_longer_taken_loses_nothing(spooling: Ante, billing: Billing) -> None:
    billing.faults.extend([401, 403])

    spooling.usage.report("acme", "llm.completion", {"output_tokens": 1})

    assert eventually(lambda: len(billing.events) == 1)


def test_each_once_whoever_is_killed_and_whichever_answers_get_lost(billing: Billing, tmp_path: Path) -> None:
    """The server is away, two processes that record are killed, and answers get lost when it is back."""
    billing.away = True
    code = """
        ante = Ante(sys.argv[1], "sk_live_test", spool=sys.argv[2])
        for number in range(1500):
            ante.usage.record("acme", "gpt_tokens", 1, "0.001", id=f"{sys.argv[3]}-{number}")
        print("ready", flush=True)
        time.sleep(600)
    """
    for process in (1, 2):
        kill(elsewhere(code, billing.address, tmp_path, process))
    billing.away = False
    billing.faults.extend(["lose", 503, "cut", "lose", "lose"])

    # Somebody begins to forward and is killed over it.
    kill(elsewhere(FORWARDING, billing.address, OPERATOR_KEY, tmp_path))
    assert 0 < len(billing.events) < 3000
    assert drained(billing, tmp_path)

    names = {name for _, _, name in billing.events}
    assert names == {f"{process}-{number}" for process in (1, 2) for number in range(1500)}
    assert billing.wallets["acme"] == 97
    assert contents(tmp_path) == []


def test_what_a_process_had_under_way_when_it_was_killed_is_charged(billing: Billing, tmp_path: Path) -> None:
    code = """
        from ante_client.inference import Inference
        from ante_client.running import Running
        running = Running(Spool(sys.argv[1]))
        for name in ("left open", "ended"):
            run = Inference("acme", "llm.completion", {"input_tokens": 100}, source="app", id=name)
            running.follow(run, lambda: {"output_tokens": 30})
        running.end(run)
        print("ready", flush=True)
        time.sleep(600)
    """
    process = elsewhere(code, tmp_path)
    assert is_ready(process)
    assert drained(billing, tmp_path)
    assert not billing.events  # It lives.

    end(process)
    assert drained(billing, tmp_path)
    (event,) = billing.events.values()
    assert (event["id"], event["outcome"]) == ("left open", "failed")
    assert billing.wallets["acme"] == 100 - Decimal("0.01") - Decimal("0.03")
    assert contents(tmp_path) == []


def test_what_is_under_way_is_on_disk_also_while_its_file_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed in between leaves it all the same."""
    left = []

    class Watched(Running):
        def _drop(self) -> None:
            left.append(sorted(path.stat().st_size for path in tmp_path.glob(f"*{running.SUFFIX}")))
            super()._drop()

    monkeypatch.setattr(running, "BYTES_MAX", 1)
    under_way = Watched(Spool(tmp_path))
    runs = [Inference("acme", "llm.completion", {}, source="app", id=name) for name in ("first", "second")]
    for run in runs:
        under_way.follow(run, dict)

    (first,), (before, after) = left
    assert (first > 0, before > 0, after > before) == (True, True, True)
    for run in runs:
        under_way.end(run)


def test_a_line_that_was_cut_short_is_passed_over_and_the_others_are_not(billing: Billing, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(3):
        spool.append({"event": calls.event(customer="acme", type="t", data={"n": number}, source="app")})
    spool.rotate()
    (segment,) = tmp_path.glob("*.spool")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-10])

    assert drained(billing, tmp_path)
    assert len(billing.events) == 2


def test_a_damaged_line_is_kept_for_somebody_to_look_at(billing: Billing, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(3):
        spool.append({"event": calls.event(customer="acme", type="t", data={"n": number}, source="app")})
    spool.rotate()
    (segment,) = tmp_path.glob("*.spool")
    first, second, third = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(first + second.replace(b"acme", b"ACME") + third)

    assert drained(billing, tmp_path)
    assert len(billing.events) == 2
    assert json.loads((tmp_path / "refused.jsonl").read_text())["reason"] == "damaged"


def test_the_spool_is_bounded_and_says_so(billing: Billing, tmp_path: Path) -> None:
    billing.away = True
    spool = Spool(tmp_path, bound=4096)
    with Ante(billing.address, OPERATOR_KEY, spool=spool, retry=QUICK) as ante:
        with pytest.raises(SpoolFull):
            deque(ante.usage.record("acme", "gpt_tokens", 1, "0.001") for _ in range(100))
        assert 3000 < spool.waiting() <= 4096

        billing.away = False
        assert eventually(lambda: spool.waiting() < 3000)
        ante.usage.record("acme", "gpt_tokens", 1, "0.001")


def test_where_the_spool_takes_no_more_usage_is_sent_at_once(billing: Billing, tmp_path: Path) -> None:
    spool = Spool(tmp_path, bound=64)
    with Ante(billing.address, OPERATOR_KEY, spool=spool, retry=QUICK) as ante:
        ante.usage.record("acme", "gpt_tokens", 1, "0.001")

        assert len(billing.events) == 1


def test_a_full_disk_is_reported_and_leaves_whole_lines(tmp_path: Path) -> None:
    """No file of that process may be longer than 4,096 bytes: writing beyond that fails midway, as on a full disk."""
    code = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        spool = Spool(sys.argv[1])
        kept = 0
        for number in range(200):
            try:
                spool.append({"event": {"id": str(number), "filler": "x" * number}})
                kept += 1
            except SpoolUnwritable:
                pass
        print(kept, flush=True)
    """
    process = elsewhere(code, tmp_path)
    kept = int(process.communicate()[0])

    assert process.returncode == 0
    assert 0 < kept < 200
    lines = b"".join(path.read_bytes() for path in tmp_path.glob("*.spool")).splitlines()
    assert len(lines) == kept
    found = [entry for segment in Spool(tmp_path).segments() for entry in segment.entries(most=999, most_bytes=9999)]
    assert all(entry.content is not None for entry in found)
    assert len(found) == kept


def test_a_directory_that_cannot_be_written_is_reported(billing: Billing, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    billing.away = True
    ante = Ante(billing.address, OPERATOR_KEY, spool=tmp_path / "file" / "spool", retry=QUICK)
    with pytest.raises(SpoolUnwritable):
        ante.usage.record("acme", "gpt_tokens", 1)
    ante.close(0.0)


def test_several_processes_share_a_spool_and_forks_do_not_mix(billing: Billing, tmp_path: Path) -> None:
    code = """
        ante = Ante(sys.argv[1], "sk_live_test", spool=sys.argv[2])
        ante.usage.record("acme", "gpt_tokens", 1, "0.001", id="parent")
        children = []
        for child in range(3):
            pid = os.fork()
            if not pid:
                for number in range(200):
                    ante.usage.record("acme", "gpt_tokens", 1, "0.001", id=f"{child}-{number}")
                ante.close(30.0)
                os._exit(0)
            children.append(pid)
        for number in range(200):
            ante.usage.record("acme", "gpt_tokens", 1, "0.001", id=f"parent-{number}")
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        ante.close(30.0)
    """
    with elsewhere(code, billing.address, tmp_path) as process:
        assert process.wait(60) == 0

    assert len({name for _, _, name in billing.events}) == 801
    assert contents(tmp_path) == []


def test_a_segment_whose_writer_lives_is_left_to_it(billing: Billing, tmp_path: Path) -> None:
    ours, theirs = Spool(tmp_path), Spool(tmp_path)
    theirs.append({"event": {}})

    assert ours.segments() == []
    theirs.rotate()
    (segment,) = ours.segments()
    assert not segment.own
    assert theirs.segments() == []
    segment.close()


def test_a_segment_is_locked_before_anybody_can_see_it(tmp_path: Path) -> None:
    """Otherwise who forwards would take a new one for left behind, and remove it under its writer's hands."""
    writer, reader = Spool(tmp_path, segment_bytes=64), Spool(tmp_path)
    stop = threading.Event()
    lines: set[int] = set()

    def forward() -> None:
        while not stop.is_set():
            for segment in reader.segments():
                entries = segment.entries(most=999, most_bytes=1 << 20)
                lines.update(entry.content["n"] for entry in entries if entry.content is not None)
                segment.remove()
                segment.close()

    thread = threading.Thread(target=forward)
    thread.start()
    for number in range(500):
        writer.append({"n": number, "filler": "x" * 64})
    writer.rotate()
    assert eventually(lambda: not list(tmp_path.glob("*.spool")))
    stop.set()
    thread.join()

    assert lines == set(range(500))


def test_recording_takes_no_network(tmp_path: Path) -> None:
    """Nobody listens at that address, and nothing fails, for nobody is asked."""
    with Ante("http://127.0.0.1:9", OPERATOR_KEY, spool=tmp_path, retry=QUICK) as ante:
        before = resource.getrusage(resource.RUSAGE_THREAD)
        began = time.perf_counter()
        for _ in range(5000):
            ante.usage.record("acme", "gpt_tokens", 1, "0.001", meta={"user": "u_17"})
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_THREAD)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{took / 5000 * 1e6:.1f} µs an event, {used / 5000 * 1e6:.1f} µs of processor time")
        with pytest.raises(Unreachable):
            ante.balance("acme")
        ante.close(0.0)

    assert sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("*.spool")) == 5000


def test_a_command_forwards_what_was_left(
    billing: Billing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(tmp_path)
    spool.append({"event": calls.event(customer="acme", type="t", data={}, source="app")})
    spool.rotate()
    monkeypatch.setenv("ANTE_API_KEY", OPERATOR_KEY)

    assert main([str(tmp_path), "--url", billing.address]) == 0
    assert capsys.readouterr().out == "1 forwarded, 0 refused\n"
    assert len(billing.events) == 1
