"""Every call of the API that the clients offer, as data: the sync and the async client send the same ones."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from ante_client import shapes
from ante_client.exchange import Answer, Call
from ante_client.shapes import Authorization, Balance, Budget, Estimate, Identity, Pace, Receipt, Summary

Exact = Decimal | int | str
"""An amount or a quantity. Never a float: 0.1 is not a tenth."""

AMOUNT_FIELD = "amount"
"""Where an event says what it costs, if it does: the ``amount_field`` of a price of the model ``event``."""


def new_id() -> str:
    """An id for an inference, made before the model is called: the same on the hold, the event and the debit."""
    return str(uuid4())


def event(
    *,
    customer: str,
    type: str,
    data: Mapping[str, Any],
    id: str | None = None,
    source: str,
    time: datetime | None = None,
    outcome: str | None = None,
    key_id: str | None = None,
) -> dict[str, Any]:
    """A CloudEvent, with the time at which it happened, so that it may arrive late.

    ``key_id`` is the id of the customer's own key that the call was made with, whose budgets count it.
    """
    body = {
        "specversion": "1.0",
        "id": id or new_id(),
        "source": source,
        "type": type,
        "subject": customer,
        "time": (time or datetime.now(UTC)).isoformat(),
        "data": dict(data),
    }
    if key_id is not None:
        body["api_key"] = key_id
    return body if outcome is None else body | {"outcome": outcome}


def metric(quantity: Exact, unit_price: Exact | None, meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """The data of an event that is so much of one thing; with a ``unit_price``, also what it costs."""
    data: dict[str, Any] = dict(meta or {})
    if taken := sorted({"quantity", "unit_price", AMOUNT_FIELD} & data.keys()):
        raise ValueError(f"meta must not have {', '.join(taken)}: that is said by the arguments")
    amount = exact(quantity)
    data["quantity"] = amount
    if unit_price is not None:
        price = exact(unit_price)
        data |= {"unit_price": price, AMOUNT_FIELD: amount * price}
    return data


def exact(value: Exact) -> Decimal:
    """The number as a ``Decimal``. Raises ``TypeError`` for a float, which is not exact."""
    if isinstance(value, bool | float):
        raise TypeError(f"{value!r} is not exact: use Decimal, int or a decimal string")
    found = Decimal(value)
    if not found.is_finite():
        raise ValueError(f"{value!r} is not a number")
    return found


def record(body: Mapping[str, Any]) -> Call[Receipt]:
    return Call("POST", "/events", shapes.receipt, body)


def batch(bodies: list[Mapping[str, Any]]) -> Call[list[Mapping[str, Any]]]:
    return Call("POST", "/events", lambda answer: answer.json()["results"], bodies)


def authorize(
    *, customer: str, type: str, data: Mapping[str, Any], expires_in: int, key: str, key_id: str | None = None
) -> Call[Authorization]:
    """``key`` is the request's, ``key_id`` as in ``event``."""
    body = {"customer": customer, "type": type, "data": dict(data), "expires_in": expires_in}
    if key_id is not None:
        body["api_key"] = key_id
    return Call("POST", "/authorizations", shapes.authorization, body, key=key)


def authorize_amount(*, customer: str, asset: str, amount: Exact, expires_in: int, key: str) -> Call[Authorization]:
    body = {"customer": customer, "asset": asset, "amount": exact(amount), "expires_in": expires_in}
    return Call("POST", "/authorizations", shapes.authorization, body, key=key)


def capture(authorization: str, body: Mapping[str, Any], *, final: bool = True) -> Call[Receipt]:
    """``body`` is the event, whose id makes a repeat harmless."""
    content = {"event": dict(body), "final": final}
    return Call("POST", f"/authorizations/{quote(authorization, safe='')}/capture", shapes.capture, content)


def capture_amount(authorization: str, amount: Exact, *, final: bool, key: str) -> Call[Receipt]:
    content = {"amount": exact(amount), "final": final}
    path = f"/authorizations/{quote(authorization, safe='')}/capture"
    return Call("POST", path, shapes.capture, content, key=key)


def void(authorization: str, *, reason: str, key: str) -> Call[None]:
    content = {"reason": reason} if reason else {}
    path = f"/authorizations/{quote(authorization, safe='')}/void"
    return Call("POST", path, _nothing, content, key=key)


def balance(customer: str) -> Call[dict[str, Balance]]:
    return Call("GET", f"/customers/{quote(customer, safe='')}/wallet", shapes.balances)


def estimate(customer: str, type: str, data: Mapping[str, Any]) -> Call[Estimate]:
    body = {"customer": customer, "type": type, "data": dict(data)}
    return Call("POST", "/estimates", shapes.estimate, body)


def pace(customer: str, asset: str | None) -> Call[Pace]:
    query = {} if asset is None else {"asset": asset}
    return Call("GET", f"/customers/{quote(customer, safe='')}/pace", shapes.pace, query=query)


def budgets(customer: str) -> Call[list[Budget]]:
    return Call("GET", f"/customers/{quote(customer, safe='')}/budgets", shapes.budgets, query={"limit": "200"})


def summary(customer: str, *, start: datetime | None, end: datetime | None) -> Call[Summary]:
    """From ``start`` (the first of the month, in UTC) to ``end`` (now)."""
    until = end or datetime.now(UTC)
    since = start or until.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    window = {"from": since.isoformat(), "to": until.isoformat()}
    query = {"customer": customer, "granularity": "month", "group_by": "meter", **window}
    return Call("GET", "/usage", partial(shapes.summary, customer, window["from"], window["to"]), query=query)


def whose_key(token: str | None = None) -> Call[Identity]:
    """Of the client's own key, or of another."""
    return Call("GET", "/key", shapes.identity, token=token)


def _nothing(answer: Answer) -> None:
    return None
