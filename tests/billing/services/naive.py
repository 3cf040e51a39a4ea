"""A naive model of the rules: grants, usage, authorizations, overdraft and time, for one customer and one asset.

It shares no code with the product: plain objects, and every step written out.
"""

import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
NEVER = 10**12

Lines = list[tuple[str | None, Decimal]]
"""What is to be paid: meter (None: a plain amount) and dollars."""


class Refused(Exception):
    """The step has no effect at all."""


@dataclass
class Credit:
    """A grant. Times are seconds from the start of the walk."""

    amount: Decimal
    promotional: bool
    priority: int
    starts: int
    ends: int
    meters: set[str]
    remaining: Decimal
    held: Decimal = ZERO
    drawn: Decimal = ZERO
    expired: Decimal = ZERO
    voided: Decimal = ZERO
    in_wallet: bool = False
    taken_back: bool = False

    def allows(self, meter: str | None) -> bool:
        return not self.meters or meter in self.meters

    def state(self) -> tuple[Decimal, ...]:
        return self.remaining, self.held, self.drawn, self.expired, self.voided


@dataclass
class Promise:
    """An authorization, with what it still holds: of which grant (None: the overdraft), and how much."""

    ends: int
    status: str = "open"
    captured: Decimal = ZERO
    parts: list[list[Any]] = field(default_factory=list)

    def state(self) -> tuple[Any, ...]:
        return self.status, self.captured, sum((part[1] for part in self.parts), ZERO)


