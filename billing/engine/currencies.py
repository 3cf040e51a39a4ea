"""What is particular to currencies, and how amounts are written for people. Pure."""

from decimal import Decimal

from billing.engine.money import amount_string, decimals

SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩", "brl": "R$", "cad": "CA$"}
"""What stands before an amount, where a currency has a sign."""

_BY_PLACES = {
    0: "bif clp djf gnf isk jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf",
    3: "bhd iqd jod kwd lyd omr tnd",
}
UNUSUAL_PLACES = {code: count for count, codes in _BY_PLACES.items() for code in codes.split()}
"""How many decimals the coins of a currency have, where these are not two."""

_PAYMENT_PLACES_MAX = 2
"""Card networks take no payment that is finer than hundredths, whatever the coins."""


def places(currency: str) -> int:
    """How many decimals its coins have: what is invoiced or handed to a general ledger is in whole coins."""
    return UNUSUAL_PLACES.get(currency.lower(), 2)


def payment_places(currency: str) -> int:
    """How many decimals a payment in it may have, and what is paid back of one."""
    return min(places(currency), _PAYMENT_PLACES_MAX)


def written(amount: Decimal, asset: str) -> str:
    """An amount to its last digit: ``$3.00``, ``−$0.0000025``, ``1,250 image_credits``."""
    size, minus = amount.copy_abs(), "\N{MINUS SIGN}" if amount < 0 else ""
    if asset not in SIGNS:
        return f"{minus}{grouped(size)} {asset}"
    return f"{minus}{SIGNS[asset]}{size:,.{max(places(asset), decimals(size))}f}"


def grouped(number: Decimal) -> str:
    """``1,000,000.5``"""
    return f"{Decimal(amount_string(number)):,f}"
