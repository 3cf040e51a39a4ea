"""Every snippet of docs/adopting.md, run as it stands: only addresses, keys and paths are filled in."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mcp
import openai
import pytest
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from ante_client import Ante
from ante_client.asgi import UsageMiddleware
from ante_client.context import payer
from ante_client.django import UsageMiddleware as DjangoMiddleware
from ante_client.models import Models
from billing.models import Authorization, Balance, UsageEvent
from tests.browser.server import serving
from tests.builders import Shop
from tests.clients.gateways import SOURCES, answered_by, billed_by, running
from tests.clients.standin import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "adopting.md").read_text()
WEATHER: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How is the weather at sea?"}]}


def snippets(section: str, language: str) -> list[str]:
    (found,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", found, re.MULTILINE | re.DOTALL)
    assert blocks, f"{section} has no {language}"
    assert all(len(block.splitlines()) <= 10 for block in blocks)
    return blocks


def commands(block: str) -> str:
    """What is typed in it, without what is answered."""
    return "\n".join(line[2:] if line.startswith("$ ") else line for line in block.splitlines() if line != "…")


@dataclass
class World:
    """The product, models that stand in, and what to fill in for the examples of the document."""

    address: str
    key: str
    customer_key: str
    models: Models
    home: Path

    def filled(self, text: str) -> str:
        for example, real in (
            ("https://billing.example.com", self.address),
            ("sk_live_…", self.key),
            ("ck_live_…", self.customer_key),
            ("/var/lib/app/ante-spool", str(self.home / "spool")),
        ):
            text = text.replace(example, real)
        return text

    def python(self, text: str, **known: Any) -> dict[str, Any]:
        names = dict(known)
        exec(compile(self.filled(text), "docs/adopting.md", "exec"), names)
        if isinstance(names.get("ante"), Ante):
            assert names["ante"].flush(30.0)
            names["ante"].close()
        return names

    def shell(self, text: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", self.filled(text)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def world(
    committed_db: None, shop: Shop, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    shop.plan()
    acme = shop.customer("acme", usd="1")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{models.address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    key = shop.key("authorizations:write", "events:write")
    with serving(tmp_path, static_files=False) as product:
        yield World(product.address, key, shop.key(organization=acme.organization), models, tmp_path)


def spent() -> Decimal:
    """When nothing is set aside any more."""
    assert eventually(lambda: not Authorization.objects.filter(status="open"))
    return 1 - Balance.objects.get(customer__external_id="acme", asset_id="usd").available


def price(input_tokens: int, output_tokens: int) -> Decimal:
    return (Decimal("2.50") * input_tokens + Decimal(10) * output_tokens) / 1_000_000


WEATHER_COST = price(7, 120)  # 26 characters and an answer of the stand-in's usual length.


def test_the_clients(world: World) -> None:
    (wrapper,) = snippets("The wrapper", "python")
    world.python(wrapper)
    assert spent() == WEATHER_COST
    (client,) = snippets("The client", "python")
    world.python(client, ask_the_model=lambda max_tokens: SimpleNamespace(tokens=300))
    assert spent() == WEATHER_COST + price(1200, 300)

    (agents,) = snippets("Agents", "json")
    asyncio.run(_agent(json.loads(world.filled(agents))["mcpServers"]["ante"], 1 - spent()))


async def _agent(settings: dict[str, Any], left: Decimal) -> None:
    """Start the server as an agent's program does, and let the agent ask."""
    assert settings["command"] == "ante-mcp"
    environment = settings["env"] | {"PYTHONPATH": str(SOURCES)}

    async def ask(agent: mcp.Client, tool: str, **arguments: Any) -> Any:
        found = await agent.call_tool(tool, arguments)
        assert not found.is_error, found.content
        return found.structured_content

    def process(*more: str) -> mcp.StdioServerParameters:
        arguments = ["-m", "ante_client.agents", *settings["args"], *more]
        return mcp.StdioServerParameters(command=sys.executable, args=arguments, env=environment)

    usage = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 450}
    async with mcp.Client(process()) as agent:
        tools = (await agent.list_tools()).tools
        assert [tool.name for tool in tools] == ["balance", "estimate", "usage", "pace", "budgets"]
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        assert Decimal((await ask(agent, "balance"))["usd"]["available"]) == left
        assert await ask(agent, "estimate", type="llm.completion", data=usage) == {"usd": "0.007"}
        assert Decimal((await ask(agent, "usage", days=1))["amount_due"]["usd"]) == 1 - left
        assert (await ask(agent, "pace"))["advice"] in {"keep", "cheaper_model", "slow_down"}
        assert await ask(agent, "budgets") == {"budgets": []}
        refused = await agent.call_tool("estimate", {"type": "unknown", "data": {}})
        assert refused.is_error
        assert "unpriced_usage" in str(refused.content)
    async with mcp.Client(process("--authorize")) as agent:
        held = await ask(agent, "authorize", type="llm.completion", data=usage)
        assert (held["asset"], held["amount"]) == ("usd", "0.007")
        async with mcp.Client(process("--authorize")) as another:
            refused = await another.call_tool("void", {"authorization": held["id"]})
            assert (refused.is_error, "set aside here" in str(refused.content)) == (True, True)
        assert Decimal((await ask(agent, "balance"))["usd"]["held"]) == Decimal("0.007")
        await ask(agent, "void", authorization=held["id"])
        assert Decimal((await ask(agent, "balance"))["usd"]["available"]) == left


