"""What wallet and budgets can set aside: how an amount is taken, why it cannot be, and how far it would go."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from uuid import UUID

from billing.engine import burndown
from billing.engine import rating as engine
from billing.engine.metering import BadQuantity
from billing.engine.money import EXACT, LIMIT, ZERO, amount_string, exact_sum
from billing.errors import InsufficientFunds, InvalidRequest
from billing.selectors.catalog import costs as catalogue
from billing.services.ledger.posting import Journal, Wanted
from billing.services.ledger.states import BalanceState
from billing.services.usage import IncomingEvent, rating
from billing.services.usage.recording import Recording


def draw(journal: Journal, customer_id: UUID, wanted: Sequence[Wanted]) -> list[list[burndown.Draw]] | None:
    """Take every amount, one after the other. None, and nothing taken, where one cannot be had."""
    drawn: list[list[burndown.Draw]] = []
    rooms: dict[str, Decimal] = {}
    for each in wanted:
        balance = journal.balances[customer_id, each.asset]
        room = rooms.get(each.asset, balance.overdraft_room)
        draws = burndown.draw(balance.sources, each.amount, meter=each.meter, moment=journal.now, overdraft=room)
        if draws is None:
            burndown.put_back(part for taken in drawn for part in taken)
            return None
        drawn.append(draws)
        rooms[each.asset] = EXACT.subtract(room, _beyond(draws))
    return drawn


def totals(wanted: Sequence[Wanted]) -> dict[str, Decimal]:
    """What it comes to, by asset."""
    found: dict[str, Decimal] = {}
    for each in wanted:
        found[each.asset] = EXACT.add(found.get(each.asset, ZERO), each.amount)
    return found


def _beyond(draws: Sequence[burndown.Draw]) -> Decimal:
    """What of it the grants do not cover."""
    return exact_sum(part.amount for part in draws if part.source is None)


def too_little(journal: Journal, customer_id: UUID, wanted: Sequence[Wanted]) -> InsufficientFunds:
    """The refusal of what ``draw`` could not take: the first asset that is short, with the figures of all of it."""
    required: dict[str, Decimal] = {}
    beyond: dict[str, Decimal] = {}
    for each in wanted:
        sources = journal.balances[customer_id, each.asset].sources
        draws = burndown.draw(sources, each.amount, meter=each.meter, moment=journal.now, overdraft=each.amount)
        assert draws is not None
        required[each.asset] = EXACT.add(required.get(each.asset, ZERO), each.amount)
        beyond[each.asset] = EXACT.add(beyond.get(each.asset, ZERO), _beyond(draws))
    short = next(a for a in required if beyond[a] > journal.balances[customer_id, a].overdraft_room)
    balance = journal.balances[customer_id, short]
    return insufficient(balance, required[short], payable=EXACT.subtract(required[short], beyond[short]))


def insufficient(balance: BalanceState, required: Decimal, *, payable: Decimal) -> InsufficientFunds:
    available = EXACT.subtract(payable, EXACT.add(balance.owed, balance.overdraft_held))
    return InsufficientFunds(
        f"This takes {amount_string(required)} {balance.asset}, and the wallet has {amount_string(available)} "
        "available for it.",
        asset=balance.asset,
        available=available,
        required=required,
    )


def affordable(
    recording: Recording, event: IncomingEvent, lines: Sequence[rating.Line], wanted: Sequence[Sequence[Wanted]]
) -> dict[str, Decimal]:
    """For each field that meters count as it is: the largest whole quantity with which all lines would be set aside,
    and every smaller one too. ``wanted`` is what the lines cost as announced, line by line.

    A field is left out where the wallet carries any quantity of it.
    """
    journal, payer = recording.journal, recording.payers[event.subject]
    found: dict[str, Decimal] = {}
    for name in {line.field: None for line in lines if line.field is not None}:
        mine = {position for position, line in enumerate(lines) if line.field == name}

        def carries(quantity: Decimal, mine: set[int] = mine) -> bool:
            try:
                varied = [_with(line, quantity, event) if n in mine else line for n, line in enumerate(lines)]
                costs = [each for line in recording.wanted(event, varied) for each in line]
            except InvalidRequest:
                return False
            drawn = draw(journal, payer.id, costs)
            burndown.put_back(part for draws in drawn or () for part in draws)
            if drawn is None or recording.fair_use.refusal(payer.id, varied, totals(costs)) is not None:
                return False
            return recording.budgets.carry(payer.id, event.use, totals(costs))

        bounds: list[tuple[Decimal, Decimal]] = []
        for position in mine:
            line = lines[position]
            balance = journal.balances[payer.id, line.price.asset]
            free = burndown.payable(balance.sources, meter=line.meter, moment=journal.now)
            budget = EXACT.add(balance.overdraft_room, free)
            others = (
                each.amount
                for n, costs in enumerate(wanted)
                for each in costs
                if n != position and each.asset == balance.asset
            )
            most, likely = (
                _alone(recording, payer.id, line, money, event)
                for money in (budget, reduce(EXACT.subtract, others, budget))
            )
            if most is not None and likely is not None:
                bounds.append((most, likely))
            if (left := recording.fair_use.left(payer.id, line)) is not None:
                bounds.append((left, left))
        if bounds:
            found[name] = _largest(carries, most=min(b[0] for b in bounds), likely=min(b[1] for b in bounds))
    return found


def _with(line: rating.Line, quantity: Decimal, event: IncomingEvent) -> rating.Line:
    """The line if that had been its quantity."""
    if line.waived is not None:
        return line
    return replace(line, quantity=quantity, basis=_basis(line, quantity, event))


def _basis(line: rating.Line, quantity: Decimal, event: IncomingEvent) -> Decimal:
    if line.price.measure is None:
        return quantity
    if line.follows_cost:
        # The whole event's cost, so that what is promised is never too much; None is more than the books can hold.
        cost = catalogue.cost({**event.data, line.field or "": quantity}, line.occurred_at)
        return LIMIT if cost is None else cost.amount
    try:
        return line.price.measure.of(quantity, event.data)
    except BadQuantity as bad:
        raise InvalidRequest.field(bad.field, bad.detail) from bad


def _alone(
    recording: Recording, customer_id: UUID, line: rating.Line, budget: Decimal, event: IncomingEvent
) -> Decimal | None:
    """How much of the line ``budget`` pays for, with what covers it; None for any quantity."""
    price = line.price
    if line.waived is not None:
        return None
    begun = recording.counters.mark()
    before = recording.counters.charge(customer_id, replace(line, quantity=ZERO, basis=ZERO)).before or ZERO
    recording.counters.back_to(begun)
    paid = engine.affordable(
        price.net,
        before=before,
        budget=budget,
        precision=price.precision,
        basis=lambda quantity: _basis(line, quantity, event),
    )
    if paid is None or price.covered_by is None:
        return paid
    journal = recording.journal
    covering = journal.balances[customer_id, price.covered_by].sources
    return EXACT.add(paid, burndown.payable(covering, meter=line.meter, moment=journal.now) // 1)


def _largest(carries: Callable[[Decimal], bool], *, most: Decimal, likely: Decimal) -> Decimal:
    """The largest whole number up to ``most`` that ``carries``; zero where none does. ``likely`` is a good guess."""
    good, bad = ZERO, EXACT.add(most, Decimal(1))
    if likely < bad and carries(likely):
        good = likely
        if not carries(EXACT.add(likely, Decimal(1))):
            bad = EXACT.add(likely, Decimal(1))
    while bad - good > 1:
        middle = (good + bad) // 2
        if carries(middle):
            good = middle
        else:
            bad = middle
    return good
