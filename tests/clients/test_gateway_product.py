"""The gateway between the official clients and the product itself: what the books say, to the last digit.

``pro`` charges $2.50 for a million input tokens and $10 for a million output tokens.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from accounts.models import ApiKey
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from ante_client.models import Models
from billing.models import Authorization, Balance, Customer, UsageEvent
from billing.services import budgets
from billing.services.catalog import meters
from tests.browser.server import serving
from tests.builders import Shop, browser_of
from tests.clients.gateways import answered_by, billed_by, kill, running, started
from tests.clients.standin import eventually

pytestmark = pytest.mark.slow

PROMPT = "x" * 400  # A hundred tokens: 0.00025.
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}
STREAM: dict[str, Any] = CHAT | {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def key(committed_db: None, shop: Shop) -> str:
    """That of acme, who has a dollar."""
    shop.plan()
    organization = shop.customer("acme", usd="1").organization
    return shop.key("authorizations:write", organization=organization)


@pytest.fixture
def product(key: str, shop: Shop, models: Models, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Served, as gateways are told of it and of the models."""
    operator = shop.key("authorizations:write", "events:write")
    with serving(tmp_path, static_files=False) as server:
        # On a busy machine its first answer may take longer than a gateway waits.
        told = {"authorization": f"Bearer {operator}"}
        assert httpx2.get(f"{server.address}/api/v1/key", headers=told, timeout=60).status_code == 200
        yield billed_by(server.address, operator) | answered_by(models)


