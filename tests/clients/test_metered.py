"""The official ``openai`` and ``anthropic`` clients, metered, in front of a stand-in for the models."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ante_client import Ante, AsyncAnte, paid_by
from ante_client.inference import BlockingInference
from ante_client.metered import metered
from ante_client.models import Models
from ante_client.providers import IMAGE_TOKENS
from tests.clients.conftest import QUICK
from tests.clients.standin import OPERATOR_KEY, Billing, eventually

PROMPT = "x" * 400  # A hundred tokens.
MESSAGES: Any = [{"role": "user", "content": PROMPT}]
Provider = Any


@pytest.fixture
def plain(models: Models) -> dict[str, Provider]:
    """The clients as they come."""
    return {
        "openai": openai.OpenAI(api_key="sk-provider", base_url=f"{models.address}/v1", max_retries=0),
        "anthropic": anthropic.Anthropic(api_key="sk-provider", base_url=models.address, max_retries=0),
    }


@pytest.fixture
def paid(plain: dict[str, Provider], spooling: Ante) -> dict[str, Provider]:
    """The same, paid by acme."""
    return {name: metered(client, spooling, customer="acme", user="u_17") for name, client in plain.items()}


def chat(clients: dict[str, Provider], **more: Any) -> Any:
    return clients["openai"].chat.completions.create(model="gpt-4o", messages=MESSAGES, **more)


def chat_streamed(clients: dict[str, Provider]) -> Any:
    return chat(clients, stream=True, stream_options={"include_usage": True})


def response(clients: dict[str, Provider], **more: Any) -> Any:
    return clients["openai"].responses.create(model="gpt-4o", input=PROMPT, **more)


def response_streamed(clients: dict[str, Provider]) -> Any:
    return response(clients, stream=True)


def message(clients: dict[str, Provider], **more: Any) -> Any:
    return clients["anthropic"].messages.create(model="claude", messages=MESSAGES, max_tokens=1000, **more)


def message_streamed(clients: dict[str, Provider]) -> Any:
    return message(clients, stream=True)


CALLS = [chat, chat_streamed, response, response_streamed, message, message_streamed]


def said(answer: Any) -> list[Any]:
    """All that the application sees of an answer."""
    return [
        each.model_dump() for each in (answer if hasattr(answer, "__iter__") and hasattr(answer, "close") else [answer])
    ]


def charged(billing: Billing) -> dict[str, Any]:
    assert eventually(lambda: billing.events and "open" not in billing.statuses())
    (event,) = billing.events.values()
    return dict(event)


@pytest.mark.parametrize("call", CALLS)
def test_the_same_answer_and_the_provider_s_own_figures(
    call: Callable[[dict[str, Provider]], Any],
    plain: dict[str, Provider],
    paid: dict[str, Provider],
    billing: Billing,
    models: Models,
) -> None:
    models.behaviour.cached = 40

    assert said(call(paid)) == said(call(plain))

    event = charged(billing)
    data = event["data"]
    assert {name: data[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens", "usage_source")} == {
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "output_tokens": 120,
        "usage_source": "provider",
    }
    assert data["user"] == "u_17"
    assert "counted_output_tokens" not in data
    assert data["inference_id"] == event["id"]
    assert billing.seen[0].headers["idempotency-key"] == event["id"]
    assert billing.seen[0].body["data"]["inference_id"] == event["id"]
    assert billing.wallets["acme"] == Decimal("100") - Decimal("0.01") - Decimal("0.12")


def test_the_provider_s_count_is_charged_and_what_was_counted_otherwise_is_kept(
    paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    models.behaviour.hidden = 30
    for call in CALLS:
        said(call(paid))

    assert eventually(lambda: len(billing.events) == len(CALLS) and "open" not in billing.statuses())
    names = ("output_tokens", "counted_output_tokens", "usage_source")
    for event in billing.events.values():
        assert [event["data"][name] for name in names] == [150, 120, "provider"]


def test_usage_is_asked_for_and_not_shown_to_who_did_not_ask(
    paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    chunks = said(chat(paid, stream=True))

    assert len(chunks) == 121
    assert all(chunk["choices"] for chunk in chunks)
    assert models.behaviour.bodies[0]["stream_options"] == {"include_usage": True}
    assert charged(billing)["data"]["usage_source"] == "provider"


@pytest.mark.parametrize("call", [chat_streamed, response_streamed, message_streamed])
def test_what_breaks_off_costs_the_prompt_and_what_came(
    call: Callable[[dict[str, Provider]], Any], paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    models.behaviour.breaks_after = 30

    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        said(call(paid))

    event = charged(billing)
    assert event["outcome"] == "failed"
    assert event["data"]["usage_source"] == "counted"
    assert event["data"]["output_tokens"] == 30
    assert billing.wallets["acme"] == Decimal(100) - Decimal("0.01") - Decimal("0.03")


@pytest.mark.parametrize("call", [chat_streamed, response_streamed, message_streamed])
def test_who_closes_a_stream_pays_for_what_was_passed_on(
    call: Callable[[dict[str, Provider]], Any], paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    models.behaviour.pause = 0.01
    stream = call(paid)
    for _, _ in zip(range(20), stream, strict=False):
        pass
    stream.close()

    event = charged(billing)
    assert "outcome" not in event  # A failed run may be free; leaving early is none.
    assert 10 <= event["data"]["output_tokens"] <= models.behaviour.sent < 120


def test_where_no_usage_is_reported_it_is_counted_here(
    paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    models.behaviour.silent = True

    chat(paid)

    data = charged(billing)["data"]
    assert (data["input_tokens"], data["output_tokens"], data["usage_source"]) == (100, 120, "counted")


def test_what_is_set_aside_for_a_prompt_is_counted_by_a_tokenizer(
    plain: dict[str, Provider], spooling: Ante, billing: Billing
) -> None:
    def words(model: str, text: str) -> int:
        if model == "unknown":
            raise KeyError(model)
        return len(text.split())

    client = metered(plain["openai"], spooling, customer="acme", user="u_17", tokenizer=words)
    for model, counted in (("gpt-4o", 1), ("unknown", 100)):
        client.chat.completions.create(model=model, messages=MESSAGES)
        asked = [each.body["data"] for each in billing.seen if each.path.endswith("/authorizations")][-1]
        assert (asked["user"], asked["input_tokens"]) == ("u_17", counted)
    assert eventually(lambda: [each["data"]["input_tokens"] for each in billing.events.values()] == [100, 100])


def test_embeddings(paid: dict[str, Provider], billing: Billing) -> None:
    paid["openai"].embeddings.create(model="text-embedding-3-small", input=[PROMPT, PROMPT], encoding_format="float")

    data = charged(billing)["data"]
    assert (data["input_tokens"], data["output_tokens"], data["request_type"]) == (200, 0, "embeddings")


@pytest.mark.parametrize(
    ("name", "call", "kind"),
    [("openai", chat, openai.APIStatusError), ("anthropic", message, anthropic.APIStatusError)],
    ids=["openai", "anthropic"],
)
def test_who_cannot_pay_gets_the_client_s_own_error(
    name: str,
    call: Callable[[dict[str, Provider]], Any],
    kind: type[Any],
    paid: dict[str, Provider],
    billing: Billing,
    models: Models,
) -> None:
    billing.wallets["acme"] = Decimal("0.001")

    with pytest.raises(kind) as raised:
        call(paid)

    assert raised.value.status_code == 402
    assert raised.value.body["error"]["code"] if name == "anthropic" else raised.value.body["code"]
    assert "insufficient_funds" in str(raised.value)
    assert not models.behaviour.bodies
    assert billing.wallets["acme"] == Decimal("0.001")


def test_an_answer_is_as_long_as_the_wallet_affords(
    paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    billing.wallets["acme"] = Decimal("0.06")  # The prompt, and fifty tokens.

    answer = chat(paid, max_tokens=1000)

    assert models.behaviour.bodies[0]["max_tokens"] == 50
    assert answer.usage.completion_tokens == 50
    charged(billing)
    assert billing.wallets["acme"] == 0


def test_images(paid: dict[str, Provider], plain: dict[str, Provider], billing: Billing, models: Models) -> None:
    three: Any = {"model": "gpt-image-2", "prompt": PROMPT, "n": 3, "size": "1024x1536"}

    def drawn(clients: dict[str, Provider], **more: Any) -> Any:
        return clients["openai"].images.generate(**three, **more)

    assert said(drawn(paid)) == said(drawn(plain))
    event = charged(billing)
    assert event["type"] == "image.generation"
    data = event["data"]
    told = {"n": 3, "images": 3, "size": "1024x1536", "quality": "medium", "usage_source": "provider"}
    assert told.items() <= data.items()
    assert (data["input_tokens"], data["output_tokens"], data["usage"]["total_tokens"]) == (100, 360, 460)
    # While it ran, the most that three images may take was set aside, of what the caller had said.
    asked = billing.seen[0].body
    assert (asked["type"], asked["data"]["n"], asked["data"]["quality"]) == ("image.generation", 3, "auto")
    assert asked["data"]["output_tokens"] == 3 * IMAGE_TOKENS

    # In a stream each image reports its own usage; what broke off costs the images that had come.
    assert said(drawn(paid, stream=True)) == said(drawn(plain, stream=True))
    models.behaviour.breaks_after = 2
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        said(drawn(paid, stream=True))
    assert eventually(lambda: len(billing.events) == 3)
    streamed, broken = list(billing.events.values())[1:]
    assert [each["data"]["n"] for each in (streamed, broken)] == [3, 2]
    assert [each["data"]["output_tokens"] for each in (streamed, broken)] == [360, 240]
    assert streamed["data"]["usage"] == {
        "input_tokens": 300,
        "output_tokens": 360,
        "total_tokens": 660,
        "input_tokens_details": {"text_tokens": 300, "image_tokens": 0},
    }


def test_images_without_usage_are_counted_and_an_empty_wallet_makes_none(
    paid: dict[str, Provider], billing: Billing, models: Models
) -> None:
    models.behaviour.silent = True
    paid["openai"].images.generate(model="own", prompt=PROMPT, n=2, quality="high")
    data = charged(billing)["data"]
    counted = {"n": 2, "quality": "high", "usage_source": "counted", "input_tokens": 100, "output_tokens": 0}
    assert counted.items() <= data.items()

    billing.wallets["acme"] = Decimal(1)  # There is no such thing as half an image.
    with pytest.raises(openai.APIStatusError) as raised:
        paid["openai"].images.generate(model="own", prompt=PROMPT)
    assert raised.value.status_code == 402
    assert len(models.behaviour.bodies) == 1


def test_an_error_of_the_provider_costs_nothing(paid: dict[str, Provider], billing: Billing, models: Models) -> None:
    models.behaviour.status = 500

    with pytest.raises(openai.InternalServerError):
        chat(paid)

    assert eventually(lambda: billing.statuses() == ["voided"])
    assert billing.wallets["acme"] == 100


def test_whoever_is_named_around_the_call_pays(plain: dict[str, Provider], spooling: Ante, billing: Billing) -> None:
    billing.wallets["globex"] = Decimal(1)
    client = metered(plain["openai"], spooling)

    with pytest.raises(LookupError):
        chat({"openai": client}).model_dump()
    with paid_by("globex", feature="search"):
        chat({"openai": client})

    event = charged(billing)
    assert (event["subject"], event["data"]["feature"]) == ("globex", "search")


def test_nothing_is_asked_where_billing_is_away_and_the_client_fails_open(
    plain: dict[str, Provider], billing: Billing, tmp_path: Any
) -> None:
    billing.away = True
    with Ante(billing.address, OPERATOR_KEY, retry=QUICK, spool=tmp_path, fail="open") as ante:
        chat({"openai": metered(plain["openai"], ante, customer="acme")})
        billing.away = False
        assert eventually(lambda: len(billing.events) == 1)

    assert billing.wallets["acme"] == Decimal(100) - Decimal("0.13")


def test_the_async_clients(models: Models, billing: Billing, tmp_path: Any) -> None:
    async def work() -> None:
        async with AsyncAnte(billing.address, OPERATOR_KEY, retry=QUICK, spool=tmp_path) as ante:
            given = openai.AsyncOpenAI(api_key="k", base_url=f"{models.address}/v1", max_retries=0)
            client = metered(given, ante, customer="acme")
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            assert len([chunk async for chunk in stream]) == 121
            models.behaviour.breaks_after = 30
            stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
                [chunk async for chunk in stream]
            models.behaviour.status = 500
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    asyncio.run(work())

    assert [event["data"]["output_tokens"] for event in billing.events.values()] == [120, 120, 30]
    assert sorted(billing.statuses()) == ["captured", "captured", "captured", "voided"]


def test_a_context_manager_for_everything_else(spooling: Ante, billing: Billing) -> None:
    expected = {"model": "own", "input_tokens": 100, "output_tokens": 1000}
    with spooling.inference("acme", "llm.completion", expected) as run:
        assert run.at_most("output_tokens", 10**9) == 99990
        assert billing.statuses() == ["open"]
        run.used(output_tokens=300)
    assert spooling.flush()
    assert billing.wallets["acme"] == Decimal(100) - Decimal("0.01") - Decimal("0.3")

    with pytest.raises(ZeroDivisionError), spooling.inference("acme", "llm.completion", expected) as run:
        _break_off(run)
    with pytest.raises(ZeroDivisionError), spooling.inference("acme", "llm.completion", expected):
        raise ZeroDivisionError
    assert spooling.flush()
    assert billing.statuses() == ["captured", "captured", "voided"]
    assert [event.get("outcome") for event in billing.events.values()] == [None, "failed"]


def _break_off(run: BlockingInference) -> None:
    run.used(output_tokens=10)
    raise ZeroDivisionError
