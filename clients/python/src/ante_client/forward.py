"""From the spool to the server, in batches, in the background: at least once from here, exactly once in the books.

A line is ``{"event": …}``, or ``{"event": …, "authorization": …}`` for one that captures what was set aside, or
``{"void": …}`` for what goes back, as nothing of it was used. Whatever ends this process, the mark beside a segment is
behind what was acknowledged, never ahead of it, and the server knows an event that comes again by its id.

``python -m ante_client.forward`` (``ante-forward``) does the same once, or for ever with ``--watch``: for what was left
by processes that are gone.
"""

import argparse
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ante_client import calls
from ante_client.errors import AnteError, PaymentRequired, Refused, Throttled
from ante_client.exchange import ONCE, Call, Retry
from ante_client.running import take_over
from ante_client.spool import Entry, Segment, Spool

logger = logging.getLogger("ante_client")

BATCH_EVENTS = 1000
BATCH_BYTES = 4 << 20
CHARGED_TOGETHER = "charged with the first"
IDLE_SECONDS = 0.2
"""How long a line may wait for others to share a request with."""

LATER = {"internal_error", "unavailable", "wallet_busy", "rate_limited", "request_in_progress"}
"""Refusals of one event of a batch that are worth another try."""

T = TypeVar("T")


class Runs(Protocol):
    """A client that makes a call, as ``ante_client.Ante`` does."""

    def perform(self, call: Call[T], retry: Retry | None = None) -> T: ...


@dataclass(slots=True)
class Totals:
    """What became of the lines since the start."""

    forwarded: int = 0
    refused: int = 0
    damaged: int = 0


