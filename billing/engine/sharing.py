"""What a partner gets of a month's revenue: a rate that steps up with the volume. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, round_half_even

VOLUME, GRADUATED = "volume", "graduated"


@dataclass(frozen=True, slots=True)
class Step:
    """``rate`` holds from a month's volume of ``at_least`` on: 0.15 is 15 %."""

    at_least: Decimal
    rate: Decimal


def share(volume: Decimal, steps: Sequence[Step], *, mode: str) -> Decimal:
    """Of a month's ``volume``: with ``volume`` all of it at the rate that it reaches, with ``graduated`` each part at
    its own. A volume below zero shares the loss at the first rate. Rounded once, to twelve decimals."""
    ordered = sorted(steps, key=lambda step: step.at_least)
    if mode == VOLUME:
        rate = next((step.rate for step in reversed(ordered) if volume >= step.at_least), ordered[0].rate)
        return round_half_even(EXACT.multiply(volume, rate), precision=DECIMALS_MAX)
    total = ZERO
    for number, step in enumerate(ordered):
        if number and volume <= step.at_least:
            break
        end = ordered[number + 1].at_least if number + 1 < len(ordered) else volume
        part = EXACT.subtract(min(volume, end), step.at_least if number else ZERO)
        total = EXACT.add(total, EXACT.multiply(part, step.rate))
    return round_half_even(total, precision=DECIMALS_MAX)
