"""What middleware of any framework does: name who pays, say what the answer cost, and turn a refusal into a 402."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ante_client.context import Bill, billed, paid_by
from ante_client.errors import PaymentRequired

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


def refusal_in(error: BaseException, bill: Bill) -> PaymentRequired | None:
    """The refusal that an exception of the application stands for: ours, or a provider's client's with our 402."""
    if isinstance(error, PaymentRequired):
        return error
    return bill.refused if getattr(error, "status_code", None) == 402 else None


def problem(refused: PaymentRequired) -> bytes:
    """The body of the 402: the reason (``code``, ``detail``), its figures; of a budget, ``scope`` and ``resets_at``."""
    known = {"type": "about:blank", "title": "Payment required", "code": refused.code, "detail": refused.detail}
    return json.dumps({**known, **refused.problem, "status": 402}).encode()
