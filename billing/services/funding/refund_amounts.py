"""How much of a top-up goes back, and what that takes along: its tax, and what its grants give up."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.engine.currencies import payment_places
from billing.engine.money import EXACT, ZERO, amount_string, decimals
from billing.errors import InvalidRequest, InvalidState
from billing.models import TopUp
from billing.services.funding import takings
from billing.services.funding.takings import Given
from billing.services.ledger.states import GrantState


@dataclass(frozen=True, slots=True)
class Share:
    """What goes back for an amount of the top-up: its tax in proportion, and what the grants give up.

    The paid grant gives up ``credit`` and the bonus's ``bonus``. ``recovered`` of the credit stands in for a bonus that
    is spent; where it is below zero, so much of the bonus stands in for what was paid.
    """

    amount: Decimal
    tax: Decimal
    credit: Decimal
    recovered: Decimal
    bonus: Decimal


def wanted(top_up: TopUp, amount: Decimal | None, *, at_most: Decimal) -> Decimal:
    """``amount``, checked; all that can go back where it is None. Raises ``InvalidRequest`` and ``InvalidState``."""
    left = EXACT.subtract(top_up.amount, top_up.refunded)
    asked = at_most if amount is None else amount
    if asked <= 0 and amount is None:
        raise InvalidState("There is nothing to pay back: all of it is spent, held or paid back.", refundable=at_most)
    if asked <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    if decimals(asked) > payment_places(top_up.currency_id):
        raise InvalidRequest.field("amount", f"{top_up.currency_id.upper()} has fewer decimals")
    if asked > left:
        raise InvalidState(f"Only {amount_string(left)} of it has not been paid back yet.", refundable=at_most)
    if asked > at_most:
        raise InvalidState(
            f"Only {amount_string(at_most)} of it is unspent and free to be paid back.", refundable=at_most
        )
    return asked


def share(top_up: TopUp, amount: Decimal, given: Given, paid: GrantState, bonus: GrantState | None) -> Share:
    """What ``amount`` more, up to ``most``, takes along: on the running total, so that parts add up to the whole."""
    part = Fraction(EXACT.add(top_up.refunded, amount)) / Fraction(top_up.amount)
    precision = top_up.asset.precision
    own = max(ZERO, EXACT.subtract(_of(given.credit, part, precision), given.credit_gone))
    units = max(own, EXACT.subtract(_of(given.units, part, precision), given.gone))
    # Each grant gives up its own part, and what the other has not left.
    extra, missing = EXACT.subtract(units, own), max(ZERO, EXACT.subtract(own, paid.source.remaining))
    back = min(EXACT.add(extra, missing), takings.left_in(bonus))
    credit = EXACT.subtract(units, back)
    # Tax that an invoice had asked for comes back by a credit note, and not a second time here.
    coins = payment_places(top_up.currency_id)
    own_tax = _in_coins(Fraction(EXACT.subtract(top_up.tax, top_up.invoiced_tax)), coins)
    tax = min(_of(top_up.tax, part, coins), own_tax)
    tax = EXACT.subtract(tax, top_up.tax_refunded)
    return Share(amount=amount, tax=tax, credit=credit, recovered=EXACT.subtract(credit, own), bonus=back)


def most(top_up: TopUp, given: Given, paid: GrantState, bonus: GrantState | None) -> Decimal:
    """The largest amount, in whole coins, for which the grants still hold what it takes along."""
    free = takings.left_in(paid, bonus)
    reach = min(
        Fraction(1),
        Fraction(EXACT.add(given.gone, free)) / Fraction(given.units),
        Fraction(EXACT.add(given.credit_gone, free)) / Fraction(given.credit),
        Fraction(EXACT.subtract(given.credit, given.voided)) / Fraction(given.credit),
    )
    coins = payment_places(top_up.currency_id)
    reached = _in_coins(Fraction(top_up.amount) * reach, coins)
    return max(ZERO, EXACT.subtract(reached, top_up.refunded))


def _in_coins(amount: Fraction, coins: int) -> Decimal:
    """``amount`` in coins of so many decimals, rounded down."""
    return Decimal(int(amount * 10**coins)).scaleb(-coins)


def _of(whole: Decimal, part: Fraction, precision: int) -> Decimal:
    """``part`` of ``whole``, rounded up: never less is given up than is paid back."""
    exact = Fraction(whole) * part * 10**precision
    units = -(-exact.numerator // exact.denominator)
    return min(whole, Decimal(units).scaleb(-precision))
