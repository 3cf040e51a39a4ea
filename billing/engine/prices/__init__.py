"""Prices as functions of the period's running quantity: one small file for each family, and what goes around them.

A price is a function F with F(0) = 0. ``terms`` reads what somebody wrote and gives the function;
``billing.engine.rating`` asks it what an event costs.
"""

from billing.engine.prices import hours, terms
from billing.engine.prices.function import Part, PriceFunction
from billing.engine.prices.limits import Capped, Discounted, FreeUnits
from billing.engine.prices.linear import PerUnit
from billing.engine.prices.measures import FromCatalogue, FromData, Measure, PerEvent, Share
from billing.engine.prices.package import Package
from billing.engine.prices.terms import BadPrice, Terms, TierTerms
from billing.engine.prices.tiers import Graduated, Tier, Volume

__all__ = [
    "BadPrice",
    "Capped",
    "Discounted",
    "FreeUnits",
    "FromCatalogue",
    "FromData",
    "Graduated",
    "Measure",
    "Package",
    "Part",
    "PerEvent",
    "PerUnit",
    "PriceFunction",
    "Share",
    "Terms",
    "Tier",
    "TierTerms",
    "Volume",
    "hours",
    "terms",
]
