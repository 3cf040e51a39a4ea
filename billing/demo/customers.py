"""The sample customers: plainly invented companies at ``.test`` addresses."""

from dataclasses import dataclass, field
from decimal import Decimal

D = Decimal


@dataclass(frozen=True, slots=True)
class Purchase:
    """Value bought when ``share`` of the month is over, 0 to 1; ``paid`` is in USD."""

    share: float
    amount: Decimal
    paid: Decimal
    asset: str = "usd"
    name: str = "Top-up"


@dataclass(frozen=True, slots=True)
class Gift:
    """A promotional grant given at the end of the seeded month."""

    amount: Decimal
    days: int
    name: str
    asset: str = "usd"
    meters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget in USD, or, with ``events``, of so many events."""

    name: str
    limit: Decimal
    period: str
    scope: dict[str, str] = field(default_factory=dict)
    events: bool = False
    hard: bool = True
    set_by: str = "customer"


RUNWAY = Decimal(7)
"""Within so many days of its end the people of some sample customers want to be told, beside the default alerts."""


@dataclass(frozen=True, slots=True)
class SampleCustomer:
    """``work`` weighs the kinds of events; ``models`` the language models; ``events`` is how many a month has."""

    external_id: str
    name: str
    country: str
    timezone: str
    plans: tuple[str, ...] = ()
    events: int = 0
    work: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    projects: tuple[str, ...] = ("main",)
    features: tuple[str, ...] = ("chat",)
    users: int = 6
    purchases: tuple[Purchase, ...] = ()
    gifts: tuple[Gift, ...] = ()
    left: Decimal | None = None
    """Where set, the last hours' work spends the wallet down to about this many dollars."""
    budgets: tuple[Limit, ...] = ()
    alerts: bool = False
    live: int = 0
    """Its weight in the live stream; 0 keeps it out."""

    @property
    def email(self) -> str:
        return f"billing@{self.external_id}.test"


CUSTOMERS = (
    SampleCustomer(
        external_id="acme",
        name="Acme Robotics",
        country="US",
        timezone="America/Chicago",
        plans=("scale",),
        events=3600,
        work={"chat": 50, "code": 30, "agent": 12, "gpu": 8},
        models={
            "claude-sonnet-4-5": 34,
            "gpt-5": 26,
            "claude-opus-4-5": 8,
            "gpt-5-mini": 20,
            "gemini-2.5-pro": 12,
        },
        projects=("warehouse-bots", "fleet-console", "research"),
        features=("code-review", "planning", "incident-summary", "vision-notes"),
        users=14,
        purchases=(Purchase(0.0, D(150), D(150)), Purchase(0.55, D(250), D(250))),
        gifts=(Gift(D(25), 6, "Conference credits"),),
        budgets=(
            Limit("The whole company", D(600), "month", set_by="operator"),
            Limit("Research", D(150), "month", {"project": "research"}),
            Limit("Each person", D(60), "week", {"user": "*"}),
            Limit("Steps of a run", D(200), "total", {"session": "*"}, events=True),
        ),
        alerts=True,
        live=45,
    ),
    SampleCustomer(
        external_id="northwind",
        name="Northwind Support",
        country="GB",
        timezone="Europe/London",
        plans=("pay-as-you-go",),
        events=3200,
        work={"chat": 88, "audio": 12},
        models={"gpt-4o-mini": 40, "claude-haiku-4-5": 24, "gpt-4o-2024-08-06": 22, "gemini-2.5-flash": 14},
        projects=("help-desk", "voice-line"),
        features=("answer-draft", "triage", "call-summary", "translation"),
        users=22,
        purchases=(Purchase(0.0, D(60), D(60)), Purchase(0.7, D(40), D(40))),
        budgets=(
            Limit("Voice line", D(20), "day", {"project": "voice-line"}),
            Limit("Translations", D(10), "month", {"feature": "translation"}, hard=False),
        ),
        alerts=True,
        gifts=(Gift(D(15), 3, "Welcome credits"), Gift(D(5), 20, "Voice trial", meters=("audio_seconds",))),
        live=35,
    ),
    SampleCustomer(
        external_id="example-labs",
        name="Example Labs",
        country="DE",
        timezone="Europe/Berlin",
        plans=("pay-as-you-go", "studio"),
        events=1500,
        work={"image": 62, "chat": 38},
        models={"gemini-2.5-flash": 46, "gpt-4.1": 30, "gpt-5-mini": 24},
        projects=("catalogue", "ad-variants"),
        features=("product-shots", "captions", "background-swap"),
        users=7,
        purchases=(
            Purchase(0.0, D(30), D(30)),
            Purchase(0.0, D(2000), D(80), asset="image_credits", name="Image pack 2,000"),
            Purchase(0.6, D(1000), D(45), asset="image_credits", name="Image pack 1,000"),
        ),
        gifts=(Gift(D(100), 10, "Creative credits", asset="image_credits"),),
        live=15,
    ),
    SampleCustomer(
        external_id="sample-clinic",
        name="Sample Clinic Notes",
        country="CA",
        timezone="America/Toronto",
        plans=("pay-as-you-go",),
        events=800,
        work={"audio": 70, "chat": 30},
        models={"gpt-4.1": 60, "gpt-4o-mini": 40},
        projects=("visit-notes",),
        features=("transcription", "summary"),
        users=5,
        purchases=(Purchase(0.0, D(30), D(30)),),
        left=D("1.40"),
    ),
    SampleCustomer(
        external_id="placeholder-games",
        name="Placeholder Games",
        country="SE",
        timezone="Europe/Stockholm",
        plans=("pay-as-you-go",),
        events=900,
        work={"chat": 90, "agent": 7, "unpriced": 3},
        models={"gpt-5-mini": 55, "claude-haiku-4-5": 30, "gemini-2.5-flash": 15},
        projects=("npc-dialogue", "moderation"),
        features=("npc", "quest-writer", "chat-filter"),
        users=9,
        purchases=(Purchase(0.0, D("4.30"), D("4.30")),),
        live=5,
    ),
    SampleCustomer(
        external_id="blank-slate",
        name="Blank Slate Studio",
        country="US",
        timezone="America/New_York",
    ),
)