class Model:
    def __init__(self) -> None:
        self.now = 0
        self.limit = self.owed = self.overdraft_held = ZERO
        self.credits: list[Credit] = []
        self.promises: list[Promise] = []

    # What the wallet shows.

    def balance(self) -> tuple[Decimal, ...]:
        inside = [credit for credit in self.credits if credit.in_wallet]
        available = sum((c.remaining for c in inside), ZERO) - self.owed - self.overdraft_held
        held = sum((c.held for c in inside), ZERO) + self.overdraft_held
        return available, held, self.owed, self.overdraft_held

    # Steps. Whoever touches the wallet settles what is due first.

    def settle(self) -> None:
        for number, credit in enumerate(self.credits):
            if not credit.in_wallet and not credit.taken_back and credit.starts <= self.now:
                credit.in_wallet = True
                self.pay_debt(number)
            self.lapse(number)

    def pay_debt(self, number: int) -> None:
        credit = self.credits[number]
        # What may pay only for some things pays no debt that other things made.
        debt = ZERO if credit.meters else min(self.owed, credit.remaining)
        self.owed -= debt
        credit.remaining -= debt
        credit.drawn += debt

    def lapse(self, number: int) -> None:
        credit = self.credits[number]
        if credit.taken_back:
            credit.voided += credit.remaining
            credit.remaining = ZERO
        elif credit.in_wallet and credit.ends <= self.now:
            credit.expired += credit.remaining
            credit.remaining = ZERO

    def grant(self, credit: Credit) -> None:
        self.settle()
        self.credits.append(credit)
        self.settle()

    def take_back(self, number: int) -> None:
        self.settle()
        credit = self.credits[number]
        if credit.taken_back or credit.ends <= self.now or credit.remaining + credit.held == 0:
            raise Refused
        credit.taken_back = True
        self.lapse(number)

    def set_limit(self, limit: Decimal) -> None:
        self.settle()
        if limit < max(self.owed + self.overdraft_held, -self.balance()[0]):
            raise Refused
        self.limit = limit

    def use(self, lines: Lines) -> str:
        self.settle()
        trial = copy.deepcopy(self)
        try:
            trial.pay(lines, [])
        except Refused:
            return "rejected"
        self.__dict__ = trial.__dict__
        return "charged"

    def open(self, lines: Lines, life: int) -> str:
        self.settle()
        promise = Promise(ends=self.now + life)
        for meter, amount in lines:
            for number, part in self.take(meter, amount):
                if number is None:
                    self.overdraft_held += part
                else:
                    self.credits[number].held += part
                for known in promise.parts:
                    if known[0] == number:
                        known[1] += part
                        break
                else:
                    promise.parts.append([number, part])
        self.promises.append(promise)
        return "open"

    def capture(self, which: int, lines: Lines, *, final: bool) -> str:
        self.settle()
        promise = self.promises[which]
        ends_now = promise.status == "open" and promise.ends <= self.now
        if ends_now or promise.status == "expired":
            if ends_now:
                self.end(promise, "expired")
            # The work was done: what was used is charged by itself, if there is money for it.
            if lines[0][0] is not None and self.use(lines) == "charged":
                return "expired"
            if ends_now:
                return "too late"
            raise Refused
        if promise.status != "open":
            raise Refused
        freed = [tuple(part) for part in promise.parts] if final else self.parts_for(promise, lines)
        self.give_back(promise, freed)
        self.pay(lines, [[number, amount] for number, amount in freed if number is not None])
        promise.captured += sum((amount for _, amount in lines), ZERO)
        if final:
            promise.status = "captured"
        for number, _ in freed:
            if number is not None:
                self.lapse(number)
                self.pay_debt(number)
        return promise.status

    def void(self, which: int) -> str:
        self.settle()
        promise = self.promises[which]
        if promise.status != "open":
            raise Refused
        late = promise.ends <= self.now
        self.end(promise, "expired" if late else "voided")
        return "too late" if late else "voided"

    def sweep_authorizations(self) -> None:
        for promise in sorted(self.promises, key=lambda promise: promise.ends):
            if promise.status == "open" and promise.ends <= self.now:
                self.settle()
                self.end(promise, "expired")

    # What the steps share.

    def end(self, promise: Promise, status: str) -> None:
        freed = [tuple(part) for part in promise.parts]
        self.give_back(promise, freed)
        for number, _ in freed:
            if number is not None:
                self.lapse(number)
                self.pay_debt(number)
        promise.status = status

    def give_back(self, promise: Promise, freed: list[tuple[Any, ...]]) -> None:
        for number, amount in freed:
            if number is None:
                self.overdraft_held -= amount
            else:
                self.credits[number].held -= amount
                self.credits[number].remaining += amount
            for part in promise.parts:
                if part[0] == number:
                    part[1] -= amount

    def parts_for(self, promise: Promise, lines: Lines) -> list[tuple[Any, ...]]:
        """The smallest part of what is held that pays these lines: of the grants, then of the overdraft."""
        left = [list(part) for part in promise.parts if part[0] is not None]
        left += [list(part) for part in promise.parts if part[0] is None]
        taken: list[tuple[Any, ...]] = []
        for meter, amount in lines:
            missing = amount
            for part in left:
                if part[0] is None or self.credits[part[0]].allows(meter):
                    piece = min(part[1], missing)
                    part[1] -= piece
                    missing -= piece
                    taken.append((part[0], piece))
        return taken

    def pay(self, lines: Lines, reserved: list[list[Any]]) -> None:
        for meter, amount in lines:
            missing = amount
            for part in reserved:
                if self.credits[part[0]].allows(meter):
                    piece = min(part[1], missing)
                    part[1] -= piece
                    missing -= piece
                    self.credits[part[0]].remaining -= piece
                    self.credits[part[0]].drawn += piece
            for number, piece in self.take(meter, missing):
                if number is None:
                    self.owed += piece
                else:
                    self.credits[number].drawn += piece

    def take(self, meter: str | None, amount: Decimal) -> list[tuple[int | None, Decimal]]:
        """Out of the grants that may pay now, in the burn order, then out of the overdraft."""
        able = [
            number
            for number, c in enumerate(self.credits)
            if c.in_wallet and c.starts <= self.now < c.ends and c.allows(meter)
        ]
        able.sort(
            key=lambda n: (
                self.credits[n].priority,
                self.credits[n].ends,
                0 if self.credits[n].meters else 1,
                0 if self.credits[n].promotional else 1,
                n,
            )
        )
        pieces: list[tuple[int | None, Decimal]] = []
        for number in able:
            piece = min(self.credits[number].remaining, amount)
            if piece > 0:
                self.credits[number].remaining -= piece
                pieces.append((number, piece))
                amount -= piece
        if amount > 0:
            if self.owed + self.overdraft_held + amount > self.limit:
                raise Refused
            pieces.append((None, amount))
        return pieces
