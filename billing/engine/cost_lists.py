"""Lists of model costs in the forms in which they are published, as rows of ours."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from billing.engine.costs import UNITS
from billing.engine.money import DECIMALS_MAX, amount_string, fits, parse, round_half_even

MILLION = Decimal(1_000_000)
_CONTEXT = Context(prec=60)
_NAME_MAX = 255
_PROVIDER_MAX = 64

_LITELLM = {
    "input_cost_per_token": ("input", MILLION, None),
    "cache_read_input_token_cost": ("cached_input", MILLION, None),
    "cache_creation_input_token_cost": ("cache_write", MILLION, None),
    "output_cost_per_token": ("output", MILLION, None),
    "output_cost_per_reasoning_token": ("reasoning", MILLION, None),
    "input_cost_per_request": ("request", Decimal(1), None),
    # A picture or a second that goes into a chat is another thing than one that is paid for as the result.
    "input_cost_per_image": ("image", Decimal(1), "image_generation"),
    "output_cost_per_image": ("image", Decimal(1), "image_generation"),
    "input_cost_per_second": ("audio_second", Decimal(1), "audio_transcription"),
    "output_cost_per_second": ("audio_second", Decimal(1), "audio_transcription"),
}
"""Member of an entry → our unit, for how many, and the ``mode`` in which alone it is meant so."""
_LITELLM_ABOVE = {"_above_128k_tokens": 128_000, "_above_200k_tokens": 200_000, "_above_272k_tokens": 272_000}


class BadList(ValueError):
    """The file is not such a list; the message says why."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One cost as a list has it: ``unit_cost`` US dollars for every ``per`` of ``unit``."""

    provider: str
    model: str
    aliases: tuple[str, ...]
    unit: str
    unit_cost: Decimal
    per: Decimal = MILLION
    above: int = 0

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What it is the cost of."""
        return self.provider, self.model, self.unit, self.above


def from_litellm(text: str) -> list[Listed]:
    """The costs in a file of the form of LiteLLM's ``model_prices_and_context_window.json``.

    Takes what it has for tokens, images, seconds and requests; other members are left out. Raises ``BadList``.
    """
    document = _document(text)
    found: dict[tuple[str, str, str, int], Listed] = {}
    for name, entry in document.items():
        if name == "sample_spec":
            continue
        if not isinstance(entry, Mapping):
            raise BadList(f"{name[:100]}: an object is needed")
        provider = str(entry.get("litellm_provider") or "").lower()
        if not provider:
            raise BadList(f"{name[:100]}: litellm_provider is missing")
        model = name.lower().removeprefix(f"{provider}/")
        for member, value in entry.items():
            unit, per, above = _litellm_unit(member, entry.get("mode"))
            if unit is None or value is None:
                continue
            number = _number(f"{name[:100]}.{member}", value)
            cost = Listed(*_names(provider, model), (), unit, _CONTEXT.multiply(number, per), per, above)
            if number or cost.key not in found:
                found[cost.key] = _checked(cost)
    return list(found.values())


def from_own(text: str) -> tuple[list[Listed], str]:
    """The costs in a file that ``to_own`` wrote, and where they are from, in words. Raises ``BadList``."""
    document = _document(text)
    try:
        found = [
            _checked(
                Listed(
                    *_names(entry["provider"], entry["model"]),
                    tuple(alias.lower() for alias in entry["aliases"]),
                    unit.partition(">")[0],
                    _number(entry["model"], cost),
                    MILLION,
                    int(unit.partition(">")[2] or 0),
                )
            )
            for entry in document["models"]
            for unit, cost in entry["costs"].items()
        ]
        return found, f"{document['source']}, {document['taken_on']}"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadList(f"is not a list of costs: {error}") from error


def to_own(costs: Iterable[Listed], *, source: str, taken_on: str) -> str:
    """The costs as a file of our own, one model a line. All of them must be per million."""
    models: dict[tuple[str, str], dict[str, Any]] = {}
    for cost in costs:
        assert cost.per == MILLION
        entry = models.setdefault(
            (cost.provider, cost.model),
            {"provider": cost.provider, "model": cost.model, "aliases": list(cost.aliases), "costs": {}},
        )
        entry["costs"][f"{cost.unit}>{cost.above}" if cost.above else cost.unit] = amount_string(cost.unit_cost)
    lines = ",\n".join(json.dumps(models[key], ensure_ascii=False) for key in sorted(models))
    head = json.dumps({"source": source, "taken_on": taken_on, "currency": "USD", "per": str(MILLION)})
    return f'{head[:-1]}, "models": [\n{lines}\n]}}\n'


def _litellm_unit(member: str, mode: Any) -> tuple[str | None, Decimal, int]:
    above = 0
    for ending, tokens in _LITELLM_ABOVE.items():
        if member.endswith(ending):
            member, above = member.removesuffix(ending), tokens
    unit, per, only_in = _LITELLM.get(member, (None, MILLION, None))
    return unit if only_in in {None, mode} else None, per, above


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise BadList(f"is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise BadList("a JSON object is needed")
    return document


def _names(provider: Any, model: Any) -> tuple[str, str]:
    return str(provider).lower(), str(model).lower()


def _number(where: str, value: Any) -> Decimal:
    if isinstance(value, str):
        value = parse(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadList(f"{where}: a number is needed")
    return Decimal(value)


def _checked(cost: Listed) -> Listed:
    where = f"{cost.model[:100]}, {cost.unit}"
    if not 0 < len(cost.provider) <= _PROVIDER_MAX or not 0 < len(cost.model) <= _NAME_MAX:
        raise BadList(f"{where}: the name of the provider or of the model is empty or too long")
    if cost.unit not in UNITS:
        raise BadList(f"{where}: there is no such unit")
    rounded = round_half_even(cost.unit_cost, precision=DECIMALS_MAX) if cost.unit_cost.is_finite() else cost.unit_cost
    if not fits(rounded) or rounded < 0:
        raise BadList(f"{where}: {cost.unit_cost} is no cost")
    if any(character < " " for name in (cost.provider, cost.model) for character in name):
        raise BadList(f"{where}: control characters in a name")
    return Listed(cost.provider, cost.model, cost.aliases, cost.unit, rounded, cost.per, cost.above)


def listed(found: Iterable[Listed]) -> Iterator[Listed]:
    """Each once, by what it is the cost of: the first of several."""
    seen = set()
    for cost in found:
        if cost.key not in seen:
            seen.add(cost.key)
            yield cost
