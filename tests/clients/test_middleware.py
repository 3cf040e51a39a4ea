"""Middleware and decorators: the application's own answers say what they cost, and a refusal is a 402."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from ante_client import Ante, AsyncAnte, PaymentRequired, charged, paid_by
from ante_client.asgi import UsageMiddleware as AsgiMiddleware
from ante_client.django import UsageMiddleware as DjangoMiddleware
from ante_client.metered import metered
from ante_client.models import Models
from tests.clients.conftest import QUICK
from tests.clients.standin import OPERATOR_KEY, Billing, Refusal, eventually

CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 400}]}  # A hundred tokens.
COST = {"x-usage-cost": "0.1300", "x-total-tokens": "220", "x-model": "gpt-4o", "x-wallet-balance": "99.8700"}


@pytest.fixture
def client(models: Models, spooling: Ante) -> openai.OpenAI:
    return metered(openai.OpenAI(api_key="sk", base_url=f"{models.address}/v1", max_retries=0), spooling)


def customer_of(request: HttpRequest) -> tuple[str, dict[str, str]] | None:
    name = request.headers.get("X-Customer")
    return (name, {"user": "u_17"}) if name else None


Answering = Callable[..., Any]


@pytest.fixture
def through_django(settings: Any) -> Answering:
    """Ask a view through the middleware, as Django does."""
    settings.ANTE_CUSTOMER = "tests.clients.test_middleware.customer_of"

    def ask(view: Callable[[HttpRequest], Any], customer: str = "acme") -> Any:
        def get_response(request: HttpRequest) -> Any:
            try:
                return view(request)
            except Exception as error:
                answer = middleware.process_exception(request, error)
                if answer is None:
                    raise
                return answer

        middleware = DjangoMiddleware(get_response)
        return middleware(RequestFactory().get("/", headers={"X-Customer": customer}))

    return ask


def test_django_answers_say_what_they_cost(through_django: Answering, client: openai.OpenAI, billing: Billing) -> None:
    answer = through_django(lambda request: HttpResponse(str(client.chat.completions.create(**CHAT).id)))
    assert COST.items() <= {name.lower(): value for name, value in answer.headers.items()}.items()
    (event,) = billing.events.values()
    assert event["data"]["user"] == "u_17"

    def twice(request: HttpRequest) -> HttpResponse:
        for _ in range(2):
            client.chat.completions.create(**CHAT)
        return HttpResponse("done")

    assert through_django(twice).headers["X-Usage-Cost"] == "0.2600"
    assert "X-Usage-Cost" not in through_django(lambda request: HttpResponse("nothing used")).headers
    with pytest.raises(LookupError, match="Nobody pays"):
        through_django(twice, customer="")


def test_django_turns_a_refusal_into_a_402(
    through_django: Answering, client: openai.OpenAI, spooling: Ante, billing: Billing
) -> None:
    billing.wallets["acme"] = Decimal(0)

    def asks_by_itself(request: HttpRequest) -> HttpResponse:
        with spooling.inference("acme", "llm.completion", {"output_tokens": 5}):
            return HttpResponse("done")

    # By the provider's client, whose own error it is there, and by ours.
    for view in (lambda request: HttpResponse(client.chat.completions.create(**CHAT).id), asks_by_itself):
        answer = through_django(view)
        assert (answer.status_code, answer.headers["Content-Type"]) == (402, "application/problem+json")
        body = json.loads(answer.content)
        assert (body["status"], body["code"], body["available"]) == (402, "insufficient_funds", "0")

    def broken(request: HttpRequest) -> HttpResponse:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        through_django(broken)


REACHED: Any = {"scope": {"user": "u_17"}, "resets_at": "2027-01-01T00:00:00Z"}


def test_a_budget_s_scope_and_reset_time_reach_the_caller(
    through_django: Answering, client: openai.OpenAI, billing: Billing
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise PaymentRequired(402, {**REACHED, "code": "budget_exceeded", "detail": "The budget is used up."})

    body = json.loads(through_django(view).content)
    assert (REACHED | {"code": "budget_exceeded"}).items() <= body.items()

    # One that asks to come again later, by the provider's client.
    billing.faults.append(Refusal(429, "rate_limited", budget="b", **REACHED))
    answer = through_django(lambda request: HttpResponse(client.chat.completions.create(**CHAT).id))
    assert answer.status_code == 429
    assert REACHED.items() <= json.loads(answer.content).items()


def test_a_streamed_django_answer_is_paid_for_by_the_same_customer(
    through_django: Answering, client: openai.OpenAI, billing: Billing
) -> None:
    def words() -> Iterator[str]:
        for chunk in client.chat.completions.create(**CHAT, stream=True):
            yield chunk.choices[0].delta.content or ""

    answer = through_django(lambda request: StreamingHttpResponse(words()))
    assert not billing.events
    assert len(b"".join(answer.streaming_content)) == 480
    assert "X-Usage-Cost" not in answer.headers
    assert eventually(lambda: len(billing.events) == 1 and "open" not in billing.statuses())


def test_async_views_and_asgi_applications(settings: Any, models: Models, billing: Billing) -> None:
    settings.ANTE_CUSTOMER = customer_of

    async def run() -> None:
        async with AsyncAnte(billing.address, OPERATOR_KEY, retry=QUICK) as ante:
            provider = openai.AsyncOpenAI(api_key="sk", base_url=f"{models.address}/v1", max_retries=0)
            client = metered(provider, ante)

            async def view(request: HttpRequest) -> HttpResponse:
                return HttpResponse((await client.chat.completions.create(**CHAT)).id)

            request = RequestFactory().get("/", headers={"X-Customer": "acme"})
            answer = await DjangoMiddleware(view)(request)  # type: ignore[misc]
            assert answer.headers["X-Usage-Cost"] == "0.1300"

            async def words() -> AsyncIterator[str]:
                async for chunk in await client.chat.completions.create(**CHAT, stream=True):
                    yield chunk.choices[0].delta.content or ""

            async def streaming(request: HttpRequest) -> StreamingHttpResponse:
                return StreamingHttpResponse(words())

            answer = await DjangoMiddleware(streaming)(request)  # type: ignore[misc]
            assert len(b"".join([chunk async for chunk in answer])) == 480  # type: ignore[attr-defined]

            async def app(scope: Any, receive: Any, send: Any) -> None:
                body = (await client.chat.completions.create(**CHAT)).id.encode()
                await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
                await send({"type": "http.response.body", "body": body})

            first, second = await _asked(app)
            assert {name.decode(): value.decode() for name, value in first["headers"]} == COST | {
                "a": "b",
                "x-wallet-balance": "99.6100",
            }
            billing.wallets["acme"] = Decimal(0)
            first, second = await _asked(app)
            assert first["status"] == 402
            assert json.loads(second["body"])["code"] == "insufficient_funds"

    asyncio.run(run())


async def _asked(app: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    await AsgiMiddleware(app, customer=lambda scope: "acme")({"type": "http", "path": "/"}, receive, send)
    return sent


def test_while_billing_is_away_the_answer_comes_without_its_cost(
    through_django: Answering, client: openai.OpenAI, spooling: Ante, billing: Billing, models: Models
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        billing.away = True
        spooling.usage.record("acme", "rendered", 1, unit_price="0.5")
        return HttpResponse("done")

    answer = through_django(view)
    assert "X-Usage-Cost" not in answer.headers
    billing.away = False
    assert eventually(lambda: len(billing.events) == 1)

    # Nor does anybody wait for what is to be given back: the error is the application's own.
    models.behaviour.status, billing.leaves_after = 500, "/authorizations"
    with pytest.raises(openai.InternalServerError):
        through_django(lambda request: HttpResponse(client.chat.completions.create(**CHAT).id))
    assert billing.away
    assert billing.statuses() == ["open"]
    billing.away = False
    assert eventually(lambda: billing.statuses() == ["voided"])


def test_a_function_that_costs_something_each_time(ante: Ante, billing: Billing) -> None:
    @charged(ante, "render", amount="2", feature="export")
    def render(name: str) -> str:
        if not name:
            raise ValueError("no name")
        return name.upper()

    with paid_by("acme", user="u_17"):
        assert render("a") == "A"
        with pytest.raises(ValueError, match="no name"):
            render("")
    (event,) = billing.events.values()
    assert {"amount": "2", "feature": "export", "user": "u_17"}.items() <= event["data"].items()
    assert billing.statuses() == ["captured", "voided"]
    with pytest.raises(LookupError, match="Nobody pays"):
        render("a")

    billing.wallets["acme"] = Decimal(1)
    of_the_order = charged(ante, "render", customer=lambda order: str(order["of"]), amount="2")(lambda order: order)
    with pytest.raises(PaymentRequired):
        of_the_order({"of": "acme"})


def test_a_coroutine_function_takes_the_client_for_asyncio(ante: Ante, billing: Billing) -> None:
    async def render(name: str) -> str:
        return name.upper()

    async def run() -> str:
        async with AsyncAnte(billing.address, OPERATOR_KEY, retry=QUICK) as awaited:
            with pytest.raises(TypeError, match="use Ante"):
                charged(awaited, "render")(_plain)
            return str(await charged(awaited, "render", customer=lambda name: "acme", amount="2")(render)("a"))

    with pytest.raises(TypeError, match="use AsyncAnte"):
        charged(ante, "render")(render)
    assert asyncio.run(run()) == "A"
    assert billing.wallets["acme"] == 98


def _plain(name: str) -> str:
    return name
