"""What is particular to currencies. Pure."""

WITHOUT_CENTS = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a list of words
)


def places(currency: str) -> int:
    """How many decimals its coins have: what is paid, invoiced or handed to a general ledger is in whole coins."""
    return 0 if currency.lower() in WITHOUT_CENTS else 2
