"""What the gateway is told by its environment."""

from json import dumps

import pytest

from ante_client.gateway.settings import Misconfigured, read
from ante_client.providers import Asked

NEEDED = {"ANTE_URL": "http://ante.test", "ANTE_API_KEY": "sk_live_x", "ANTE_GATEWAY_SPOOL": "/tmp/spool"}


def test_each_key_may_fail_another_way() -> None:
    listed = {"ANTE_GATEWAY_FAIL_OTHERWISE": "ck_live_abcd…, sk_live_efgh"}
    closed, opened = read(NEEDED | listed), read(NEEDED | listed | {"ANTE_GATEWAY_FAIL": "open"})
    tokens = ("ck_live_abcdef", "sk_live_efghij", "ck_live_other")
    assert [closed.fail_of(token) for token in tokens] == ["open", "open", "closed"]
    assert [opened.fail_of(token) for token in tokens] == ["closed", "closed", "open"]
    assert read(NEEDED).fail_of("ck_live_abcdef") == "closed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ANTE_URL": ""},
        {"ANTE_GATEWAY_FAIL": "ajar"},
        {"ANTE_GATEWAY_FAIL_OTHERWISE": "ck_"},
        {"ANTE_GATEWAY_STEPS_MAX": "-1"},
        {"ANTE_GATEWAY_CUT": "maybe"},
        {"ANTE_GATEWAY_TOKENIZER": "no_such_module:count"},
        {"ANTE_GATEWAY_TOKENIZER": "tests.clients.test_gateway_settings"},
        {"ANTE_GATEWAY_ROUTES": "[1]"},
        {"ANTE_GATEWAY_ROUTES": '[{"models": ["a"], "url": "http://b", "key": "UNSET"}]'},
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        read(NEEDED | wrong)


def test_streams_are_cut_only_where_that_is_wished() -> None:
    assert not read(NEEDED).cuts
    assert read(NEEDED | {"ANTE_GATEWAY_CUT": "on"}).cuts


def words(model: str, text: str) -> int:
    return len(text.split())


def test_prompts_are_counted_by_the_tokenizer_that_is_named() -> None:
    tokenizer = read(NEEDED | {"ANTE_GATEWAY_TOKENIZER": f"{__name__}:words"}).tokenizer
    assert read(NEEDED).tokenizer is None
    body = {"model": "m", "messages": [{"role": "user", "content": "How is the weather?"}, {"content": "At sea."}]}
    assert Asked.read("chat", dumps(body).encode(), tokenizer=tokenizer).input_tokens == 6
    assert Asked.read("chat", dumps(body).encode()).input_tokens == 7  # 26 characters.


def test_models_have_routes_of_their_own() -> None:
    routes = '[{"models": ["llama-*"], "url": "http://gpu.test/", "key": "LLAMA_KEY"}]'
    settings = read(NEEDED | {"ANTE_GATEWAY_ROUTES": routes, "LLAMA_KEY": "k", "OPENAI_BASE_URL": "http://o.test/v1"})
    assert settings.route("chat", "llama-4").url == "http://gpu.test"
    assert settings.route("chat", "gpt-5").url == "http://o.test"
    assert settings.route("messages", "claude").url == "https://api.anthropic.com"