def test_the_middleware(world: World) -> None:
    django, asgi = snippets("The middleware", "python")
    named = world.python(django)
    assert "ante_client.django.UsageMiddleware" in named["MIDDLEWARE"]
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(company="acme")  # type: ignore[assignment]
    with Ante(world.address, world.key) as ante, override_settings(ANTE_CUSTOMER=named["ANTE_CUSTOMER"]):

        def view(request: Any) -> HttpResponse:
            ante.usage.report(payer()[0], "llm.completion", {"input_tokens": 1000, "output_tokens": 450})
            return HttpResponse()

        answer: Any = DjangoMiddleware(view)(request)
    assert answer.headers["X-Usage-Cost"] == "0.007"
    assert spent() == price(1000, 450)
    assert isinstance(world.python(asgi, app=None)["app"], UsageMiddleware)


def test_the_gateway(world: World) -> None:
    (setting,) = snippets("The gateway", "python")
    with running(world.home, **billed_by(world.address, world.key), **answered_by(world.models)) as gateway:
        named = world.python(setting.replace("http://127.0.0.1:8100", gateway), openai=openai)
        named["client"].chat.completions.create(**WEATHER)
        assert spent() == WEATHER_COST
        # As LiteLLM's proxy is told of it, which calls by the same client.
        told = dict(re.findall(r"api_(\w+): (\S+)", snippets("LiteLLM", "yaml")[0]))
        address = told["base"].replace("http://127.0.0.1:8100", gateway)
        openai.OpenAI(base_url=address, api_key=world.filled(told["key"])).chat.completions.create(**WEATHER)
        assert spent() == 2 * WEATHER_COST

        asked = commands(snippets("The gateway", "console")[1]).partition("\nevent:")[0]
        demo = "$(cat var/demo-customer-key)"
        assert demo in asked
        asked = asked.replace("http://127.0.0.1:8002", gateway).replace(demo, world.customer_key)
        streamed = world.shell(asked.replace("gpt-5-mini", "gpt-4o"))
    assert streamed.rstrip().endswith("}")
    assert "event: ante.usage" in streamed
    assert spent() == 2 * WEATHER_COST + price(7, 5)


def test_what_reports_without_asking(world: World) -> None:
    """One server for all of them: each of these events costs the same."""
    for count, report in ((2, _plain_http), (1, _litellm), (3, _opentelemetry)):
        before = spent()
        report(world)
        assert spent() - before == count * price(1000, 450), report.__name__


def _plain_http(world: World) -> None:
    structured, binary = (commands(block) for block in snippets("Plain HTTP", "console"))
    for command in (structured, binary):
        for _ in range(2):
            assert '"cost":{"usd":"0.007"}' in world.shell(command)
    assert set(UsageEvent.objects.values_list("event_id", flat=True)) == {"inf-1", "inf-2"}


def _opentelemetry(world: World) -> None:
    (settings,) = snippets("OpenTelemetry", "console")
    application = world.home / "application.py"
    application.write_text(
        """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
for number in range(3):
    with provider.get_tracer("app").start_as_current_span("chat gpt-4o") as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.usage.input_tokens", 1000)
        span.set_attribute("gen_ai.usage.output_tokens", 450)
provider.shutdown()
"""
    )
    world.shell(f"{commands(settings)}\n{sys.executable} {application}")


def _litellm(world: World) -> None:
    settings = snippets("LiteLLM", "yaml")[1]
    found = dict(re.findall(r"(OPENMETER_\w+): (\S+)", world.filled(settings)))
    # What its callback makes of them, and sends.
    command = f"""curl -sf {found["OPENMETER_API_ENDPOINT"]}/api/v1/events \
        -H 'Authorization: Bearer {found["OPENMETER_API_KEY"]}' -H 'Content-Type: application/cloudevents+json' \
        -d '{{"specversion": "1.0", "type": "llm.completion", "id": "chatcmpl-1", "subject": "acme",
              "source": "litellm-proxy", "data": {{"input_tokens": 1000, "output_tokens": 450, "cost": 0.007}}}}'"""
    assert '"status":"charged"' in world.shell(command)