@pytest.fixture
def gateway(product: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """With the settings of the test, where it names any."""
    with running(tmp_path, **product, **getattr(request, "param", {})) as address:
        yield address


@pytest.fixture
def client(gateway: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{gateway}/v1", max_retries=0)


def charged(count: int) -> UsageEvent:
    """The newest of so many events, when nothing is set aside any more."""
    assert eventually(lambda: UsageEvent.objects.count() == count and not Authorization.objects.filter(status="open"))
    return UsageEvent.objects.latest("received_at")


def own_key() -> ApiKey:
    return ApiKey.objects.get(organization__customer__external_id="acme")


def left() -> Decimal:
    balance = Balance.objects.get(customer__external_id="acme", asset_id="usd")
    assert balance.held == 0
    return balance.available


def test_a_call_costs_what_it_comes_to_by_hand(gateway: str, client: openai.OpenAI, key: str, models: Models) -> None:
    whole = client.chat.completions.with_raw_response.create(**CHAT)
    # 100 tokens in at 2.50 and 120 out at 10 for a million.
    cost = Decimal("0.00025") + Decimal("0.0012")
    assert Decimal(whole.headers["x-usage-cost"]) == cost
    assert Decimal(whole.headers["x-wallet-balance"]) == 1 - cost
    assert charged(1).event_id == whole.headers["x-inference-id"]
    assert left() == 1 - cost

    # One caller asks the provider for usage, the other does not: both see the provider's own bytes.
    for count, asked in enumerate((STREAM, CHAT | {"stream": True}), start=2):
        through = httpx2.post(
            f"{gateway}/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {key}"}, timeout=60
        )
        assert through.content == httpx2.post(f"{models.address}/v1/chat/completions", json=asked, timeout=60).content
        assert charged(count).data["usage_source"] == "provider"
        assert left() == 1 - count * cost

    sonnet = anthropic.Anthropic(api_key=key, base_url=gateway, max_retries=0)
    sonnet.messages.create(model="claude", max_tokens=50, messages=CHAT["messages"])
    assert charged(4).data["model"] == "claude"
    cost = 3 * cost + Decimal("0.00025") + Decimal("0.0005")
    assert left() == 1 - cost

    # A provider that counts otherwise: its own figure is charged, and the other is kept with the event.
    models.behaviour.hidden = 30
    client.chat.completions.create(**CHAT)
    otherwise = charged(5)
    assert (otherwise.data["output_tokens"], otherwise.data["counted_output_tokens"]) == (150, 120)
    assert left() == 1 - cost - Decimal("0.00025") - Decimal("0.0015")


def test_who_leaves_at_token_k_pays_for_the_prompt_and_k(client: openai.OpenAI, models: Models) -> None:
    models.behaviour.waits_after = 30
    stream = client.chat.completions.create(**STREAM)
    came = [next(stream).choices[0].delta.content for _ in range(30)]
    assert len("".join(came)) == 30 * 4
    stream.close()

    left_early = charged(1)
    assert (left_early.data["input_tokens"], left_early.data["output_tokens"]) == (100, 30)
    assert left_early.data["usage_source"] == "counted"
    assert left() == 1 - Decimal("0.00025") - Decimal("0.0003")

    models.behaviour.waits_after, models.behaviour.breaks_after = None, 40
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(client.chat.completions.create(**STREAM))
    broken = charged(2)
    assert broken.data["output_tokens"] == 40
    assert broken.extensions["outcome"] == "failed"
    assert left() == 1 - Decimal("0.00025") - Decimal("0.0003") - Decimal("0.00025") - Decimal("0.0004")


def test_a_gateway_that_is_killed_at_token_k_charges_the_prompt_and_k(
    product: dict[str, str], key: str, models: Models, tmp_path: Path
) -> None:
    models.behaviour.waits_after = 30
    spool = tmp_path / "gateway-spool"

    def is_noted() -> bool:
        return any(b'"output_tokens":30,' in path.read_bytes() for path in spool.glob("*.running"))

    with started(tmp_path, **product) as (address, process):
        asked = {"json": STREAM, "headers": {"authorization": f"Bearer {key}"}, "timeout": 60}
        with httpx2.stream("POST", f"{address}/v1/chat/completions", **asked):
            assert eventually(is_noted)
            kill(process)
    models.behaviour.go.set()
    assert Authorization.objects.get().status == "open"

    with running(tmp_path, **product):  # The next one.
        found = charged(1)
    assert (found.data["input_tokens"], found.data["output_tokens"]) == (100, 30)
    assert found.extensions["outcome"] == "failed"
    assert found.api_key_id == own_key().pk
    assert left() == 1 - Decimal("0.00025") - Decimal("0.0003")
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize(
    "gateway", [{"ANTE_GATEWAY_CUT": "on", "ANTE_GATEWAY_OUTPUT_TOKENS": "20"}], ids=["cut"], indirect=True
)
def test_a_stream_is_cut_when_the_money_is_gone(client: openai.OpenAI, shop: Shop, models: Models) -> None:
    def streamed() -> tuple[int, str | None]:
        """How many tokens came, and why no more did."""
        *chunks, last = client.chat.completions.create(**STREAM)
        words = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
        assert last.usage.completion_tokens == len(words)
        return len(words), chunks[-1].choices[0].finish_reason

    # The model keeps to no bound, and the wallet has the prompt and fifty tokens.
    models.behaviour.deaf = True
    shop.record("acme", data={"input_tokens": 399_700, "output_tokens": 0})
    assert streamed() == (50, "length")
    cut = charged(2)
    assert (cut.data["output_tokens"], cut.data["cut"]) == (50, True)
    assert "outcome" not in cut.extensions  # It did not fail.
    assert left() == 0

    # It has a hundred, but all that was not set aside yet is spent elsewhere while the answer comes.
    shop.fund(Customer.objects.get(external_id="acme"), "0.00125")
    models.behaviour.waits_after = 10
    with ThreadPoolExecutor(1) as apart:
        answer = apart.submit(streamed)
        assert eventually(lambda: models.behaviour.sent == 10)
        shop.record("acme", data={"input_tokens": 0, "output_tokens": 80})
        models.behaviour.go.set()
        assert answer.result(60) == (20, "length")
    assert charged(4).data["output_tokens"] == 20
    assert left() == 0


def test_a_run_ends_at_its_last_step_whichever_gateway_it_goes_through(
    gateway: str, product: dict[str, str], key: str, shop: Shop, tmp_path: Path
) -> None:
    limit = shop.budget(
        Customer.objects.get(external_id="acme"), "4", counts="events", scope={"session": "*"}, period="total"
    )

    def step(address: str, run: str) -> httpx2.Response:
        told = {"authorization": f"Bearer {key}", "x-ante-run": run}
        return httpx2.post(f"{address}/v1/chat/completions", json=CHAT, headers=told, timeout=60)

    apart = tmp_path / "another"
    apart.mkdir()
    with running(apart, **product) as another, ThreadPoolExecutor(6) as at_once:
        answers = list(at_once.map(lambda way: step(way, "r1"), [gateway, another] * 3))
        assert sorted(each.status_code for each in answers) == [200, 200, 200, 200, 402, 402]
        assert step(another, "r2").status_code == 200
    refused = next(each.json()["error"] for each in answers if each.status_code == 402)
    assert (refused["code"], refused["scope"], refused["value"]) == ("budget_exceeded", {"session": "*"}, "r1")
    assert refused["budget"] == str(limit.pk)


def test_limits_of_a_key_and_of_its_maker_and_its_pause_reach_what_comes_through(
    gateway: str, key: str, shop: Shop, models: Models, plain_static_files: None
) -> None:
    acme, used = Customer.objects.get(external_id="acme"), own_key()
    developer = shop.member(acme, "dev@acme.test", "developer")
    ApiKey.objects.filter(pk=used.pk).update(created_by=developer)
    another = shop.key("authorizations:write", organization=acme.organization)

    def call(secret: str = key, **more: Any) -> httpx2.Response:
        told = {"authorization": f"Bearer {secret}"}
        return httpx2.post(
            f"{gateway}/v1/chat/completions", json=CHAT | {"max_tokens": 120} | more, headers=told, timeout=60
        )

    # Two calls for 0.00145 each, one of them by way of the spool.
    limit = shop.budget(acme, "0.003", api_key=used)
    assert [call().status_code, call(stream=True).status_code] == [200, 200]
    charged(2)
    assert set(UsageEvent.objects.values_list("api_key_id", flat=True)) == {used.pk}
    assert left() == 1 - Decimal("0.0029")
    asked = len(models.behaviour.bodies)
    for scope in ({}, {"member": developer.memberships.get()}):
        if scope:
            budgets.remove(actor=SYSTEM, budget=limit)
            limit = shop.budget(acme, "0.003", **scope)
        refused = call()
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
        assert refused.json()["error"]["budget"] == str(limit.pk)
    budgets.remove(actor=SYSTEM, budget=limit)
    api_keys.pause([used.pk], reason="It spent too much.")
    paused = call().json()["error"]
    assert (paused["code"], paused["message"]) == ("permission_denied", "This key is paused. It spent too much.")
    assert len(models.behaviour.bodies) == asked
    assert call(another).status_code == 200
    charged(3)

    owner = browser_of(shop.member(acme))
    month = "period=30&group=time"
    for page in (f"/team/{developer.memberships.get().pk}", f"/usage?{month}&api_key={used.pk}"):
        assert 'value="0.0029"' in owner.get(page).content.decode(), page


def test_images_by_number_and_quality_or_by_the_provider_s_tokens(gateway: str, shop: Shop, models: Models) -> None:
    (pictures,) = meters.create_preset(actor=SYSTEM, preset="images")
    tokens = shop.meter("image_tokens", "usage.output_tokens", event_type="image.generation")
    prices = [shop.price(pictures, "0.04"), shop.price(pictures, "0.17", quality=["high"])]
    by_number, by_tokens = (
        shop.customer(name, plan=plan.plan.code, usd="1")
        for name, plan in (
            ("globex", shop.plan("by-number", prices)),
            ("initech", shop.plan("by-tokens", [shop.price(tokens, "40", per="1000000")])),
        )
    )

    def drawn(customer: Customer, **asked: Any) -> tuple[Decimal, Any]:
        """What it cost, and the answer."""
        key = shop.key(organization=customer.organization)
        client = openai.OpenAI(api_key=key, base_url=f"{gateway}/v1", max_retries=0)
        raw = client.images.with_raw_response.generate(model="gpt-image-2", prompt=PROMPT, **asked)
        return Decimal(raw.headers["x-usage-cost"]), raw.parse()

    cost, answer = drawn(by_number, n=3)
    assert (cost, len(answer.data)) == (Decimal("0.12"), 3)
    plain = openai.OpenAI(api_key="k", base_url=f"{models.address}/v1")
    assert answer == plain.images.generate(model="gpt-image-2", prompt=PROMPT, n=3)
    assert drawn(by_number, n=2, quality="high")[0] == Decimal("0.34")
    # Two images of 120 tokens each.
    assert drawn(by_tokens, n=2, quality="high")[0] == Decimal("0.0096")
    assert shop.balance(by_number).available == 1 - Decimal("0.46")
    assert shop.balance(by_tokens).available == 1 - Decimal("0.0096")

    asked = len(models.behaviour.bodies)
    with pytest.raises(openai.APIStatusError) as raised:
        drawn(by_number, n=4, quality="high")  # 0.68, and 0.54 is left.
    assert raised.value.status_code == 402
    assert len(models.behaviour.bodies) == asked
    assert shop.balance(by_number).held == 0


def test_a_wallet_bounds_the_answer_and_an_empty_one_stops_the_call(
    client: openai.OpenAI, shop: Shop, models: Models
) -> None:
    spend = Decimal("0.99925")  # What is left pays the prompt and fifty tokens.
    shop.record("acme", data={"input_tokens": int(spend / Decimal("0.0000025")), "output_tokens": 0})
    answer = client.chat.completions.create(**CHAT, max_tokens=110)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 50
    charged(2)
    assert left() == 0

    asked = len(models.behaviour.bodies)
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(**CHAT)
    assert raised.value.status_code == 402
    body: Any = raised.value.body
    assert (body["code"], body["asset"], body["available"]) == ("insufficient_funds", "usd", "0")
    assert len(models.behaviour.bodies) == asked
