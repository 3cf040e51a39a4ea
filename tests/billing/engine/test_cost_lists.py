"""Lists of costs, read strictly and without a float in between."""

import json
from decimal import Decimal

import pytest

from billing.engine.cost_lists import MILLION, BadList, Listed, from_litellm, from_own, to_own

LITELLM = """{
  "sample_spec": {"litellm_provider": "one of", "input_cost_per_token": 0},
  "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06, "max_tokens": 16384,
             "cache_read_input_token_cost": 1.25e-06, "output_cost_per_token": 1e-05, "supports_vision": true,
             "input_cost_per_image": 0.001, "output_cost_per_token_batches": 5e-06},
  "gemini/gemini-2.5-pro": {"litellm_provider": "gemini", "mode": "chat", "input_cost_per_token": 1.25e-06,
             "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token": null},
  "whisper-1": {"litellm_provider": "openai", "mode": "audio_transcription", "input_cost_per_second": 0.0001,
             "output_cost_per_second": 0.0},
  "dall-e": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04}
}"""


def test_a_litellm_file_becomes_costs_with_exact_numbers():
    found = {(cost.model, cost.unit, cost.above): (cost.unit_cost, cost.per) for cost in from_litellm(LITELLM)}
    assert found == {
        ("gpt-4o", "input", 0): (Decimal("2.5"), MILLION),
        ("gpt-4o", "cached_input", 0): (Decimal("1.25"), MILLION),
        ("gpt-4o", "output", 0): (Decimal(10), MILLION),
        ("gemini-2.5-pro", "input", 0): (Decimal("1.25"), MILLION),
        ("gemini-2.5-pro", "input", 200_000): (Decimal("2.5"), MILLION),
        ("whisper-1", "audio_second", 0): (Decimal("0.0001"), Decimal(1)),
        ("dall-e", "image", 0): (Decimal("0.04"), Decimal(1)),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "object is needed"),
        ("[" * 100_000, "not JSON"),
        ('{"m": 1}', "object is needed"),
        ('{"m": {"input_cost_per_token": 1}}', "litellm_provider"),
        ('{"m": {"litellm_provider": "p", "input_cost_per_token": -1}}', "is no cost"),
        ('{"m": {"litellm_provider": "p", "input_cost_per_token": "cheap"}}', "a number is needed"),
        ('{"m": {"litellm_provider": "p", "input_cost_per_token": true}}', "a number is needed"),
        ('{"m": {"litellm_provider": "p", "input_cost_per_token": 1e30}}', "is no cost"),
        ('{"": {"litellm_provider": "p", "input_cost_per_token": 1}}', "empty or too long"),
        ('{"a\\u0000b": {"litellm_provider": "p", "input_cost_per_token": 1}}', "control characters"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(text: str, why: str):
    with pytest.raises(BadList, match=why):
        from_litellm(text)


def test_our_own_form_says_the_same_when_it_is_read_again():
    costs = [
        Listed("openai", "gpt-4o", ("four-o",), "input", Decimal("2.5")),
        Listed("openai", "gpt-4o", ("four-o",), "input", Decimal("5"), above=200_000),
        Listed("anthropic", "opus", (), "output", Decimal(75)),
    ]
    text = to_own(costs, source="a list 1.0", taken_on="2026-11-21")
    found, source = from_own(text)
    assert sorted(found, key=str) == sorted(costs, key=str)
    assert source == "a list 1.0, 2026-11-21"
    assert json.loads(text)["currency"] == "USD"


@pytest.mark.parametrize(
    "text", ["{}", '{"models": 7}', '{"models": [{"provider": "p"}], "source": "", "taken_on": ""}']
)
def test_our_own_form_is_read_strictly(text: str):
    with pytest.raises(BadList):
        from_own(text)
