"""A load generator for one server on this machine: requests over connections that stay open, one after another on each.

Small on purpose: it shares the processors with what it measures. Bounded by time and by count; whatever was sent is
waited for, so that what the server did and what was counted are the same.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

REQUESTS_MAX = 500_000
GRACE_SECONDS = 30.0
"""How long answers may take after the last request was sent."""
WRONG_KEPT = 5

Check = Callable[[int, bytes], bool]


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to send, whether an answer (status and body) is the right one, and what it counts for."""

    content: bytes
    is_right: Check
    weight: int = 1


@dataclass(slots=True)
class Sample:
    """What one run of a measure came to. ``wrong`` describes the first answers that were not right."""

    count: int
    seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    wrong_count: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds > 0 else 0.0


def percentiles(latencies_ms: list[float]) -> tuple[float | None, float | None]:
    """The median, and what 99 of a hundred stay below."""
    if not latencies_ms:
        return None, None
    ordered = sorted(latencies_ms)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def drive(
    host: str,
    port: int,
    *,
    connections: int,
    seconds: float,
    requests: Callable[[], Request],
    requests_max: int = REQUESTS_MAX,
) -> Sample:
    """Send what ``requests`` gives until the time or the count is up."""
    return asyncio.run(_Run(connections, seconds, requests, requests_max).run(host, port))


class _Run:
    """The shared state of the connections of one run."""

    def __init__(self, connections: int, seconds: float, requests: Callable[[], Request], requests_max: int) -> None:
        self.connections = connections
        self.seconds = seconds
        self.requests = requests
        self.left = requests_max
        self.deadline = 0.0
        self.count = 0
        self.latencies_ms: list[float] = []
        self.wrong_count = 0
        self.wrong: list[str] = []

    async def run(self, host: str, port: int) -> Sample:
        loop = asyncio.get_running_loop()
        ended = [loop.create_future() for _ in range(self.connections)]
        started = time.perf_counter()
        self.deadline = started + self.seconds
        for future in ended:
            await loop.create_connection(lambda future=future: _Connection(self, future), host, port)  # type: ignore[misc]
        try:
            await asyncio.wait_for(asyncio.gather(*ended), self.seconds + GRACE_SECONDS)
        except TimeoutError:
            self.fail(f"no answer within {GRACE_SECONDS:.0f} seconds")
        seconds = time.perf_counter() - started
        p50_ms, p99_ms = percentiles(self.latencies_ms)
        return Sample(self.count, seconds, p50_ms, p99_ms, self.wrong_count, self.wrong)

    def next(self) -> Request | None:
        if self.left <= 0 or time.perf_counter() >= self.deadline:
            return None
        self.left -= 1
        return self.requests()

    def answered(self, request: Request, status: int, body: bytes, seconds: float) -> None:
        self.latencies_ms.append(seconds * 1000)
        if request.is_right(status, body):
            self.count += request.weight
        else:
            self.fail(f"{status} {body[:300].decode(errors='replace')}")

    def fail(self, what: str) -> None:
        self.wrong_count += 1
        if len(self.wrong) < WRONG_KEPT:
            self.wrong.append(what)


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, run: _Run, ended: "asyncio.Future[None]") -> None:
        self.run = run
        self.ended = ended
        self.buffer = bytearray()
        self.request: Request | None = None
        self.sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end])
        length = content_length(head)
        if length is None:
            self._give_up(f"an answer without a length: {head[:200].decode('latin-1')}")
            return
        if len(self.buffer) < end + 4 + length:
            return
        assert self.request is not None
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        self.buffer.clear()
        self.run.answered(self.request, int(head[9:12]), body, time.perf_counter() - self.sent_at)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if self.request is not None:
            self.run.fail(f"the connection broke: {error or 'closed by the server'}")
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        assert self.transport is not None
        self.request = self.run.next()
        if self.request is None:
            self.transport.close()
            return
        self.sent_at = time.perf_counter()
        self.transport.write(self.request.content)

    def _give_up(self, what: str) -> None:
        assert self.transport is not None
        self.request = None
        self.run.fail(what)
        self.transport.close()


def content_length(head: bytes) -> int | None:
    """What an answer's head says of its body; None where it does not say."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None
