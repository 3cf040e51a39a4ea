"""The price list of the package ``genai-prices``, an extra: read from the package itself, without the network."""

from collections.abc import Iterator
from datetime import date
from importlib import metadata
from typing import Any

from billing.engine.cost_lists import Listed, listed

PACKAGE = "genai-prices"
_UNITS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "output_mtok": "output",
}


class NotInstalled(Exception):
    """The extra is not there."""


def costs(today: date) -> tuple[list[Listed], str]:
    """Every cost per token in the list as it holds on ``today``, and the list's name and version.

    Left out are rates that depend on the hour of the day, batches, and what is not paid by the token.
    """
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError as error:
        raise NotInstalled(f"The package {PACKAGE} is not installed.") from error
    found = listed(
        cost
        for provider in get_snapshot().providers
        for model in provider.models
        for cost in _of_model(provider.id.lower(), model, today)
    )
    return list(found), f"{PACKAGE} {metadata.version(PACKAGE)}"


def _of_model(provider: str, model: Any, today: date) -> Iterator[Listed]:
    prices = _holding(model.prices, today)
    if prices is None:
        return
    name = model.id.lower()
    aliases = tuple(dict.fromkeys(alias.lower() for alias in _names(model.match) if alias.lower() != name))
    for member, unit in _UNITS.items():
        price = getattr(prices, member, None)
        if price is None:
            continue
        yield Listed(provider, name, aliases, unit, getattr(price, "base", price))
        for tier in getattr(price, "tiers", ()):
            yield Listed(provider, name, aliases, unit, tier.price, above=tier.start)


def _holding(prices: Any, today: date) -> Any:
    """Of prices with conditions the last one that holds at any hour of ``today``."""
    if not isinstance(prices, list):
        return prices
    holding = None
    for conditional in prices:
        constraint = conditional.constraint
        starts = getattr(constraint, "start_date", None)
        if constraint is None or (starts is not None and starts <= today):
            holding = conditional.prices
    return holding


def _names(match: Any) -> Iterator[str]:
    """The names that a rule of the list matches, as far as they can be listed: whole names, and beginnings of names."""
    if (name := getattr(match, "equals", None)) is not None:
        yield name
    elif (name := getattr(match, "starts_with", None)) is not None:
        yield f"{name}*"
    for clause in getattr(match, "or_", None) or ():
        yield from _names(clause)
    for clause in (getattr(match, "and_", None) or ())[:1]:
        yield from _names(clause)
