"""What the model's provider charges the operator for an event. "Cost" here never means what a customer is charged.

Costs are in US dollars. The catalogue is compiled once and then asked for every event, so that it is quick to ask:
a name is looked up once, and the rates of each stretch of time are laid out beforehand.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import partial
from typing import Any, NamedTuple

from billing.engine.money import DECIMALS_MAX, EXACT, LIMIT, WHOLE_LIMIT, ZERO, fits, parse, round_half_even

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""From when a cost holds of which nobody knows when it began."""
CURRENCY = "usd"
_CONTEXT = Context(prec=60, traps=[InvalidOperation, DivisionByZero, Overflow])
_NAMES_MAX = 10_000
_ADD, _MULTIPLY, _DIVIDE = _CONTEXT.add, _CONTEXT.multiply, _CONTEXT.divide
_ONE = Decimal(1)

MODEL_FIELDS = ("model", "gen_ai.response.model", "gen_ai.request.model", "gpu")
PROVIDER_FIELDS = ("provider", "gen_ai.provider.name", "gen_ai.system")
UNITS: Mapping[str, Sequence[str]] = {
    "input": ("input_tokens", "prompt_tokens", "gen_ai.usage.input_tokens"),
    "cached_input": ("cached_input_tokens", "cache_read_input_tokens", "gen_ai.usage.cache_read.input_tokens"),
    "cache_write": ("cache_write_tokens", "cache_creation_input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    "output": ("output_tokens", "completion_tokens", "gen_ai.usage.output_tokens"),
    "reasoning": ("reasoning_tokens", "gen_ai.usage.reasoning.output_tokens"),
    "image": ("images", "image_count"),
    "audio_second": ("audio_seconds", "seconds"),
    "gpu_second": ("gpu_seconds", "seconds"),
    "request": (),
}
"""For each unit of cost the fields of an event's data that tell how many; the first that is there counts."""
PARTS = {"cached_input": "input", "cache_write": "input", "reasoning": "output"}
"""Units that are counted within another one. Without a rate of their own they stay in it."""

FIRST_CHOICE = ("openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "cohere", "meta", "moonshotai", "zai")
"""Where several providers offer a model and the event does not say which one answered: who makes it."""

_DATED = re.compile(r"(-20\d{2}-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])|@20\d{6}|-latest)\Z")


@dataclass(frozen=True, slots=True)
class Rate:
    """``unit_cost`` dollars for every ``per`` of ``unit``, for a request with more than ``above`` input tokens.

    It holds in [``starts``, ``ends``); a manual one goes before an imported one.
    """

    provider: str
    model: str
    aliases: Sequence[str]
    unit: str
    unit_cost: Decimal
    per: Decimal
    above: int
    starts: datetime
    ends: datetime | None
    manual: bool


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a request costs beside the model: ``share`` of the model's cost, and ``fixed`` dollars.

    For one provider, or, where ``provider`` is empty, for those that have no rule of their own. ``cache_apart`` says
    that the provider counts cached tokens beside the input tokens and not among them.
    """

    provider: str
    share: Decimal
    fixed: Decimal
    cache_apart: bool
    starts: datetime
    ends: datetime | None


class CostLine(NamedTuple):
    """A part of an event's cost. ``field`` is where the data gave the quantity; None for requests and overheads."""

    unit: str
    field: str | None
    quantity: Decimal
    unit_cost: Decimal
    per: Decimal
    amount: Decimal


class Cost(NamedTuple):
    """What an event cost the operator, in US dollars, rounded half even at 12 decimals."""

    provider: str
    model: str
    amount: Decimal
    lines: Sequence[CostLine]


class _Unit(NamedTuple):
    """A unit between two moments: the fields that may tell how many, and its rates, the highest threshold first."""

    unit: str
    fields: Sequence[str]
    rates: Sequence[Rate]


_Stretch = Sequence[_Unit]
"""What holds between two moments."""


@dataclass(slots=True, eq=False)
class _Model:
    provider: str
    name: str
    rates: list[Rate] = field(default_factory=list)
    bounds: list[datetime] = field(default_factory=list)
    stretches: list[_Stretch] = field(default_factory=list)

    def at(self, moment: datetime) -> _Stretch | None:
        position = bisect_right(self.bounds, moment)
        return self.stretches[position - 1] if position else None

    def compile(self) -> None:
        self.bounds = sorted({moment for rate in self.rates for moment in (rate.starts, rate.ends) if moment})
        self.stretches = [_stretch(self.rates, moment) for moment in self.bounds]


class Catalogue:
    """All rates and overheads, ready to be asked."""

    def __init__(self, rates: Iterable[Rate], overheads: Iterable[Overhead] = ()) -> None:
        self._models: dict[tuple[str, str], _Model] = {}
        self._names: dict[str, list[_Model]] = {}
        self._prefixes: dict[str, list[_Model]] = {}
        self._overheads: dict[str, list[Overhead]] = {}
        self._found: dict[tuple[str, str], _Model | None] = {}
        for rate in rates:
            self._add(rate)
        for model in self._models.values():
            model.compile()
        for kind in (self._names, self._prefixes):
            for name, named in kind.items():
                named.sort(key=partial(_preference, name=name))
        self._longest_first = sorted(self._prefixes, key=len, reverse=True)
        for overhead in overheads:
            self._overheads.setdefault(overhead.provider, []).append(overhead)

    def _add(self, rate: Rate) -> None:
        key = (rate.provider.lower(), rate.model.lower())
        model = self._models.get(key)
        if model is None:
            model = self._models[key] = _Model(rate.provider, rate.model)
        model.rates.append(rate)
        for name in map(str.lower, (rate.model, *rate.aliases)):
            named = self._prefixes if name.endswith("*") else self._names
            known = named.setdefault(name.rstrip("*"), [])
            if model not in known:
                known.append(model)

    def cost(self, data: Mapping[str, Any], moment: datetime) -> Cost | None:
        """What an event with this data cost at ``moment``; None where it is not known.

        It is not known where no model is named or the catalogue lacks it, or where the data has none of the quantities
        that the model is paid by. Data that cannot be read as a quantity is no reason to refuse an event.
        """
        name = _text(data, MODEL_FIELDS)
        if not name:
            return None
        model = self.find(_text(data, PROVIDER_FIELDS), name)
        stretch = model.at(moment) if model is not None else None
        if model is None or not stretch:
            return None
        overhead = self._overhead(model.provider, moment) if self._overheads else None
        lines = _lines(stretch, data, cache_apart=overhead is not None and overhead.cache_apart)
        if not lines:
            return None
        total = ZERO
        for line in lines:
            total = _ADD(total, line.amount)
        if overhead is not None:
            more = _overhead_lines(overhead, total)
            lines += more
            for line in more:
                total = _ADD(total, line.amount)
        if total >= LIMIT:
            return None
        return Cost(model.provider, model.name, round_half_even(total, precision=DECIMALS_MAX), lines)

    def find(self, provider: str, name: str) -> "_Model | None":
        """The model that ``name`` means: as it is, by an alias, without its date, or by the start of its name.

        ``provider`` may be empty: then ``provider/model`` is understood too, and otherwise whoever makes the model is
        taken before those who only offer it.
        """
        key = (provider, name)
        if key not in self._found:
            if len(self._found) >= _NAMES_MAX:  # Names are whatever applications send.
                self._found.clear()
            self._found[key] = self._look_up(provider.lower(), name.lower())
        return self._found[key]

    def _look_up(self, provider: str, name: str) -> "_Model | None":
        if not provider and "/" in name:
            before, _, after = name.partition("/")
            found = self._look_up(before, after)
            if found is not None:
                return found
        for wanted in (name, _DATED.sub("", name)):
            found = _of(provider, self._names.get(wanted, ()))
            if found is not None:
                return found
        for prefix in self._longest_first:
            if name.startswith(prefix):
                found = _of(provider, self._prefixes[prefix])
                if found is not None:
                    return found
        return None

    def _overhead(self, provider: str, moment: datetime) -> Overhead | None:
        for key in (provider.lower(), ""):
            for overhead in self._overheads.get(key, ()):
                if overhead.starts <= moment and (overhead.ends is None or moment < overhead.ends):
                    return overhead
        return None


def split(cost: Cost, fields: Sequence[str | None]) -> list[Decimal]:
    """The cost divided among an event's lines, of which ``fields`` says what field of the data each counts.

    What was paid for a field belongs to the lines that count it. The rest, overheads and what nobody counts, follows
    in the same proportion; where nothing could be told apart, all lines bear the same. The parts add up exactly.
    """
    assert fields
    own = [ZERO] * len(fields)
    for line in cost.lines:
        name = line.field
        if name is not None and name in fields:
            counting = fields.count(name)
            if counting == 1:
                place = fields.index(name)
                own[place] = _ADD(own[place], line.amount)
            else:
                part = _DIVIDE(line.amount, Decimal(counting))
                own = [_ADD(held, part) if field == name else held for held, field in zip(own, fields, strict=True)]
    whole = _total(own)
    if not whole:
        own, whole = [_ONE] * len(fields), Decimal(len(fields))
    shares, reached, given = [], ZERO, ZERO
    for weight in own[:-1]:
        reached = _ADD(reached, weight)
        upto = round_half_even(_DIVIDE(_MULTIPLY(cost.amount, reached), whole), precision=DECIMALS_MAX)
        shares.append(EXACT.subtract(upto, given))
        given = upto
    return [*shares, EXACT.subtract(cost.amount, given)]


def _stretch(rates: Sequence[Rate], moment: datetime) -> _Stretch:
    """Of the rates that hold at ``moment``, for each unit the manual ones where there are any."""
    units: dict[str, list[Rate]] = {}
    for rate in rates:
        if rate.starts <= moment and (rate.ends is None or moment < rate.ends):
            units.setdefault(rate.unit, []).append(rate)
    chosen = []
    for unit, found in units.items():
        manual = [rate for rate in found if rate.manual]
        chosen.append(_Unit(unit, UNITS[unit], sorted(manual or found, key=lambda rate: -rate.above)))
    return chosen


def _lines(stretch: _Stretch, data: Mapping[str, Any], *, cache_apart: bool) -> list[CostLine]:
    """What the quantities in the data cost; none where one of them cannot be read."""
    counted = _counted(stretch, data)
    if counted is None:
        return []
    prompt = counted["input"][1] if "input" in counted else ZERO
    for part, whole in PARTS.items():
        if part in counted and whole in counted:
            quantity = counted[part][1]
            if cache_apart and whole == "input":
                prompt = _ADD(prompt, quantity)
            else:
                rest = max(ZERO, _CONTEXT.subtract(counted[whole][1], quantity))
                counted[whole] = (counted[whole][0], rest)
    found = []
    for unit, _, rates in stretch:
        if unit in counted:
            name, quantity = counted[unit]
            for rate in rates:
                if not rate.above or prompt > rate.above:
                    amount = _DIVIDE(_MULTIPLY(quantity, rate.unit_cost), rate.per)
                    found.append(CostLine(unit, name, quantity, rate.unit_cost, rate.per, amount))
                    break
    return found


def _counted(stretch: _Stretch, data: Mapping[str, Any]) -> dict[str, tuple[str | None, Decimal]] | None:
    """For each unit that has a rate: the field that gives its quantity, and the quantity."""
    counted: dict[str, tuple[str | None, Decimal]] = {}
    for unit, fields, _ in stretch:
        if unit == "request":
            counted[unit] = (None, _ONE)
        for name in fields:
            if name in data:
                quantity = _quantity(data[name])
                if quantity is None:
                    return None
                counted[unit] = (name, quantity)
                break
    return counted


def _overhead_lines(overhead: Overhead, model_cost: Decimal) -> list[CostLine]:
    lines = []
    if overhead.share:
        amount = _MULTIPLY(model_cost, overhead.share)
        lines.append(CostLine("share", None, model_cost, overhead.share, _ONE, amount))
    if overhead.fixed:
        lines.append(CostLine("fixed", None, _ONE, overhead.fixed, _ONE, overhead.fixed))
    return lines


def _total(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = _ADD(total, amount)
    return total


def _preference(model: _Model, name: str) -> tuple[int, str, bool]:
    """Who makes a model first, and of one provider's models the one with this very name, before its aliases."""
    provider = model.provider.lower()
    place = FIRST_CHOICE.index(provider) if provider in FIRST_CHOICE else len(FIRST_CHOICE)
    return place, provider, model.name.lower() != name


def _of(provider: str, models: Sequence[_Model]) -> _Model | None:
    if not provider:
        return models[0] if models else None
    return next((model for model in models if model.provider.lower() == provider), None)


def _text(data: Mapping[str, Any], fields: Sequence[str]) -> str:
    for name in fields:
        value = data.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _quantity(value: Any) -> Decimal | None:
    """A quantity as metering reads it; None for what is none."""
    if type(value) is int and 0 <= value < WHOLE_LIMIT:
        return Decimal(value)
    if isinstance(value, str):
        value = parse(value)
    if value is None or isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if fits(number) and number >= 0 else None
