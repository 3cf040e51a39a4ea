"""The gateway, served as customers get it, between the official clients and stand-ins for models and billing."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ante_client.models import Models
from tests.clients.gateways import answered_by, billed_by, running
from tests.clients.standin import CUSTOMER_KEY, KEY_ID, OPERATOR_KEY, READING_KEY, RECORDING_KEY, Billing, eventually

PROMPT = "x" * 400  # A hundred tokens.
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture
def gateway(billing: Billing, models: Models, tmp_path: Path) -> Iterator[str]:
    routes = json.dumps([{"models": ["llama-*"], "url": f"{models.address}/own", "key": "LLAMA_KEY"}])
    settings = {**billed_by(billing.address, OPERATOR_KEY), **answered_by(models), "ANTE_GATEWAY_STEPS_MAX": "2"}
    settings |= {"ANTE_GATEWAY_ROUTES": routes, "LLAMA_KEY": "sk-llama"}
    with running(tmp_path, **settings) as address:
        yield address


def post(gateway: str, path: str, body: Any, *, key: str = CUSTOMER_KEY, **headers: str) -> httpx2.Response:
    return httpx2.post(f"{gateway}{path}", json=body, headers={"authorization": f"Bearer {key}", **headers}, timeout=60)


def charged(billing: Billing, count: int = 1) -> dict[str, Any]:
    assert eventually(lambda: len(billing.events) == count and "open" not in billing.statuses())
    return dict(list(billing.events.values())[-1])


@pytest.mark.slow
def test_a_key_that_may_not_set_aside_spends_nothing(gateway: str, billing: Billing, models: Models) -> None:
    chat = post(gateway, "/v1/chat/completions", CHAT, key=READING_KEY)
    message = post(gateway, "/v1/messages", {"model": "claude", **CHAT, "max_tokens": 50}, key=READING_KEY)

    for_acme = {"x-ante-customer": "acme"}
    operators = post(gateway, "/v1/chat/completions", CHAT, key=RECORDING_KEY, **for_acme)

    refusals = ((chat, "permission_denied"), (message, "permission_error"), (operators, "permission_denied"))
    for refused, kind in refusals:
        error = refused.json()["error"]
        assert (refused.status_code, error["type"], error["code"]) == (403, kind, "permission_denied")
        assert error["scope"] == "authorizations:write"
    assert not models.behaviour.bodies
    assert billing.statuses() == []


@pytest.mark.slow
def test_whole_answers_and_their_headers(gateway: str, billing: Billing, models: Models) -> None:
    through = post(gateway, "/v1/chat/completions", CHAT)
    direct = httpx2.post(f"{models.address}/v1/chat/completions", json=CHAT)

    assert through.content == direct.content
    assert through.headers["x-usage-cost"] == "0.1300"
    assert through.headers["x-total-tokens"] == "220"
    assert through.headers["x-model"] == "gpt-4o"
    assert Decimal(through.headers["x-wallet-balance"]) == Decimal("99.87")
    event = charged(billing)
    assert through.headers["x-inference-id"] == event["id"]
    assert event["api_key"] == KEY_ID
    assert models.behaviour.keys[0] == "Bearer sk-openai"

    # A model with a route of its own, and every other call.
    asked = {"model": "gpt-4o", "input": PROMPT}
    message = {"model": "claude", "max_tokens": 50, "messages": CHAT["messages"]}
    others = [("/v1/chat/completions", CHAT | {"model": "llama-4"}), ("/v1/embeddings", asked)]
    others += [("/v1/responses", asked | more) for more in ({}, {"stream": True})]
    others += [("/v1/messages", message | more) for more in ({}, {"stream": True})]
    for path, body in others:
        assert post(gateway, path, body).content == httpx2.post(f"{models.address}{path}", json=body).content
    charged(billing, 1 + len(others))
    assert models.behaviour.keys.count("Bearer sk-llama") == 1

    who = post(gateway, "/v1/chat/completions", CHAT, key="ck_live_nobody")
    assert who.status_code == 401
    assert post(gateway, "/v1/files", {}).status_code == 404
    assert post(gateway, "/v1/chat/completions", {"model": 1}).status_code == 400
    run = {"x-ante-run": "r1"}
    assert [post(gateway, "/v1/chat/completions", CHAT, **run).status_code for _ in range(3)] == [200, 200, 429]
    with_operator = post(gateway, "/v1/chat/completions", CHAT, key=OPERATOR_KEY)
    assert with_operator.status_code == 400
    named = {"x-ante-customer": "acme"}
    assert post(gateway, "/v1/chat/completions", CHAT, key=OPERATOR_KEY, **named).status_code == 200
    said = [each["asked"].get("api_key") for each in billing.authorizations.values()]
    assert (set(said[:-1]), said[-1]) == ({KEY_ID}, None)

    billing.wallets["acme"] = Decimal(0)
    refused = post(gateway, "/v1/chat/completions", CHAT)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "insufficient_funds"
    billing.wallets["acme"] = Decimal("0.06")
    assert post(gateway, "/v1/chat/completions", CHAT | {"max_tokens": 900}).json()["usage"]["completion_tokens"] == 50


@pytest.mark.slow
def test_while_ante_is_away_the_caller_notices_nothing(gateway: str, billing: Billing, models: Models) -> None:
    """It leaves when something has been set aside, and comes back later."""
    # Nothing was used: the caller has the provider's error, and what was set aside goes back later.
    models.behaviour.status, billing.leaves_after = 500, "/authorizations"
    assert post(gateway, "/v1/chat/completions", CHAT).status_code == 500
    assert billing.away
    assert billing.statuses() == ["open"]
    billing.away = False
    assert eventually(lambda: billing.statuses() == ["voided"])
    assert billing.wallets["acme"] == 100

    # Something was: the caller has the answer, and it is charged later; even where its time has run out meanwhile.
    models.behaviour.status = 200
    asked = CHAT | {"stream": True}
    direct = httpx2.post(f"{models.address}/v1/chat/completions", json=asked).content
    for count, lapses in enumerate((False, True), start=1):
        billing.leaves_after = "/authorizations"
        assert post(gateway, "/v1/chat/completions", asked).content == direct
        assert billing.away
        assert billing.statuses()[-1] == "open"
        if lapses:
            lapsed = list(billing.authorizations.values())[-1]
            billing.wallets["acme"] += lapsed["amount"]
            lapsed |= {"status": "expired", "amount": Decimal(0)}
        billing.away = False
        assert charged(billing, count)["api_key"] == KEY_ID
        assert billing.wallets["acme"] == 100 - count * Decimal("0.13")


@pytest.mark.slow
def test_streams_byte_for_byte_and_who_leaves_pays_for_what_came(
    gateway: str, billing: Billing, models: Models
) -> None:
    asked = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    through = post(gateway, "/v1/chat/completions", asked)
    assert through.content == httpx2.post(f"{models.address}/v1/chat/completions", json=asked).content
    assert charged(billing)["data"]["output_tokens"] == 120

    told = post(gateway, "/v1/chat/completions", asked, **{"x-ante-usage": "event"})
    assert told.content.startswith(through.content)
    assert b'"x-usage-cost":"0.1300"' in told.content
    charged(billing, 2)

    message = {"model": "claude", "max_tokens": 50, "stream": True, "messages": CHAT["messages"]}
    sonnet = anthropic.Anthropic(api_key=CUSTOMER_KEY, base_url=gateway, max_retries=0)
    list(sonnet.messages.create(**message))
    assert charged(billing, 3)["data"]["output_tokens"] == 50
    assert models.behaviour.keys[-1] == "sk-anthropic"

    models.behaviour.pause = 0.02
    client = openai.OpenAI(api_key=CUSTOMER_KEY, base_url=f"{gateway}/v1", max_retries=0)
    stream = client.chat.completions.create(**asked)
    for _, _ in zip(range(10), stream, strict=False):
        pass
    stream.close()
    left = charged(billing, 4)
    assert "outcome" not in left
    assert 5 <= left["data"]["output_tokens"] <= models.behaviour.sent < 120

    models.behaviour.breaks_after = 30
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(client.chat.completions.create(**asked))
    broken = charged(billing, 5)
    assert (broken["outcome"], broken["data"]["output_tokens"]) == ("failed", 30)
