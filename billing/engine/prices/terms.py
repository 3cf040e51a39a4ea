"""A price as somebody wrote it, checked, and made into the function that it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from billing.engine.money import EXACT, ZERO
from billing.engine.prices.function import PriceFunction
from billing.engine.prices.limits import Capped, FreeUnits
from billing.engine.prices.linear import PerUnit
from billing.engine.prices.measures import FromCatalogue, FromData, Measure, PerEvent, Share
from billing.engine.prices.package import Package
from billing.engine.prices.tiers import Graduated, Tier, Volume

TIERS_MAX = 100


class BadPrice(ValueError):
    """It makes no sense; ``field`` is what is wrong, as a path below the price."""

    def __init__(self, field: str, detail: str, *, code: str = "invalid") -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class TierTerms:
    """A tier: ``unit_amount``, or for percentages ``rate``, up to and with ``up_to`` (None: the last)."""

    up_to: Decimal | None = None
    unit_amount: Decimal | None = None
    rate: Decimal | None = None
    flat_amount: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The numbers of a price. What a model does not have is None; ``FIELDS`` says which has what."""

    model: str
    unit_amount: Decimal | None = None
    per: Decimal | None = None
    rounding: str | None = None
    tiers: tuple[TierTerms, ...] | None = None
    rate: Decimal | None = None
    fixed_amount: Decimal | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    markup: Decimal | None = None
    cost_field: str | None = None
    amount_field: str | None = None
    free_units: Decimal | None = None
    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields a model must have, and which it may have."""

    needed: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    tier: str = "unit_amount"


FIELDS: Mapping[str, Fields] = {
    "per_unit": Fields(("unit_amount",), ("per",)),
    "package": Fields(("unit_amount",), ("per", "rounding")),
    "graduated": Fields(("tiers",), ("per",)),
    "volume": Fields(("tiers",), ("per",)),
    "flat": Fields(("unit_amount",)),
    "percentage": Fields(("rate",), ("fixed_amount", "minimum", "maximum")),
    "graduated_percentage": Fields(("tiers",), tier="rate"),
    "cost_plus": Fields(("markup",), ("cost_field",)),
    "event": Fields(("amount_field",)),
}
OF_PERIOD = ("free_units", "minimum_amount", "maximum_amount")
"""What every model may have."""
COVERABLE = frozenset({"per_unit", "package", "graduated", "volume"})
"""The models that charge for units, which may be taken from another asset first."""
COUNTING = COVERABLE | {"graduated_percentage"}
"""The models that are a function of the metered quantity alone, whatever the aggregation."""

_NUMBERS = ("unit_amount", "rate", "fixed_amount", "minimum", "maximum", "markup", *OF_PERIOD)


def check(terms: Terms) -> None:
    """Raise ``BadPrice`` for a field that is missing, does not belong, or has a value that makes no sense."""
    fields = FIELDS.get(terms.model)
    if fields is None:
        raise BadPrice("model", f"must be one of {', '.join(FIELDS)}")
    own = {*fields.needed, *fields.allowed, *OF_PERIOD}
    for name in given(terms):
        if name not in own:
            raise BadPrice(name, f"does not go with the model {terms.model}", code="unfitting")
    for name in fields.needed:
        if getattr(terms, name) in (None, ""):
            raise BadPrice(name, f"is needed by the model {terms.model}", code="required")
    _check_numbers(terms)
    if terms.free_units and _charges_amounts(terms):
        raise BadPrice("free_units", "cannot be told from amounts that are worked out event by event")
    if terms.tiers is not None:
        _check_tiers(terms.tiers, fields.tier)


def _check_numbers(terms: Terms) -> None:
    for name in _NUMBERS:
        number = getattr(terms, name)
        if number is not None and not number >= 0:
            raise BadPrice(name, "must not be negative")
    if terms.per is not None and not terms.per > 0:
        raise BadPrice("per", "must be greater than zero")
    if terms.rounding not in {None, "up", "down"}:
        raise BadPrice("rounding", "must be up or down")
    for low, high in (("minimum", "maximum"), ("minimum_amount", "maximum_amount")):
        least, most = getattr(terms, low), getattr(terms, high)
        if least is not None and most is not None and least > most:
            raise BadPrice(low, f"must not be greater than the {high}")


def given(terms: Terms) -> Iterator[str]:
    """The names of the fields that have a value, beside the model."""
    for name in Terms.__dataclass_fields__:
        if name != "model" and getattr(terms, name) not in (None, ""):
            yield name


def _charges_amounts(terms: Terms) -> bool:
    return terms.model in {"cost_plus", "event"} or (terms.model == "percentage" and _by_event(terms))


def _by_event(terms: Terms) -> bool:
    return not (terms.fixed_amount is None and terms.minimum is None and terms.maximum is None)


def _check_tiers(tiers: tuple[TierTerms, ...], amount: str) -> None:
    if not 0 < len(tiers) <= TIERS_MAX:
        raise BadPrice("tiers", f"from 1 to {TIERS_MAX} are needed")
    last = ZERO
    for position, tier in enumerate(tiers):
        at = f"tiers.{position}"
        other = "rate" if amount == "unit_amount" else "unit_amount"
        if getattr(tier, other) is not None:
            raise BadPrice(f"{at}.{other}", f"does not belong here: these tiers have a {amount}", code="unfitting")
        if getattr(tier, amount) is None:
            raise BadPrice(f"{at}.{amount}", "is needed", code="required")
        for name in (amount, "flat_amount"):
            number = getattr(tier, name)
            if number is not None and not number >= 0:
                raise BadPrice(f"{at}.{name}", "must not be negative")
        if tier.up_to is None:
            if position != len(tiers) - 1:
                raise BadPrice(f"{at}.up_to", "only the last tier is open: it takes all further units")
        elif position == len(tiers) - 1:
            raise BadPrice(f"{at}.up_to", "must be null in the last tier: it takes all further units")
        elif not tier.up_to > last:
            raise BadPrice(f"{at}.up_to", "must be greater than zero and than the tier before")
        else:
            last = tier.up_to


def function(terms: Terms) -> PriceFunction:
    """F, for terms that ``check`` has passed. The minimum of a period is not in it: that is due when it ends."""
    price = _family(terms)
    if terms.free_units:
        price = FreeUnits(price, terms.free_units)
    return price if terms.maximum_amount is None else Capped(price, terms.maximum_amount)


def measure(terms: Terms) -> Measure | None:
    """What of an event F runs on; None for its quantity."""
    if terms.model == "flat":
        return PerEvent()
    if terms.model == "percentage" and _by_event(terms):
        return Share(_number(terms.rate), terms.fixed_amount or ZERO, terms.minimum or ZERO, terms.maximum)
    field = terms.amount_field or terms.cost_field
    if field:
        return FromData(field)
    return FromCatalogue() if terms.model == "cost_plus" else None


def _family(terms: Terms) -> PriceFunction:
    per = Decimal(1) if terms.per is None else terms.per
    price: PriceFunction
    match terms.model:
        case "package":
            price = Package(_number(terms.unit_amount), per, up=terms.rounding != "down")
        case "graduated" | "graduated_percentage":
            price = Graduated(_tiers(terms), per)
        case "volume":
            price = Volume(_tiers(terms), per)
        case "percentage":
            price = PerUnit(Decimal(1) if _by_event(terms) else _number(terms.rate))
        case "cost_plus":
            price = PerUnit(EXACT.add(_number(terms.markup), Decimal(1)))
        case "event":
            price = PerUnit(Decimal(1))
        case _:
            price = PerUnit(_number(terms.unit_amount), per)
    return price


def _tiers(terms: Terms) -> tuple[Tier, ...]:
    assert terms.tiers is not None
    return tuple(
        Tier(
            tier.up_to,
            _number(tier.unit_amount if tier.rate is None else tier.rate),
            ZERO if tier.flat_amount is None else tier.flat_amount,
        )
        for tier in terms.tiers
    )


def _number(number: Decimal | None) -> Decimal:
    assert number is not None
    return number
