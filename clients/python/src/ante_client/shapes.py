"""What the server's answers become. Amounts are ``Decimal``; ``raw`` is the answer as it came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ante_client.exchange import Answer


@dataclass(frozen=True, slots=True)
class Balance:
    """One asset of a wallet. ``available`` is what may still be spent."""

    asset: str
    available: Decimal
    held: Decimal
    overdraft_limit: Decimal


@dataclass(frozen=True, slots=True)
class Authorization:
    """What was set aside. ``unseen``: nobody could be asked, and the run was let through all the same; no id then."""

    id: str | None
    asset: str = ""
    amount: Decimal = Decimal(0)
    affordable: Mapping[str, Decimal] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unseen(self) -> bool:
        return self.id is None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event. ``cost`` and ``balance`` are by asset; ``headers`` are those to hand on to a caller."""

    id: str
    status: str
    cost: Mapping[str, Decimal]
    balance: Mapping[str, Decimal]
    replayed: bool
    raw: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What usage would cost, by asset."""

    cost: Mapping[str, Decimal]
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """Usage of a period, ``start`` to ``end`` (RFC 3339). ``amount_due`` and ``quantity`` are by asset and by meter."""

    customer: str
    start: str
    end: str
    amount_due: Mapping[str, Decimal]
    quantity: Mapping[str, Decimal]
    rows: Sequence[Mapping[str, Any]]

    @property
    def total(self) -> Decimal:
        """All quantities together: of use where they are of one kind, such as tokens."""
        return sum(self.quantity.values(), Decimal(0))


@dataclass(frozen=True, slots=True)
class Pace:
    """What may be spent each hour so that the wallet and the tightest budget last until ``until`` (RFC 3339), in
    ``asset``. ``advice`` is ``keep``, ``cheaper_model``, ``slow_down`` or ``stop``."""

    asset: str
    available: Decimal
    per_hour: Decimal
    spent_last_hour: Decimal
    until: str
    advice: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit, in ``asset`` or, without one, in events. ``left`` is None for one that is for each value of a field:
    ``raw`` has them."""

    id: str
    name: str
    scope: Mapping[str, str]
    asset: str | None
    limit: Decimal
    left: Decimal | None
    resets_at: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key it is: a customer's, or the operator's (None), and its id, which older servers do not say."""

    customer: str | None
    scopes: Sequence[str]
    key_id: str | None = None


def amounts(found: Mapping[str, str] | None) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in (found or {}).items()}


def authorization(answer: Answer) -> Authorization:
    body = answer.json()
    return Authorization(
        id=body["id"],
        asset=body["asset"],
        amount=Decimal(body["amount"]),
        affordable=amounts(body.get("affordable")),
        raw=body,
    )


def receipt(answer: Answer) -> Receipt:
    body = answer.json()
    return _receipt(body, answer, {name: text for name, text in answer.headers.items() if name in HANDED_ON})


def capture(answer: Answer) -> Receipt:
    """The receipt of the event that was captured; of a plain amount, what there is to say of it."""
    body = answer.json()
    event = body.get("event")
    if event is None:
        cost = {body["asset"]: body["captured"]}
        return _receipt({"id": body["id"], "status": body["status"], "cost": cost}, answer, {})
    return _receipt(event, answer, {})


def balances(answer: Answer) -> dict[str, Balance]:
    return {
        each["asset"]: Balance(
            asset=each["asset"],
            available=Decimal(each["available"]),
            held=Decimal(each["held"]),
            overdraft_limit=Decimal(each["overdraft_limit"]),
        )
        for each in answer.json()["balances"]
    }


def estimate(answer: Answer) -> Estimate:
    body = answer.json()
    cost = body.get("cost") or {body["asset"]: body["amount"]}
    return Estimate(cost=amounts(cost), raw=body)


def pace(answer: Answer) -> Pace:
    body = answer.json()
    return Pace(
        asset=body["asset"],
        available=Decimal(body["available"]),
        per_hour=Decimal(body["per_hour"]),
        spent_last_hour=Decimal(body["spent_last_hour"]),
        until=body["until"],
        advice=body["advice"],
        raw=body,
    )


def budgets(answer: Answer) -> list[Budget]:
    return [
        Budget(
            id=each["id"],
            name=each["name"],
            scope=each["scope"],
            asset=each["asset"],
            limit=Decimal(each["limit"]),
            left=None if each["left"] is None else Decimal(each["left"]),
            resets_at=each["resets_at"],
            raw=each,
        )
        for each in answer.json()["data"]
    ]


def identity(answer: Answer) -> Identity:
    body = answer.json()
    return Identity(customer=body["customer"], scopes=tuple(body["scopes"]), key_id=body.get("id"))


def summary(customer: str, start: str, end: str, answer: Answer) -> Summary:
    rows = answer.json()["data"]
    due: dict[str, Decimal] = {}
    used: dict[str, Decimal] = {}
    for row in rows:
        due[row["asset"]] = due.get(row["asset"], Decimal(0)) + Decimal(row["amount"])
        used[row["meter"]] = used.get(row["meter"], Decimal(0)) + Decimal(row["quantity"])
    return Summary(customer, start, end, due, used, rows)


HANDED_ON = ("x-usage-cost", "x-total-tokens", "x-model", "x-wallet-balance")


def _receipt(body: Mapping[str, Any], answer: Answer, headers: Mapping[str, str]) -> Receipt:
    return Receipt(
        id=body["id"],
        status=body["status"],
        cost=amounts(body.get("cost")),
        balance=amounts(body.get("balance")),
        replayed=answer.headers.get("idempotent-replayed") == "true",
        raw=body,
        headers=headers,
    )
