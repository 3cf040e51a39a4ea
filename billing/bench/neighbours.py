"""What a few callers notice of ten customers who take all that they are allowed: their events with them and without.

The ten send single events with keys of their own, faster than one web process lets them; the few send at a modest pace,
and their answers are measured. Ten and none take turns, so that both meet the same machine. Nobody waits for anybody's
signal: the time between two calls of a connection is drawn from an exponential distribution.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from accounts.services import api_keys
from billing.bench import load
from billing.bench.load import Request
from billing.bench.traffic import Traffic
from billing.models import Customer

NOISY = 10
MEASURED = 5
CONNECTIONS = 8
"""Of each of the ten."""
ABOVE = 1.2
"""How much more than their limit they ask for."""
NOTICED_SECONDS = 8
"""How long the ten have been at it, on the same connections, before it counts."""
CALLS_A_SECOND = 4
"""Of each caller whose answers are measured."""
BAR = 1.2


@dataclass(slots=True)
class Turn:
    """``latencies_ms`` of the measured callers; how many calls of the ten were answered, and how many refused (429)."""

    latencies_ms: list[float] = field(default_factory=list)
    answered: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.latencies_ms, n=20)[-1]

    def of_measured(self, request: Request, status: int, body: bytes, ms: float) -> None:
        self.latencies_ms.append(ms)
        if not request.is_right(status, body):
            self.wrong.append(f"{status} {body[:200].decode(errors='replace')}")

    def of_noisy(self, request: Request, status: int, body: bytes, ms: float) -> None:
        if status == 429:
            self.refused += 1
        elif request.is_right(status, body):
            self.answered += 1
        else:
            self.wrong.append(f"{status} {body[:200].decode(errors='replace')}")


Told = Callable[[Request, int, bytes, float], None]


class Neighbours:
    """``names`` are customers with money: the first ``MEASURED`` are measured, the next ``NOISY`` are noisy."""

    def __init__(self, *, host: str, port: int, netloc: str, names: Sequence[str]) -> None:
        self.host, self.port = host, port
        self.traffics = [Traffic(host=netloc, key=_key_of(name), customers=[name]) for name in names]

    def rounds(self, count: int, seconds: float, *, say: Callable[[str], None]) -> tuple[list[Turn], list[Turn]]:
        """So many turns of ``seconds`` each, quiet and noisy."""
        quiet, noisy = [], []
        for number in range(1, count + 1):
            quiet.append(self._turn(seconds, noisy=False))
            noisy.append(self._turn(seconds, noisy=True))
            say(f"round {number} of {count}: p95 {quiet[-1].p95_ms:.1f} ms alone, {noisy[-1].p95_ms:.1f} ms beside ten")
        return quiet, noisy

    def _turn(self, seconds: float, *, noisy: bool) -> Turn:
        return asyncio.run(self._all(seconds, noisy))

    async def _all(self, seconds: float, noisy: bool) -> Turn:
        turn, since = Turn(), time.perf_counter() + (NOTICED_SECONDS if noisy else 0)
        until = since + seconds
        measured, others = self.traffics[:MEASURED], self.traffics[MEASURED:]
        callers = [self._call(one, CALLS_A_SECOND, since, until, turn.of_measured) for one in measured]
        rate = settings.CUSTOMER_CALLS_PER_SECOND * ABOVE / CONNECTIONS
        if noisy:
            callers += [
                self._call(one, rate, since, until, turn.of_noisy) for one in others for _ in range(CONNECTIONS)
            ]
        await asyncio.gather(*callers)
        return turn

    async def _call(self, traffic: Traffic, rate: float, since: float, until: float, told: Told) -> None:
        """One connection: an event every so often, each after the answer to the one before, told ``since`` then."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        requests, due = traffic.single(), time.perf_counter() + random.expovariate(rate)
        while due < until:
            await asyncio.sleep(max(0, due - time.perf_counter()))
            request, started = requests(), time.perf_counter()
            writer.write(request.content)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(load.content_length(head) or 0)
            if started >= since:
                told(request, int(head[9:12]), body, (time.perf_counter() - started) * 1000)
            # Who was answered late does not catch up.
            due = max(due + random.expovariate(rate), time.perf_counter())
        writer.close()


def _key_of(name: str) -> str:
    organization = Customer.objects.get(external_id=name).organization
    return api_keys.issue(name="bench", scopes=["events:write"], organization=organization)[1]


def as_dict(quiet: Sequence[Turn], noisy: Sequence[Turn], seconds: float) -> dict[str, Any]:
    """Medians over the turns, and what the ten were allowed and refused, in calls a second."""
    alone, beside = (statistics.median(turn.p95_ms for turn in turns) for turns in (quiet, noisy))
    return {
        "p95_alone_ms": alone,
        "p95_beside_ms": beside,
        "ratio": beside / alone,
        "allowed": sum(turn.answered for turn in noisy) / len(noisy) / seconds,
        "refused": sum(turn.refused for turn in noisy) / len(noisy) / seconds,
        "wrong": [each for turn in (*quiet, *noisy) for each in turn.wrong],
    }


def table(found: dict[str, Any]) -> str:
    """For people, with the bar."""
    reached = "reached" if found["ratio"] <= BAR else "NOT REACHED"
    return (
        f"p95 of {MEASURED} callers: {found['p95_alone_ms']:.1f} ms alone, {found['p95_beside_ms']:.1f} ms beside"
        f" {NOISY} customers at their limit, who were allowed {found['allowed']:.0f} calls a second together and"
        f" refused {found['refused']:.0f}.\nbar: ≤ {BAR} × alone: {reached} ({found['ratio']:.2f})"
    )
