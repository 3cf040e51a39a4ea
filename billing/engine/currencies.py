"""What is particular to currencies, and how amounts are written for people. Pure."""

from decimal import Decimal

from billing.engine.money import amount_string, decimals

SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩", "brl": "R$", "cad": "CA$"}
"""What stands before an amount, where a currency has a sign."""

WITHOUT_CENTS = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a list of words
)


def places(currency: str) -> int:
    """How many decimals its coins have: what is paid, invoiced or handed to a general ledger is in whole coins."""
    return 0 if currency.lower() in WITHOUT_CENTS else 2


def written(amount: Decimal, asset: str) -> str:
    """An amount to its last digit: ``$3.00``, ``−$0.0000025``, ``1,250 image_credits``."""
    size, minus = amount.copy_abs(), "\N{MINUS SIGN}" if amount < 0 else ""
    if asset not in SIGNS:
        return f"{minus}{grouped(size)} {asset}"
    return f"{minus}{SIGNS[asset]}{size:,.{max(places(asset), decimals(size))}f}"


def grouped(number: Decimal) -> str:
    """``1,000,000.5``"""
    return f"{Decimal(amount_string(number)):,f}"
