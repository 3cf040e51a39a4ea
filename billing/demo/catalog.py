"""Models at their published list prices, and the meters and plans made of them.

Prices are US dollars per million tokens, as the providers published them for 2025 and 2026 (standard tier, prompts
up to 200,000 tokens): input, cached input, output. A cached token is charged as cached and not as input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

D = Decimal
ZERO, ONE, MILLION = D(0), D(1), D(1_000_000)


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """A language model; amounts in USD per million tokens."""

    model: str
    input: Decimal
    cached_input: Decimal
    output: Decimal


MODELS = (
    # OpenAI
    ModelPrice("gpt-5", D("1.25"), D("0.125"), D("10")),
    ModelPrice("gpt-5-mini", D("0.25"), D("0.025"), D("2")),
    ModelPrice("gpt-4.1", D("2"), D("0.50"), D("8")),
    ModelPrice("gpt-4o-2024-08-06", D("2.50"), D("1.25"), D("10")),
    ModelPrice("gpt-4o-mini", D("0.15"), D("0.075"), D("0.60")),
    # Anthropic (cached input is the price of a cache read)
    ModelPrice("claude-opus-4-5", D("5"), D("0.50"), D("25")),
    ModelPrice("claude-sonnet-4-5", D("3"), D("0.30"), D("15")),
    ModelPrice("claude-haiku-4-5", D("1"), D("0.10"), D("5")),
    # Google
    ModelPrice("gemini-2.5-pro", D("1.25"), D("0.125"), D("10")),
    ModelPrice("gemini-2.5-flash", D("0.30"), D("0.03"), D("2.50")),
)


@dataclass(frozen=True, slots=True)
class CostSpec:
    """What a provider charges the sample operator: ``amount`` US dollars for every ``per`` of ``unit``."""

    provider: str
    model: str
    unit: str
    amount: Decimal
    per: Decimal = ONE


_AGREED = {"gpt": ("openai", D("0.70")), "claude": ("anthropic", D("0.78")), "gemini": ("google", D("0.62"))}
"""The share of its list price that the sample operator has agreed with each provider."""


def _agreed() -> list[CostSpec]:
    found = []
    for model in MODELS:
        provider, share = _AGREED[model.model.partition("-")[0]]
        for unit, amount in (("input", model.input), ("cached_input", model.cached_input), ("output", model.output)):
            found.append(CostSpec(provider, model.model, unit, amount * share, MILLION))
    return found


COSTS = (
    *_agreed(),
    CostSpec("openai", "gpt-4o-transcribe", "audio_second", D("0.0042"), D(60)),
    CostSpec("openai", "gpt-image-1", "image", D("0.04")),
    CostSpec("own-gpus", "h100", "gpu_second", D("2.35"), D(3600)),
    CostSpec("own-gpus", "a100", "gpu_second", D("1.55"), D(3600)),
    CostSpec("own-gpus", "l4", "gpu_second", D("0.48"), D(3600)),
)
OVERHEAD_SHARE = D("0.02")
OVERHEAD_FIXED = D("0.00004")
"""Database, vector search and bandwidth of one request."""

UNPRICED_MODEL = "orchid-preview"
"""A model that no plan has a price for: usage of it is refused."""


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """A meter to create: ``value`` is added up over events of ``event_type``."""

    code: str
    name: str
    event_type: str
    value: str
    unit: str
    dimensions: tuple[str, ...]


_WHO = ("user", "project", "feature", "session")

METERS = (
    MeterSpec(
        "llm_input",
        "LLM input tokens",
        "llm.completion",
        "input_tokens - cached_input_tokens",
        "token",
        ("model", *_WHO),
    ),
    MeterSpec(
        "llm_cached_input",
        "LLM cached input tokens",
        "llm.completion",
        "cached_input_tokens",
        "token",
        ("model", *_WHO),
    ),
    MeterSpec("llm_output", "LLM output tokens", "llm.completion", "output_tokens", "token", ("model", *_WHO)),
    MeterSpec("images", "Images", "image.generation", "images", "image", ("model", "quality", *_WHO)),
    MeterSpec("audio_seconds", "Audio transcribed", "audio.transcription", "seconds", "second", ("model", *_WHO)),
    MeterSpec("gpu_seconds", "GPU time", "gpu.session", "seconds", "second", ("gpu", *_WHO)),
    MeterSpec("agent_steps", "Agent steps", "agent.run", "steps", "step", ("agent", *_WHO)),
)

IMAGE_CREDITS = "image_credits"


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """``amount`` of ``asset`` for every ``per`` units of ``meter``, where ``match`` holds."""

    meter: str
    asset: str
    amount: Decimal
    per: Decimal = ONE
    match: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """A plan to create, with its first published version."""

    code: str
    name: str
    prices: Sequence[PriceSpec]
    base_fee: Decimal = ZERO
    allowances: Mapping[str, Decimal] = field(default_factory=dict)
    """What a month includes, by asset."""
    offered: bool = True


def _tokens(share: Decimal = ONE) -> list[PriceSpec]:
    """A price for each kind of token of each model, at ``share`` of the list price."""
    return [
        PriceSpec(meter, "usd", amount * share, MILLION, {"model": [model.model]})
        for model in MODELS
        for meter, amount in (
            ("llm_input", model.input),
            ("llm_cached_input", model.cached_input),
            ("llm_output", model.output),
        )
    ]


# Transcription at the list price of gpt-4o-transcribe, 0.006 a minute. GPUs by the hour, charged by the second.
_AUDIO = PriceSpec("audio_seconds", "usd", D("0.006"), D(60))
_GPU = [
    PriceSpec("gpu_seconds", "usd", D("3.60"), D(3600), {"gpu": ["h100"]}),
    PriceSpec("gpu_seconds", "usd", D("1.80"), D(3600), {"gpu": ["a100"]}),
    PriceSpec("gpu_seconds", "usd", D("0.72"), D(3600), {"gpu": ["l4"]}),
]
_STEPS = PriceSpec("agent_steps", "usd", D("0.004"))

PLANS = (
    PlanSpec("pay-as-you-go", "Pay as you go", [*_tokens(), _AUDIO, *_GPU, _STEPS]),
    PlanSpec("scale", "Scale, 20 % below list", [*_tokens(D("0.8")), _AUDIO, *_GPU, _STEPS], base_fee=D(19)),
    PlanSpec(
        "studio",
        "Studio",
        [
            PriceSpec("images", IMAGE_CREDITS, D(1), match={"quality": ["standard"]}),
            PriceSpec("images", IMAGE_CREDITS, D(4), match={"quality": ["high"]}),
        ],
        base_fee=D(9),
        allowances={IMAGE_CREDITS: D(500)},
    ),
)
