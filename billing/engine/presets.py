"""Ready-made meters for what providers and gateways report, so that no token is counted twice or not at all.

Providers differ. OpenAI and Gemini count cached tokens among the input, Anthropic beside it; OpenAI counts reasoning
among the output, Gemini beside it. Here every token falls under exactly one meter: fresh input, cache reads, cache
writes, output. An event's ``data`` holds the provider's own ``usage`` object as it came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_WHO = ("model", "user", "project", "feature", "session")


@dataclass(frozen=True, slots=True)
class PresetMeter:
    """A meter to be added: what ``POST /meters`` takes, without the event's type and the dimensions."""

    code: str
    name: str
    value: str = ""
    unit: str = "token"
    aggregation: str = "sum"
    phase: str = ""
    filter: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preset:
    """Meters that belong together. ``example`` is an event's data, ``counts`` what they make of it."""

    description: str
    event_type: str
    meters: tuple[PresetMeter, ...]
    example: Mapping[str, object]
    counts: Mapping[str, str]
    dimensions: tuple[str, ...] = _WHO


def _tokens(*, fresh: str, read: str, output: str, written: str = "") -> tuple[PresetMeter, ...]:
    meters = [
        PresetMeter("input_tokens", "Input tokens", fresh, phase="input"),
        PresetMeter("cached_input_tokens", "Input tokens from the cache", read, phase="input"),
        PresetMeter("output_tokens", "Output tokens", output, phase="output"),
    ]
    if written:
        meters.insert(2, PresetMeter("cache_write_tokens", "Tokens written to the cache", written, phase="input"))
    return tuple(meters)


PRESETS: Mapping[str, Preset] = {
    "openai.chat": Preset(
        "OpenAI chat completions: prompt_tokens hold the cached ones, completion_tokens the reasoning.",
        "llm.completion",
        _tokens(
            fresh="usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens",
            read="usage.prompt_tokens_details.cached_tokens",
            output="usage.completion_tokens",
        ),
        {
            "model": "gpt-4o",
            "usage": {
                "prompt_tokens": 1550,
                "completion_tokens": 300,
                "prompt_tokens_details": {"cached_tokens": 1500},
                "completion_tokens_details": {"reasoning_tokens": 120},
            },
        },
        {"input_tokens": "50", "cached_input_tokens": "1500", "output_tokens": "300"},
    ),
    "openai.responses": Preset(
        "OpenAI responses: input_tokens hold the cached ones, output_tokens the reasoning.",
        "llm.completion",
        _tokens(
            fresh="usage.input_tokens - usage.input_tokens_details.cached_tokens",
            read="usage.input_tokens_details.cached_tokens",
            output="usage.output_tokens",
        ),
        {
            "model": "gpt-4o",
            "usage": {
                "input_tokens": 1550,
                "input_tokens_details": {"cached_tokens": 1500},
                "output_tokens": 300,
                "output_tokens_details": {"reasoning_tokens": 120},
            },
        },
        {"input_tokens": "50", "cached_input_tokens": "1500", "output_tokens": "300"},
    ),
    "anthropic.messages": Preset(
        "Anthropic messages: input_tokens are the fresh ones alone; cache reads and writes stand beside them.",
        "llm.completion",
        _tokens(
            fresh="usage.input_tokens",
            read="usage.cache_read_input_tokens",
            written="usage.cache_creation_input_tokens",
            output="usage.output_tokens",
        ),
        {
            "model": "claude-sonnet-4",
            "usage": {
                "input_tokens": 50,
                "cache_read_input_tokens": 1500,
                "cache_creation_input_tokens": 200,
                "output_tokens": 300,
            },
        },
        {"input_tokens": "50", "cached_input_tokens": "1500", "cache_write_tokens": "200", "output_tokens": "300"},
    ),
    "gemini.generate": Preset(
        "Gemini: promptTokenCount holds the cached ones; thoughts stand beside the candidates and are output.",
        "llm.completion",
        _tokens(
            fresh="usageMetadata.promptTokenCount - usageMetadata.cachedContentTokenCount",
            read="usageMetadata.cachedContentTokenCount",
            output="usageMetadata.candidatesTokenCount + usageMetadata.thoughtsTokenCount",
        ),
        {
            "model": "gemini-2.5-pro",
            "usageMetadata": {
                "promptTokenCount": 1550,
                "cachedContentTokenCount": 1500,
                "candidatesTokenCount": 180,
                "thoughtsTokenCount": 120,
            },
        },
        {"input_tokens": "50", "cached_input_tokens": "1500", "output_tokens": "300"},
    ),
    "litellm": Preset(
        "LiteLLM's common form: prompt_tokens hold cache reads and writes, whatever the provider.",
        "llm.completion",
        _tokens(
            fresh=(
                "max(0, usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens"
                " - usage.cache_creation_input_tokens)"
            ),
            read="usage.prompt_tokens_details.cached_tokens",
            written="usage.cache_creation_input_tokens",
            output="usage.completion_tokens",
        ),
        {
            "model": "anthropic/claude-sonnet-4",
            "usage": {
                "prompt_tokens": 1750,
                "prompt_tokens_details": {"cached_tokens": 1500},
                "cache_creation_input_tokens": 200,
                "completion_tokens": 300,
            },
        },
        {"input_tokens": "50", "cached_input_tokens": "1500", "cache_write_tokens": "200", "output_tokens": "300"},
    ),
    "images": Preset(
        "Generated images, one event a request; prices are told apart by size and quality.",
        "image.generation",
        (PresetMeter("images", "Images", "n", unit="image", phase="output"),),
        {"model": "gpt-image-1", "size": "1024x1024", "n": 3},
        {"images": "3"},
        ("model", "size", "quality", *_WHO[1:]),
    ),
    "audio": Preset(
        "Speech in or out, by the minute: the event says the seconds.",
        "audio",
        (PresetMeter("audio_minutes", "Audio minutes", "duration_seconds / 60", unit="minute", phase="input"),),
        {"model": "whisper-1", "duration_seconds": 90},
        {"audio_minutes": "1.5"},
    ),
    "gpu": Preset(
        "GPU time in milliseconds, of one GPU each event. A price per hour has per 3600000.",
        "gpu",
        (PresetMeter("gpu_ms", "GPU milliseconds", "duration_ms", unit="millisecond"),),
        {"gpu": "h100", "duration_ms": 1800000},
        {"gpu_ms": "1800000"},
        ("gpu", "region", *_WHO),
    ),
    "agent": Preset(
        "Steps of agents, as a number in each event.",
        "agent.step",
        (PresetMeter("agent_steps", "Agent steps", "steps", unit="step"),),
        {"agent": "researcher", "steps": 7},
        {"agent_steps": "7"},
        ("agent", *_WHO),
    ),
    "outcome": Preset(
        "Outcomes: an event is counted only where its status is succeeded.",
        "agent.outcome",
        (PresetMeter("outcomes", "Outcomes", aggregation="count", unit="outcome", filter={"status": ("succeeded",)}),),
        {"status": "succeeded", "kind": "blog_post"},
        {"outcomes": "1"},
        ("kind", *_WHO),
    ),
}
