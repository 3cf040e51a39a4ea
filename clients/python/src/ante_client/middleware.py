"""What middleware of any framework does: name who pays, say what the answer cost, and turn a refusal into a 402, or
into a 429 where a budget asks to come again later."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ante_client.context import Bill, billed, paid_by
from ante_client.errors import PaymentRequired, Throttled

Who = str | tuple[str, Mapping[str, Any]] | None
"""A customer, with what is said of their calls (``{"user": "u_17"}``), or nobody in particular."""

PROBLEM_JSON = "application/problem+json"


@contextmanager
def metering(who: Who) -> Iterator[Bill]:
    """One request of ``who``."""
    with paying(who), billed() as bill:
        yield bill


def paying(who: Who) -> AbstractContextManager[None]:
    if who is None:
        return nullcontext()
    customer, meta = who if isinstance(who, tuple) else (who, {})
    return paid_by(customer, **meta)


def refusal_in(error: BaseException, bill: Bill) -> PaymentRequired | Throttled | None:
    """The refusal that an exception of the application stands for: ours, or a provider's client's with our status."""
    if isinstance(error, PaymentRequired | Throttled):
        return error
    told = bill.refused
    return told if told is not None and getattr(error, "status_code", None) == told.status else None


def problem(refused: PaymentRequired | Throttled) -> bytes:
    """Its body: the reason (``code``, ``detail``) and its figures; of a budget, ``scope`` and ``resets_at``."""
    known = {"type": "about:blank", "title": "Payment required", "code": refused.code, "detail": refused.detail}
    return json.dumps({**known, **refused.problem, "status": refused.status}).encode()
