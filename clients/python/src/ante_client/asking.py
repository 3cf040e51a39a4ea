"""May this model call start, and how long may its answer be? The same questions for a blocking and an async caller."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ante_client.errors import AnteError, PaymentRequired, Refused
from ante_client.inference import AsyncInference, BlockingInference
from ante_client.providers import Api, Asked
from ante_client.shapes import Authorization

LONGEST_ANSWER = 131_072
"""No answer of any model is longer: a wallet that affords so much bounds nothing."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Set aside what so many output tokens would cost, under this key. Answered by the authorization or the refusal."""

    key: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Release:
    """Give back what was set aside last."""


def asking(id: str, asked: Asked) -> Generator[Ask | Release, Authorization | PaymentRequired | None, int | None]:
    """Returns how many output tokens the answer may have at most, None for as many as it likes.

    All that the caller allows for is set aside. Where the wallet has too little for that, as much as it has: the answer
    is bounded by it. Raises ``PaymentRequired`` where it is too little for one token.
    """
    found = yield Ask(id, asked.output_tokens)
    if isinstance(found, PaymentRequired):
        refused = found
        if refused.code != "insufficient_funds" or not asked.boundable or asked.output_tokens <= asked.answers:
            raise refused
        found = yield Ask(f"{id}:least", asked.answers)
        if not isinstance(found, Authorization):
            raise refused
        most = affordable_output(found)
        yield Release()
        if most is None or most < asked.answers:
            raise refused
        bound = min(int(most), asked.output_tokens)
        found = yield Ask(f"{id}:bounded", bound)
        if not isinstance(found, Authorization):
            raise refused
        return bound
    assert found is not None
    most = None if asked.limited or not asked.boundable else affordable_output(found)
    return None if most is None or most >= LONGEST_ANSWER else max(int(most), asked.answers)


def ask(run: BlockingInference, asked: Asked) -> int | None:
    """Ask on behalf of ``run``. Raises ``PaymentRequired`` and ``Unreachable``."""
    steps = asking(run.id, asked)
    step = next(steps)
    while True:
        found: Authorization | PaymentRequired | None = None
        if isinstance(step, Release):
            run.void("asked again for less")
        else:
            try:
                found = run.authorize(announced(run.data, asked, step.output_tokens), key=step.key).authorization
            except PaymentRequired as refused:
                found = refused
        try:
            step = steps.send(found)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


async def ask_async(run: AsyncInference, asked: Asked) -> int | None:
    """The same for asyncio."""
    steps = asking(run.id, asked)
    step = next(steps)
    while True:
        found: Authorization | PaymentRequired | None = None
        if isinstance(step, Release):
            await run.void("asked again for less")
        else:
            try:
                data = announced(run.data, asked, step.output_tokens)
                found = (await run.authorize(data, key=step.key)).authorization
            except PaymentRequired as refused:
                found = refused
        try:
            step = steps.send(found)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def announced(data: Mapping[str, Any], asked: Asked, output_tokens: int) -> dict[str, Any]:
    return {**data, **asked.announced(output_tokens)}


def affordable_output(authorization: Authorization) -> Decimal | None:
    """How many output tokens the wallet carries, under whichever of their names the meters count; None for any."""
    names = ("output_tokens", "usage.completion_tokens", "usage.output_tokens")
    found = [authorization.affordable[name] for name in names if name in authorization.affordable]
    return min(found, default=None)


def refusal(api: Api, error: AnteError) -> tuple[int, bytes]:
    """Status and body that the provider's own client understands, with the reason, its scope and figures beside it."""
    status, code, detail = 503, "billing_unavailable", "Nobody can be asked at the moment whether this may run."
    more: dict[str, Any] = {}
    if isinstance(error, Refused):
        status, code, detail = error.status, error.code, error.detail
        known = {"type", "title", "status", "detail", "code", "errors"}
        more = {name: value for name, value in error.problem.items() if name not in known}
    if api == "messages":
        kinds = {401: "authentication_error", 402: "billing_error", 403: "permission_error", 429: "rate_limit_error"}
        kind = kinds.get(status, "api_error")
        return status, _json({"type": "error", "error": {"type": kind, "message": detail, "code": code, **more}})
    return status, _json({"error": {"message": detail, "type": code, "param": None, "code": code, **more}})


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
