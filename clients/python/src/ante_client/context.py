"""What is known of the request that an application is answering: who pays, and what it came to so far."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ante_client.errors import PaymentRequired, Throttled
from ante_client.shapes import Receipt

Payer = tuple[str, Mapping[str, Any]]
"""A customer, and what is said of all their calls."""


@dataclass
class Bill:
    """What was charged while one request was answered. ``cost`` and ``balance`` are by asset.

    While it is ``open``, usage is charged at once, so that the answer can say what it cost; afterwards by way of the
    spool, as without a bill. ``refused`` is the last refusal that the application was given.
    """

    cost: dict[str, Decimal] = field(default_factory=dict)
    balance: dict[str, Decimal] = field(default_factory=dict)
    tokens: int = 0
    model: str = ""
    calls: int = 0
    open: bool = True
    refused: PaymentRequired | Throttled | None = None

    def add(self, data: Mapping[str, Any], receipt: Receipt | None) -> None:
        """One more call. Without a ``receipt`` it is charged later, and what it costs is not known yet."""
        self.calls += 1
        self.tokens += sum(_count(data.get(name)) for name in ("input_tokens", "output_tokens"))
        self.model = str(data.get("model") or self.model)
        if receipt is not None:
            for asset, amount in receipt.cost.items():
                self.cost[asset] = self.cost.get(asset, Decimal(0)) + amount
            self.balance |= receipt.balance

    def headers(self) -> dict[str, str]:
        """Of all calls together; the cost in the asset that was charged first. None where nothing was used."""
        found: dict[str, str] = {}
        if self.tokens:
            found["X-Total-Tokens"] = str(self.tokens)
        if self.model.isascii() and self.model.isprintable() and self.model:
            found["X-Model"] = self.model
        for asset, amount in list(self.cost.items())[:1]:
            found["X-Usage-Cost"] = format(amount, "f")
            if asset in self.balance:
                found["X-Wallet-Balance"] = format(self.balance[asset], "f")
        return found


_payer: ContextVar[Payer | None] = ContextVar("ante_payer", default=None)
_bill: ContextVar[Bill | None] = ContextVar("ante_bill", default=None)


@contextmanager
def paid_by(customer: str, **meta: Any) -> Iterator[None]:
    """Calls made inside are this customer's; ``meta`` (``user``, ``project``, ``feature``, …) is in their events."""
    token = _payer.set((customer, meta))
    try:
        yield
    finally:
        _payer.reset(token)


@contextmanager
def billed() -> Iterator[Bill]:
    """Calls made inside are charged at once and are on this bill, until it is no longer ``open``."""
    bill = Bill()
    token = _bill.set(bill)
    try:
        yield bill
    finally:
        bill.open = False
        _bill.reset(token)


def payer(default: Payer | None = None) -> Payer:
    """Who pays for a call that is made here. Raises ``LookupError`` where nobody does."""
    found = _payer.get() or default
    if found is None:
        raise LookupError("Nobody pays for this call: name a customer, or put it into a block of paid_by(...).")
    return found


def open_bill() -> Bill | None:
    found = _bill.get()
    return found if found is not None and found.open else None


def note_refusal(refused: PaymentRequired | Throttled) -> None:
    """The application is being told no."""
    if (found := _bill.get()) is not None:
        found.refused = refused


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