class Forwarder:
    """Sends what is in the spool. ``step`` is one round; ``start`` does rounds in a thread until ``stop``."""

    def __init__(self, client: Runs, spool: Spool, *, on_refused: Callable[[Mapping[str, Any], str], None]) -> None:
        self._client = client
        self._spool = spool
        self._on_refused = on_refused
        self._backoff = Retry(first=0.5, longest=30.0)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._turn = threading.Lock()
        self.totals = Totals()

    def start(self) -> None:
        """Begin, unless it has begun in this very process."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._wake, self._stopping, self._turn = threading.Event(), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._work, name="ante-forwarder", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join()
        self._thread = None
        self._pid = 0

    def flush(self, timeout: float) -> bool:
        """Forward what is there now. False where that was not possible in time; then it stays in the spool."""
        end = time.monotonic() + timeout
        failures = 0
        while True:
            try:
                if not self.step():
                    return True
            except AnteError:
                failures += 1
                if time.monotonic() + self._backoff.pause(failures) > end:
                    return False
                time.sleep(self._backoff.pause(failures))
            if time.monotonic() > end:
                return False

    def step(self) -> bool:
        """Forward one batch of every segment; True if there may be more. Raises ``AnteError`` where nobody takes it."""
        with self._turn:
            take_over(self._spool)
            segments = self._spool.segments()
            try:
                return any([self._forward(segment) for segment in segments])
            finally:
                for segment in segments:
                    segment.close()

    def _work(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                more = self.step()
                failures = 0
            except Exception as error:
                failures += 1
                if failures in {1, 10} or failures % 100 == 0:
                    logger.warning("Usage waits in %s, for it cannot be forwarded: %s", self._spool.directory, error)
                self._stopping.wait(self._backoff.pause(failures))
                continue
            if not more:
                self._wake.wait(1.0)
                self._wake.clear()
                self._stopping.wait(IDLE_SECONDS)

    def _forward(self, segment: Segment) -> bool:
        entries = segment.entries(most=BATCH_EVENTS, most_bytes=BATCH_BYTES)
        if not entries:
            if not segment.own:
                segment.remove()
            return False
        for group in _groups(entries):
            self._send(group)
            segment.advance(group[-1].end)
        return True

    def _send(self, group: Sequence[Entry]) -> None:
        """One request for events, one for each that captures or gives back."""
        first = group[0].content
        if first is None:
            self.totals.damaged += 1
            logger.error("A line of %s is damaged", self._spool.directory)
            self._spool.refuse({"line": group[0].raw.decode("latin-1")}, "damaged")
        elif "authorization" in first:
            self._capture(first)
        elif "void" in first:
            self._void(first["void"], key=f"{first['void']}:void", reason=first["reason"])
            self.totals.forwarded += 1
        else:
            self._record([entry.content for entry in group if entry.content is not None])

    def _record(self, lines: Sequence[Mapping[str, Any]]) -> None:
        try:
            results = self._client.perform(calls.batch([line["event"] for line in lines]), ONCE)
        except Refused as refused:
            if refused.status in {401, 403}:
                raise  # Another key will do: nothing is lost by waiting for it.
            if len(lines) == 1:
                self._give_up(lines[0], refused.code)
                return
            middle = len(lines) // 2
            self._record(lines[:middle])
            self._record(lines[middle:])
            return
        again = []
        for line, result in zip(lines, results, strict=True):
            code = result.get("code")
            if code is None:
                self.totals.forwarded += 1
            elif code in LATER:
                again.append(line)
            else:
                self._give_up(line, code)
        self._put_off(again)

    def _capture(self, line: Mapping[str, Any]) -> None:
        for further in line.get("release", ()):
            self._void(further, key=f"{further}:void", reason=CHARGED_TOGETHER)
        try:
            self._client.perform(calls.capture(line["authorization"], line["event"]), ONCE)
        except PaymentRequired:
            # More than was set aside and than there is. Nothing stays held for it, and the books say what was refused.
            self._void(line["authorization"], key=f"{line['event']['id']}:void", reason="more was used")
            self._record([{"event": line["event"]}])
        except Throttled:
            self._put_off([line])
        except Refused as refused:
            if refused.status in {401, 403}:
                raise
            if refused.status in {404, 409} and refused.code != "event_conflict":
                # What was set aside has gone: the work was done all the same.
                self._record([{"event": line["event"]}])
                return
            self._give_up(line, refused.code)
        else:
            self.totals.forwarded += 1

    def _void(self, authorization: str, *, key: str, reason: str) -> None:
        try:
            self._client.perform(calls.void(authorization, reason=reason, key=key), ONCE)
        except Refused as refused:
            if refused.status in {401, 403}:
                raise
            logger.info("%s is not open any more: %s", authorization, refused)

    def _put_off(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """To the end of the spool, and only then off their places: others need not wait for them."""
        for line in lines:
            self._spool.append(line)
        if lines:
            self._stopping.wait(self._backoff.first)

    def _give_up(self, line: Mapping[str, Any], code: str) -> None:
        """Refused for good: kept where somebody will find it."""
        self.totals.refused += 1
        self._spool.refuse(line, code)
        logger.error("The event %s was refused: %s", line["event"].get("id"), code)
        self._on_refused(line["event"], code)


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Events that stand together share a request; what captures or gives back, and a damaged line, stands alone."""
    groups: list[list[Entry]] = []
    joinable = False
    for entry in entries:
        plain = entry.content is not None and entry.content.keys() == {"event"}
        if plain and joinable:
            groups[-1].append(entry)
        else:
            groups.append([entry])
        joinable = plain
    return groups


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Its exit code is 1 where something stays in the spool."""
    from ante_client.client import Ante

    parser = argparse.ArgumentParser(prog="ante-forward", description="Forward what is in a spool.")
    parser.add_argument("spool", help="the spool's directory")
    parser.add_argument("--url", default=os.environ.get("ANTE_URL"), help="where Ante runs (default: ANTE_URL)")
    parser.add_argument("--watch", action="store_true", help="go on until stopped")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to try for (default: %(default)s)")
    options = parser.parse_args(arguments)
    key = os.environ.get("ANTE_API_KEY")
    if not options.url or not key:
        parser.error("ANTE_URL (or --url) and ANTE_API_KEY are needed")
    spool = Spool(options.spool)
    with Ante(options.url, key) as client:
        forwarder = Forwarder(client, spool, on_refused=lambda event, code: None)
        while True:
            done = forwarder.flush(options.timeout)
            if not options.watch:
                print(f"{forwarder.totals.forwarded} forwarded, {forwarder.totals.refused} refused")
                return 0 if done else 1
            time.sleep(1.0)


if __name__ == "__main__":
    raise SystemExit(main())
