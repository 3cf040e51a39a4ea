"""One call to the server with its retries, free of any network: the two clients drive the same generator.

What is repeated: no answer, 429, anything from 500 on, and 409 ``request_in_progress``. That is safe, for every call
that writes carries a key or an event id under which the server knows it again. A 429 of a budget is not repeated: it is
an answer, and holds until the budget starts anew.
"""

import json
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar

from ante_client.errors import Unreachable, refusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how long in between: twice as long each time, half of it left to chance, never above ``longest``.

    ``Retry-After`` is heeded up to ``longest``. Times are in seconds.
    """

    attempts: int = 4
    first: float = 0.2
    longest: float = 5.0

    def pause(self, failures: int, asked: float | None = None) -> float:
        """The wait after so many failures (1, 2, …)."""
        backoff = min(self.longest, self.first * 2.0 ** (failures - 1))
        chance = backoff * (0.5 + random.random() / 2)  # noqa: S311 - only spreads callers out.
        return max(chance, min(asked or 0.0, self.longest))


ONCE = Retry(attempts=1)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request to be made, and how its answer is read. ``path`` is below ``/api/v1``."""

    method: str
    path: str
    read: Callable[["Answer"], T]
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    token: str | None = None
    """Another API key than the client's own, for this call."""
    timeout: float | None = None
    """Seconds for each try, where it is not the client's."""

    def content(self) -> bytes | None:
        return None if self.body is None else encode(self.body)

    def headers(self) -> dict[str, str]:
        headers = {} if self.body is None else {"Content-Type": "application/json"}
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body; an empty object where there is none that can be read."""
        try:
            return json.loads(self.content)
        except ValueError:
            return {}

    @property
    def retry_after(self) -> float | None:
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True, slots=True)
class Wait:
    """The driver is to pause for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Try:
    """The driver is to send the request, and to answer with an ``Answer``, or the reason why there is none."""


def exchange(call: Call[T], retry: Retry) -> Generator[Try | Wait, Answer | str | None, T]:
    """Raises ``Refused`` and ``Unreachable``."""
    failures = 0
    while True:
        found = yield Try()
        if isinstance(found, Answer):
            if found.status < 400:
                return call.read(found)
            body = found.json()
            problem = body if isinstance(body, dict) else {}
            if not passes(found.status, problem.get("code")) or "budget" in problem:
                raise refusal(found.status, problem)
            reason = f"status {found.status}: {problem.get('detail', '')}"
            asked = found.retry_after
        else:
            reason, asked = str(found), None
        failures += 1
        if failures >= retry.attempts:
            raise Unreachable(f"{call.method} {call.path}: {reason}")
        yield Wait(retry.pause(failures, asked))


def passes(status: int, code: Any) -> bool:
    """Whether such an answer is one to come back after."""
    return status == 429 or status >= 500 or (status == 409 and code == "request_in_progress")


def encode(body: Any) -> bytes:
    """JSON in which a ``Decimal`` is a string, as the API takes it. What JSON cannot say raises ``TypeError``."""
    return json.dumps(body, default=_decimal, separators=(",", ":"), allow_nan=False).encode()


def _decimal(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
