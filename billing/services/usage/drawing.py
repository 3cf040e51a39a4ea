"""What an event's lines take from a wallet: rated one after the other, and drawn from what is left."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal
from functools import reduce
from uuid import UUID

from billing.engine import burndown
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.engine.rating import ExplainedLine
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState
from billing.services.usage.counters import Counters, Rated
from billing.services.usage.rating import Line

_DOWN = Context(prec=60, rounding=ROUND_DOWN)


@dataclass(slots=True)
class Piece:
    """A line, or the part of it that another asset covers: what it comes to, and what that was drawn from."""

    line: Line
    asset: str
    rated: Rated
    draws: Sequence[burndown.Draw]

    @property
    def amount(self) -> Decimal:
        return self.rated.amount

    def explain(self) -> list[ExplainedLine]:
        """The lines whose amounts add up to the piece's."""
        line, rated = self.line, self.rated
        if line.waived is not None:
            return [ExplainedLine("waived", ZERO, line.waived)]
        if self.asset != line.price.asset:
            return [ExplainedLine("covered", rated.amount, rated.quantity, Decimal(1), Decimal(1))]
        moved = line.basis if line.additive else rated.quantity
        return line.price.explain(before=rated.before or ZERO, moved=moved, amount=rated.amount)


class Drawing:
    """One event's lines against one customer's wallet. What was drawn is undone by ``undo``."""

    def __init__(
        self,
        journal: Journal,
        counters: Counters,
        customer_id: UUID,
        lines: Sequence[Line],
        reserved: Sequence[burndown.Reserved] = (),
        set_aside: Sequence[tuple[burndown.Source, Decimal]] = (),
    ) -> None:
        self.journal = journal
        self.counters = counters
        self.customer_id = customer_id
        self.lines = lines
        self.pieces: list[Piece] = []
        self.left_out: dict[str, Decimal] = {}
        """What ``limit`` has left out, by asset."""
        self._reserved = reserved
        self._set_aside = list(set_aside)
        """Of grants, beside what they have: it counts as cover, but cannot be drawn yet."""
        self._begun = counters.mark()

    def take(self, *, beyond: bool = False) -> bool:
        """Rate and draw all lines. False, and nothing taken, where the wallet does not suffice.

        ``beyond``: what the wallet lacks is drawn from the overdraft, whatever its limit. Raises ``InvalidRequest``
        where a quantity is beyond the books; then nothing is taken either.
        """
        try:
            for line in self.lines:
                if not self._take_line(line, beyond=beyond):
                    self.undo()
                    return False
        except BaseException:
            self.undo()
            raise
        return True

    def amounts(self) -> dict[str, Decimal]:
        """What all of it comes to, by asset."""
        found: dict[str, Decimal] = {}
        for piece in self.pieces:
            found[piece.asset] = EXACT.add(found.get(piece.asset, ZERO), piece.amount)
        return found

    def limit(self, room: Mapping[str, Decimal]) -> None:
        """Take no more of each asset than there is ``room``, so that the last pieces cost less. The quantities stay: so
        much was used."""
        for asset, most in room.items():
            excess = EXACT.subtract(self.amounts()[asset], most)
            self.left_out[asset] = EXACT.add(self.left_out.get(asset, ZERO), excess)
            for piece in reversed(self.pieces):
                if piece.asset == asset and excess > 0:
                    less = min(excess, max(piece.amount, ZERO))
                    piece.rated.amount = EXACT.subtract(piece.amount, less)
                    piece.draws = burndown.draw_less(piece.draws, less)
                    excess = EXACT.subtract(excess, less)

    def undo(self) -> None:
        """As if the event had not come."""
        for piece in reversed(self.pieces):
            burndown.put_back(piece.draws)
        self.pieces = []
        self.counters.back_to(self._begun)

    def _take_line(self, line: Line, *, beyond: bool) -> bool:
        if line.price.covered_by is not None and line.waived is None:
            covered = self._cover(line, line.price.covered_by)
            if covered is not None:
                self.pieces.append(covered)
                rest = EXACT.subtract(line.quantity, covered.amount)
                if rest == 0:
                    return True
                line = replace(line, quantity=rest, basis=rest)
        rated = self.counters.charge(self.customer_id, line)
        draws = self._draw(self._balance(line.price.asset), max(rated.amount, ZERO), line.meter, beyond=beyond)
        if draws is None:
            return False
        self.pieces.append(Piece(line, line.price.asset, rated, draws))
        return True

    def _cover(self, line: Line, asset: str) -> Piece | None:
        """As many units as the covering asset has; None where it has none."""
        balance = self._balance(asset)
        free = burndown.payable(balance.sources, meter=line.meter, moment=self.journal.now)
        # What was set aside pays even where its grant's time is over; else it is in what the grant has.
        mine = [
            part.amount for part in self._reserved_in(balance) if _lapsed(part.source, line.meter, self.journal.now)
        ]
        held = [
            amount
            for source, amount in self._set_aside
            if self.journal.grants[source.id].balance is balance and _serves(source, line.meter)
        ]
        used = drawn_beyond(self.pieces, asset)
        most = min(line.quantity, EXACT.subtract(exact_sum([*mine, *held], free), used))
        units = most.quantize(Decimal(1).scaleb(-line.price.covered_precision), rounding=ROUND_DOWN, context=_DOWN)
        if units <= 0:
            return None
        draws = self._draw(balance, units, line.meter, beyond=bool(held))
        assert draws is not None
        return Piece(line, asset, Rated(units, units), draws)

    def _draw(self, balance: BalanceState, amount: Decimal, meter: str, *, beyond: bool) -> list[burndown.Draw] | None:
        reserved = burndown.draw_reserved(self._reserved_in(balance), amount, meter=meter)
        missing = reduce(EXACT.subtract, (part.amount for part in reserved), amount)
        room = missing if beyond else self._room(balance)
        draws = burndown.draw(balance.sources, missing, meter=meter, moment=self.journal.now, overdraft=room)
        if draws is None:
            burndown.put_back(reserved)
            return None
        return [*reserved, *draws]

    def _balance(self, asset: str) -> BalanceState:
        return self.journal.balances[self.customer_id, asset]

    def _reserved_in(self, balance: BalanceState) -> list[burndown.Reserved]:
        return [part for part in self._reserved if self.journal.grants[part.source.id].balance is balance]

    def _room(self, balance: BalanceState) -> Decimal:
        """What the overdraft has left beside what earlier pieces of the same event already take from it."""
        room = balance.overdraft_room
        return room and max(ZERO, EXACT.subtract(room, drawn_beyond(self.pieces, balance.asset)))


def drawn_beyond(pieces: Iterable[Piece], asset: str) -> Decimal:
    """What of these pieces the grants of the asset do not pay."""
    parts = (part for piece in pieces if piece.asset == asset for part in piece.draws)
    return exact_sum(part.amount for part in parts if part.source is None)


def _lapsed(source: burndown.Source, meter: str, moment: datetime) -> bool:
    """Whether it could pay for the meter, if only its time were not over."""
    return _serves(source, meter) and not source.may_pay(meter=meter, moment=moment)


def _serves(source: burndown.Source, meter: str) -> bool:
    return source.meters is None or meter in source.meters
