"""Streams that the gateway ends when nothing pays for more of them, as the official clients see it."""

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
from ante_client.providers import Asked, api_of
from ante_client.reported import Reported
from tests.clients.gateways import answered_by, billed_by, running
from tests.clients.standin import CUSTOMER_KEY, OPERATOR_KEY, Billing, eventually

PROMPT = "x" * 400  # A hundred tokens.
FIFTY = Decimal("0.06")  # What they cost with as many to answer them.
SAID = [{"role": "user", "content": PROMPT}]
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": SAID, "stream": True}
RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": PROMPT, "stream": True}
MESSAGE: dict[str, Any] = {"model": "claude", "max_tokens": 1000, "messages": SAID, "stream": True}


@pytest.fixture
def gateway(billing: Billing, models: Models, tmp_path: Path) -> Iterator[str]:
    settings = {"ANTE_GATEWAY_CUT": "on", "ANTE_GATEWAY_OUTPUT_TOKENS": "20"}
    with running(tmp_path, **billed_by(billing.address, OPERATOR_KEY), **answered_by(models), **settings) as address:
        yield address


@pytest.mark.slow
def test_each_protocol_ends_in_its_own_form(gateway: str, billing: Billing, models: Models) -> None:
    models.behaviour.deaf = True
    client = openai.OpenAI(api_key=CUSTOMER_KEY, base_url=f"{gateway}/v1", max_retries=0)

    def afford_fifty(count: int) -> None:
        """The last of so many calls was cut there, and nothing is left of the wallet: now it has as much again."""
        if count:
            assert eventually(lambda: len(billing.events) == count and "open" not in billing.statuses())
            event = list(billing.events.values())[-1]
            assert (event["data"]["output_tokens"], event["data"]["cut"]) == (50, True)
            assert "outcome" not in event
            assert billing.wallets["acme"] == 0
        billing.wallets["acme"] = FIFTY

    afford_fifty(0)
    *chunks, last, usage = client.chat.completions.create(**CHAT, stream_options={"include_usage": True})
    assert len(chunks) == 50
    assert [choice.finish_reason for choice in last.choices] == ["length"]
    assert (usage.choices, usage.usage.total_tokens) == ([], 150)

    afford_fifty(1)
    headers = {"authorization": f"Bearer {CUSTOMER_KEY}", "x-ante-usage": "event"}
    raw = httpx2.post(f"{gateway}/v1/chat/completions", json=CHAT, headers=headers, timeout=60).text
    *_, finish, done, told, empty = raw.split("\n\n")
    assert '"finish_reason": "length"' in finish
    assert (done, empty) == ("data: [DONE]", "")
    assert '"x-usage-cost":"0.0600"' in told
    assert "prompt_tokens" not in raw

    afford_fifty(2)
    events = list(client.responses.create(**RESPONSE))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"
    answer = events[-1].response
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (len(answer.output_text), answer.usage.output_tokens) == (200, 50)

    afford_fifty(3)
    sonnet = anthropic.Anthropic(api_key=CUSTOMER_KEY, base_url=gateway, max_retries=0)
    with sonnet.messages.stream(**{name: MESSAGE[name] for name in ("model", "max_tokens", "messages")}) as stream:
        message = stream.get_final_message()
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 50)
    assert len(message.content[0].text) == 200

    afford_fifty(4)
    # With money enough, more is set aside as the stream goes on, and the stream is the provider's own.
    billing.wallets["acme"] = Decimal(1)
    whole = httpx2.post(f"{gateway}/v1/messages", json=MESSAGE, headers=headers, timeout=60).content
    direct = httpx2.post(f"{models.address}/v1/messages", json=MESSAGE).content
    assert whole.startswith(direct)
    through = httpx2.post(f"{gateway}/v1/chat/completions", json=CHAT, headers=headers, timeout=60).content
    assert through.startswith(httpx2.post(f"{models.address}/v1/chat/completions", json=CHAT).content)
    assert eventually(lambda: len(billing.events) == 6 and "open" not in billing.statuses())
    assert billing.wallets["acme"] == 1 - 2 * Decimal("0.13")


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_what_goes_on_keeps_to_the_limit_however_it_comes(models: Models, path: str, size: int) -> None:
    body = {"/v1/chat/completions": CHAT, "/v1/responses": RESPONSE, "/v1/messages": MESSAGE}[path]
    stream = httpx2.post(f"{models.address}{path}", json=body).content
    api = api_of(path)
    assert api is not None
    reported = Reported(Asked.read(api, json.dumps(body).encode()), limit=50)

    passed = bytearray()
    for start in range(0, len(stream), size):
        passed += reported.feed(stream[start : start + size])
        if reported.short:
            assert reported.data()["output_tokens"] == reported.limit
            if reported.limit == 90:
                break
            reported.limit = 90
            passed += reported.feed(b"")
    assert reported.short
    assert stream.startswith(passed)
    reported.cut()
    assert (reported.data()["output_tokens"], reported.data()["cut"]) == (90, True)
