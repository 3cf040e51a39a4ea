"""Ready-made meters: every token of every provider falls under exactly one of them."""

from decimal import Decimal
from typing import Any

import pytest

from billing.engine import expressions
from billing.engine.metering import MeterRule
from billing.engine.money import amount_string
from billing.engine.presets import PRESETS, Preset, PresetMeter


def rule(preset: Preset, meter: PresetMeter) -> MeterRule:
    return MeterRule(
        code=meter.code,
        event_type=preset.event_type,
        aggregation=meter.aggregation,
        value=expressions.parse(meter.value) if meter.value else None,
        filter={field: frozenset(values) for field, values in meter.filter.items()},
        dimensions=preset.dimensions,
    )


def counted(preset: Preset, data: Any) -> dict[str, str]:
    found = {meter.code: rule(preset, meter).quantity(data) for meter in preset.meters}
    return {code: amount_string(quantity) for code, quantity in found.items() if quantity is not None}


@pytest.mark.parametrize("code", PRESETS)
def test_the_example_counts_as_it_says(code: str) -> None:
    assert counted(PRESETS[code], PRESETS[code].example) == PRESETS[code].counts


@pytest.mark.parametrize(
    "code", ["openai.chat", "openai.responses", "anthropic.messages", "gemini.generate", "litellm"]
)
def test_1500_cached_and_50_new_tokens_are_told_apart_whatever_the_provider_calls_them(code: str) -> None:
    """OpenAI counts the cached ones among the input, Anthropic beside it: the answer is the same."""
    found = counted(PRESETS[code], PRESETS[code].example)

    assert (found["input_tokens"], found["cached_input_tokens"], found["output_tokens"]) == ("50", "1500", "300")
    cost = Decimal(found["input_tokens"]) * 10 + Decimal(found["cached_input_tokens"]) * 2
    assert cost == 50 * 10 + 1500 * 2


def test_an_outcome_that_failed_is_not_counted() -> None:
    assert counted(PRESETS["outcome"], {"status": "failed"}) == {}


def test_usage_without_a_cache_counts_all_input_as_fresh() -> None:
    data = {"usage": {"prompt_tokens": 10, "completion_tokens": 1}}

    assert counted(PRESETS["openai.chat"], data) == {
        "input_tokens": "10",
        "output_tokens": "1",
    }
