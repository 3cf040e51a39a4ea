"""How amounts are counted: in a currency's smallest part, of some in whole tens or hundreds of it."""

_WITHOUT_PARTS = frozenset({"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv"}) | (
    frozenset({"xaf", "xof", "xpf"})
)
_THOUSANDTHS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_WHOLE_HUNDREDTHS = frozenset({"isk", "ugx"})
"""Counted in hundredths, and charged whole."""


def decimals(currency: str) -> int:
    """How many decimals of a unit the smallest part is."""
    if currency in _WITHOUT_PARTS:
        return 0
    return 3 if currency in _THOUSANDTHS else 2


def is_whole(amount: int, currency: str) -> bool:
    """Whether so many of the smallest part can be charged, or paid back."""
    step = 10 if currency in _THOUSANDTHS else 100 if currency in _WHOLE_HUNDREDTHS else 1
    return amount % step == 0


def written(amount: int, currency: str) -> str:
    """``1234`` of USD as ``12.34 USD``."""
    places = decimals(currency)
    return f"{amount / 10**places:,.{places}f} {currency.upper()}"
