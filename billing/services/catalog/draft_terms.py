"""A draft's terms, as they are kept, made into the terms of a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.engine.prices import TierTerms
from billing.errors import InvalidRequest
from billing.models import Asset, Meter, PlanVersion
from billing.services.catalog.plans import AllowanceTerms, CommitmentDiscount, FairUseTerms, Terms
from billing.services.catalog.prices import PriceTerms

_TEXTS = ("model", "rounding", "cost_field", "amount_field", "match", "valid", "failure_policy")
_NUMBERS = (
    *("unit_amount", "per", "rate", "fixed_amount", "minimum", "maximum", "markup"),
    *("free_units", "minimum_amount", "maximum_amount"),
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What terms name by code, read once."""

    meters: Mapping[str, Meter]
    assets: Mapping[str, Asset]

    @classmethod
    def read(cls, *, first: str = "") -> "Catalog":
        """``first`` is the asset that stands before the others: the plan's currency."""
        assets = sorted(Asset.objects.all(), key=lambda asset: (asset.code != first, asset.code))
        return cls({meter.code: meter for meter in Meter.objects.all()}, {asset.code: asset for asset in assets})


def read(terms: Mapping[str, Any], catalog: Catalog) -> Terms:
    """All of it. Whether it makes sense is for ``plans.check``; raises ``InvalidRequest`` for what cannot be read."""
    try:
        return Terms(
            interval=terms.get("interval", PlanVersion.Interval.MONTH),
            base_fee=_number(terms.get("base_fee", 0)),
            trial_days=int(terms.get("trial_days", 0)),
            minimum_commitment=_number(terms.get("minimum_commitment", 0)),
            overage_limit=_number(terms.get("overage_limit", 0)),
            cached_tokens=terms.get("cached_tokens", PlanVersion.CachedTokens.OWN),
            allowances=[allowance(each, catalog) for each in terms.get("allowances", ())],
            fair_use=[fair_use(each, catalog) for each in terms.get("fair_use", ())],
            commitment_discounts=[
                CommitmentDiscount(_number(each["from"]), _number(each["discount"]))
                for each in terms.get("commitment_discounts", ())
            ],
            prices=[price(each, catalog) for each in terms.get("prices", ())],
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest("The draft's terms cannot be read.") from error


def allowance(terms: Mapping[str, Any], catalog: Catalog) -> AllowanceTerms:
    """One member of ``allowances``."""
    asset = catalog.assets[terms["asset"]]
    return AllowanceTerms(asset, _number(terms["amount"]), _number(terms.get("rollover_limit", 0)))


def fair_use(terms: Mapping[str, Any], catalog: Catalog) -> FairUseTerms:
    """One member of ``fair_use``."""
    meter, asset = terms.get("meter"), terms.get("asset")
    return FairUseTerms(
        _number(terms["limit"]),
        meter=catalog.meters[meter] if meter else None,
        asset=catalog.assets[asset] if asset else None,
    )


def price(terms: Mapping[str, Any], catalog: Catalog) -> PriceTerms:
    """One member of ``prices``."""
    given: dict[str, Any] = {name: terms[name] for name in _TEXTS if name in terms}
    given |= {name: _number(terms[name]) for name in _NUMBERS if name in terms}
    if "tiers" in terms:
        given["tiers"] = tuple(_tier(each) for each in terms["tiers"])
    if terms.get("covered_by"):
        given["covered_by"] = catalog.assets[terms["covered_by"]]
    if terms.get("cached_of"):
        given["cached_of"] = catalog.meters[terms["cached_of"]]
    return PriceTerms(meter=catalog.meters[terms["meter"]], asset=catalog.assets[terms["asset"]], **given)


def _tier(terms: Mapping[str, Any]) -> TierTerms:
    return TierTerms(**{name: None if value is None else _number(value) for name, value in terms.items()})


def _number(written: Any) -> Decimal:
    return Decimal(str(written))
