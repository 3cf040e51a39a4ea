"""How much of a top-up goes back, and what that takes along: its tax, and what its grants give up."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, amount_string, decimals, exact_sum
from billing.errors import InvalidRequest, InvalidState
from billing.models import Refund, TopUp
from billing.services.ledger.states import GrantState


@dataclass(frozen=True, slots=True)
class Share:
    """What goes back for an amount of the top-up: its tax in proportion, and what the grants give up."""

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
    if decimals(asked) > places(top_up.currency_id):
        raise InvalidRequest.field("amount", f"{top_up.currency_id.upper()} has fewer decimals")
    if asked > left:
        raise InvalidState(f"Only {amount_string(left)} of it has not been paid back yet.", refundable=at_most)
    if asked > at_most:
        raise InvalidState(
            f"Only {amount_string(at_most)} of it is unspent and free to be paid back.", refundable=at_most
        )
    return asked


def share(top_up: TopUp, amount: Decimal, bonus: GrantState | None) -> Share:
    """What ``amount`` more takes along: on the running total, so that parts add up to the whole."""
    part = Fraction(EXACT.add(top_up.refunded, amount)) / Fraction(top_up.amount)
    taken = list(top_up.refunds.exclude(status=Refund.Status.FAILED))
    given = EXACT.add(top_up.credit, top_up.bonus)
    all_of_it = EXACT.subtract(_of(given, part, top_up.asset.precision), exact_sum(r.credit + r.bonus for r in taken))
    kept = exact_sum(r.credit - r.recovered for r in taken)
    own = EXACT.subtract(_of(top_up.credit, part, top_up.asset.precision), kept)
    own = min(own, all_of_it)
    extra = EXACT.subtract(all_of_it, own)
    # What of the bonus is spent already comes out of what was paid.
    back = min(extra, bonus.source.remaining if bonus is not None else ZERO)
    recovered = EXACT.subtract(extra, back)
    # Tax that an invoice had asked for comes back by a credit note, and not a second time here.
    own_tax = EXACT.subtract(top_up.tax, top_up.invoiced_tax)
    tax = min(_of(top_up.tax, part, places(top_up.currency_id)), own_tax)
    tax = EXACT.subtract(tax, top_up.tax_refunded)
    return Share(amount=amount, tax=tax, credit=EXACT.add(own, recovered), recovered=recovered, bonus=back)


def most(top_up: TopUp, paid: GrantState, bonus: GrantState | None) -> Decimal:
    """The largest amount, in whole coins, for which the grants still hold what it takes along."""
    units = EXACT.add(top_up.credit, top_up.bonus)
    taken = exact_sum(r.credit + r.bonus for r in top_up.refunds.exclude(status=Refund.Status.FAILED))
    free = EXACT.add(paid.source.remaining, bonus.source.remaining if bonus is not None else ZERO)
    reach = min(Fraction(1), Fraction(EXACT.add(taken, free)) / Fraction(units))
    coins = places(top_up.currency_id)
    reached = Decimal(int(Fraction(top_up.amount) * reach * 10**coins)).scaleb(-coins)
    return max(ZERO, EXACT.subtract(reached, top_up.refunded))


def _of(whole: Decimal, part: Fraction, precision: int) -> Decimal:
    """``part`` of ``whole``, rounded up: never less is given up than is paid back."""
    exact = Fraction(whole) * part * 10**precision
    units = -(-exact.numerator // exact.denominator)
    return min(whole, Decimal(units).scaleb(-precision))
