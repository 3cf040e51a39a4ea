"""Amounts as people read them."""

from decimal import Decimal

import pytest

from portal import amounts
from portal.templatetags import money, portal_parts
from tests.builders import Shop


@pytest.fixture(autouse=True)
def _assets(shop: Shop) -> None:
    shop.asset("images")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("100", "$100.00"),
        ("1234567.891", "$1,234,567.89"),
        ("0.5", "$0.50"),
        ("0.125", "$0.125"),
        ("0.0012", "$0.0012"),
        ("0.00335", "$0.0034"),
        ("0.0000025", "$0.0000025"),
        ("0.000000001234", "$0.0000000012"),
        ("0.000000000001", "$0.000000000001"),
        ("-0.0034", "−$0.0034"),
        ("-0.001", "−$0.001"),
        ("99.999", "$100.00"),
    ],
)
def test_currencies(amount: str, shown: str) -> None:
    assert amounts.text(Decimal(amount), "usd") == shown


def test_no_amount_but_zero_looks_like_zero() -> None:
    for exponent in range(13):
        amount = Decimal(1).scaleb(-exponent)
        assert any(digit in "123456789" for digit in amounts.text(amount, "usd")), amount


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("5", "+$5.00"), ("-5", "−$5.00"), ("0", "$0.00")],
)
def test_signs(amount: str, shown: str) -> None:
    assert amounts.text(Decimal(amount), "usd", signed=True) == shown


def test_units_bear_their_name_and_no_idle_decimals() -> None:
    assert amounts.text(Decimal(1250), "images") == "1,250\N{NO-BREAK SPACE}Images"
    assert amounts.text(Decimal("0.5"), "images", unit=False) == "0.5"
    assert amounts.text(Decimal("1E+3"), "images", unit=False) == "1,000"


def test_the_exact_figure_loses_no_digit() -> None:
    assert (
        amounts.exact_text(Decimal("123456789012345678.123456789012"), "usd") == "$123,456,789,012,345,678.123456789012"
    )
    assert amounts.exact_text(Decimal("-0.1"), "usd") == "−$0.10"


def test_the_large_figure_never_shows_more_than_there_is() -> None:
    parts = amounts.figure(Decimal("91.489031999"), "usd")
    assert (parts.whole, parts.fraction, parts.tail) == ("$91", ".48", "9031")
    assert parts.exact == "$91.489031999"
    below = amounts.figure(Decimal("-0.005"), "usd")
    assert (below.whole, below.fraction, below.tail) == ("−$0", ".00", "5")
    plain = amounts.figure(Decimal(20), "usd")
    assert (plain.whole, plain.fraction, plain.tail) == ("$20", ".00", "")


def test_an_unknown_asset_is_written_by_its_code() -> None:
    assert amounts.text(Decimal(3), "nothing") == "3\N{NO-BREAK SPACE}nothing"


def test_a_quantity_has_its_decimals_and_a_rate_all_of_them(db: None) -> None:
    shown = [str(money.quantity(Decimal(number))) for number in ("2.5", "1234.56789", "1200000", "0.00003")]
    assert [text.partition(">")[2].partition("<")[0] for text in shown] == ["2.5", "1,234.5679", "1,200,000", "0.00003"]
    assert ">$0.00025<" in money.rate(Decimal("0.00025"), "usd")
    assert ">$1.25<" in money.rate(Decimal("1.25"), "usd")


@pytest.mark.parametrize(
    ("per", "unit", "said"),
    [
        ("1", "token", "per token"),
        ("1000000", "token", "per 1M tokens"),
        ("60", "second", "per minute"),
        ("3600", "second", "per hour"),
        ("60", "token", "per 60 tokens"),
    ],
)
def test_what_a_price_is_for(per: str, unit: str, said: str) -> None:
    assert portal_parts.per_unit(Decimal(per), unit) == said
