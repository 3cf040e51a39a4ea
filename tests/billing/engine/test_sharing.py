"""A partner's share: 10 %, and 15 % from $100,000 a month, to the cent."""

from decimal import Decimal

import pytest

from billing.engine.sharing import GRADUATED, VOLUME, Step, share

D = Decimal
STEPS = [Step(D(0), D("0.10")), Step(D(100_000), D("0.15"))]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [("200", "20"), ("99999.99", "9999.999"), ("100000", "15000"), ("0", "0"), ("-10", "-1")],
)
def test_all_of_the_month_at_the_rate_that_it_reaches(volume: str, expected: str) -> None:
    assert share(D(volume), STEPS, mode=VOLUME) == D(expected)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [("200", "20"), ("100000", "10000"), ("100000.01", "10000.0015"), ("300000", "40000"), ("-10", "-1")],
)
def test_each_part_at_its_own_rate(volume: str, expected: str) -> None:
    assert share(D(volume), STEPS, mode=GRADUATED) == D(expected)
