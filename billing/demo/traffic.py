"""Usage that looks like work: what one call of each kind is like, and how a month of calls is spread over time."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from billing.demo.catalog import UNPRICED_MODEL
from billing.demo.customers import SampleCustomer

SOURCE = "gateway"
DAYS = 30
GROWTH_PER_DAY = 0.025
WEEKEND = 0.35
"""How much of a working day's traffic a Saturday or Sunday has."""


@dataclass(frozen=True, slots=True)
class Call:
    """One event to be: its type and data, without id and time."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TimedCall:
    """A call of a customer at a moment, with the id that the gateway gave it."""

    customer: SampleCustomer
    id: str
    time: datetime
    call: Call


def call(customer: SampleCustomer, random: Random) -> Call:
    """A call as this customer's application would make it."""
    return _MAKERS[_pick(customer.work, random)](customer, random)


def smaller(made: Call, share: float) -> Call:
    """The same call with only a ``share``, 0 to 1, of its work."""
    sizes = {name: min(size, max(1, int(size * share))) for name, size in made.data.items() if isinstance(size, int)}
    return Call(made.type, made.data | sizes)


def event_id(random: Random) -> str:
    return f"inf_{random.getrandbits(80):020x}"


def month(customer: SampleCustomer, *, now: datetime, random: Random) -> Iterator[TimedCall]:
    """About ``customer.events`` calls over the last 30 days, in no particular order; none after ``now``.

    Busy in the customer's working hours, quiet at night and on weekends, and growing towards today.
    """
    zone = ZoneInfo(customer.timezone)
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    weights = [
        (1 + GROWTH_PER_DAY * n) * (WEEKEND if day.weekday() >= 5 else 1) * random.uniform(0.85, 1.15)
        for n, day in enumerate(days)
    ]
    for _ in range(customer.events):
        day = random.choices(days, weights)[0]
        moment = day + timedelta(
            hours=random.choices(range(24), _HOURS)[0],
            seconds=random.randrange(3600),
            milliseconds=random.randrange(1000),
        )
        if moment < now:
            yield TimedCall(customer, event_id(random), moment, call(customer, random))


_HOURS = [0.08 + math.exp(-((hour - 10.5) ** 2) / 9) + 0.9 * math.exp(-((hour - 15) ** 2) / 8) for hour in range(24)]
"""The day's rhythm: a morning peak, lunch, an afternoon peak, and a trickle at night."""


def _pick(weights: Mapping[str, int], random: Random) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def _size(random: Random, typical: float, spread: float, most: int) -> int:
    """A whole number around ``typical``: most are near it, few are far above."""
    return max(1, min(most, round(random.lognormvariate(math.log(typical), spread))))


def _who(customer: SampleCustomer, random: Random) -> dict[str, Any]:
    # A few people do most of the work.
    user = min(int(random.expovariate(3 / customer.users)), customer.users - 1) + 1
    return {
        "user": f"u_{user:02d}",
        "project": random.choice(customer.projects),
        "feature": random.choice(customer.features),
        "session": f"s_{random.getrandbits(24):06x}",
    }


def _tokens(random: Random, *, input_tokens: int, output_tokens: int, cached: float) -> dict[str, int]:
    """``cached`` is the chance that the prompt's beginning was cached; caches hold blocks of 128 tokens."""
    hit = 0
    if input_tokens > 1024 and random.random() < cached:
        hit = int(input_tokens * random.uniform(0.4, 0.9)) // 128 * 128
    return {"input_tokens": input_tokens, "cached_input_tokens": hit, "output_tokens": output_tokens}


def _chat(customer: SampleCustomer, random: Random) -> Call:
    tokens = _tokens(
        random,
        input_tokens=_size(random, 2600, 0.8, 60_000),
        output_tokens=_size(random, 420, 0.6, 8_000),
        cached=0.45,
    )
    return Call("llm.completion", {"model": _pick(customer.models, random), **tokens, **_who(customer, random)})


def _code(customer: SampleCustomer, random: Random) -> Call:
    tokens = _tokens(
        random,
        input_tokens=_size(random, 14_000, 0.7, 160_000),
        output_tokens=_size(random, 1_100, 0.7, 16_000),
        cached=0.8,
    )
    return Call("llm.completion", {"model": _pick(customer.models, random), **tokens, **_who(customer, random)})


def _unpriced(customer: SampleCustomer, random: Random) -> Call:
    made = _chat(customer, random)
    return Call(made.type, {**made.data, "model": UNPRICED_MODEL})


def _image(customer: SampleCustomer, random: Random) -> Call:
    quality = random.choices(["standard", "high"], [4, 1])[0]
    data = {"model": "gpt-image-1", "quality": quality, "size": "1024x1024", "images": random.choice([1, 1, 1, 2, 4])}
    return Call("image.generation", {**data, **_who(customer, random)})


def _audio(customer: SampleCustomer, random: Random) -> Call:
    seconds = _size(random, 340, 0.7, 3_600)
    return Call("audio.transcription", {"model": "gpt-4o-transcribe", "seconds": seconds, **_who(customer, random)})


def _gpu(customer: SampleCustomer, random: Random) -> Call:
    gpu = random.choices(["h100", "a100", "l4"], [2, 3, 5])[0]
    return Call("gpu.session", {"gpu": gpu, "seconds": _size(random, 210, 0.8, 2_400), **_who(customer, random)})


def _agent(customer: SampleCustomer, random: Random) -> Call:
    agent = random.choice(["triage-agent", "repair-agent", "research-agent"])
    return Call("agent.run", {"agent": agent, "steps": _size(random, 9, 0.6, 60), **_who(customer, random)})


_MAKERS: dict[str, Callable[[SampleCustomer, Random], Call]] = {
    "chat": _chat,
    "code": _code,
    "unpriced": _unpriced,
    "image": _image,
    "audio": _audio,
    "gpu": _gpu,
    "agent": _agent,
}
