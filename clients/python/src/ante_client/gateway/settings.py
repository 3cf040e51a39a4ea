"""What the gateway is told by its environment."""

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from ante_client.guard import Fail
from ante_client.providers import Api, Tokenizer

PREFIX_MIN = 12
OPENAI, ANTHROPIC = "https://api.openai.com", "https://api.anthropic.com"


class Misconfigured(Exception):
    """Said in one sentence, to whoever starts the gateway."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where calls for these models go (shell patterns, in order), and with whose key."""

    models: Sequence[str]
    url: str
    key: str

    def serves(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Settings:
    """``url`` is Ante's, ``key`` the operator's; ``steps_max`` is how many calls a run may make, 0 for any number.

    While nobody can be asked, calls pass or not as ``fail`` says, and the other way for keys that begin as
    ``otherwise`` does. ``cuts``: a stream ends when nothing pays for more of it. ``tokenizer`` counts prompts.
    """

    url: str
    key: str
    spool: Path
    routes: Sequence[Route]
    openai: Route
    anthropic: Route
    fail: Fail = "closed"
    otherwise: Sequence[str] = ()
    event_type: str = "llm.completion"
    output_tokens: int = 4096
    steps_max: int = 0
    cuts: bool = False
    tokenizer: Tokenizer | None = None

    def fail_of(self, token: str) -> Fail:
        if not token.startswith(tuple(self.otherwise)):
            return self.fail
        return "closed" if self.fail == "open" else "open"

    def route(self, api: Api, model: str) -> Route:
        """The first that serves the model, else the provider whose API it is."""
        default = self.anthropic if api == "messages" else self.openai
        return next((route for route in self.routes if route.serves(model)), default)


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises ``Misconfigured``."""
    fail = environment.get("ANTE_GATEWAY_FAIL", "closed")
    if fail not in {"open", "closed"}:
        raise Misconfigured("ANTE_GATEWAY_FAIL is open or closed.")
    cut = environment.get("ANTE_GATEWAY_CUT", "off")
    if cut not in {"on", "off"}:
        raise Misconfigured("ANTE_GATEWAY_CUT is on or off.")
    return Settings(
        url=_needed(environment, "ANTE_URL"),
        key=_needed(environment, "ANTE_API_KEY"),
        spool=Path(_needed(environment, "ANTE_GATEWAY_SPOOL")),
        routes=_routes(environment),
        openai=_provider(environment, "OPENAI", OPENAI),
        anthropic=_provider(environment, "ANTHROPIC", ANTHROPIC),
        fail=cast(Fail, fail),
        otherwise=_prefixes(environment),
        event_type=environment.get("ANTE_GATEWAY_EVENT_TYPE", "llm.completion"),
        output_tokens=_number(environment, "ANTE_GATEWAY_OUTPUT_TOKENS", 4096),
        steps_max=_number(environment, "ANTE_GATEWAY_STEPS_MAX", 0),
        cuts=cut == "on",
        tokenizer=_tokenizer(environment.get("ANTE_GATEWAY_TOKENIZER", "")),
    )


def _routes(environment: Mapping[str, str]) -> list[Route]:
    """``ANTE_GATEWAY_ROUTES``: ``[{"models": ["llama-*"], "url": "http://10.0.0.7:8000", "key": "VARIABLE"}]``."""
    try:
        return [
            Route(tuple(each["models"]), each["url"].rstrip("/"), _needed(environment, each["key"]))
            for each in json.loads(environment.get("ANTE_GATEWAY_ROUTES", "[]"))
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"ANTE_GATEWAY_ROUTES is not understood: {error!r}") from error


def _provider(environment: Mapping[str, str], name: str, url: str) -> Route:
    found = environment.get(f"{name}_BASE_URL") or url
    # The providers' own clients want a /v1 at the end here, or none: both are meant.
    return Route(("*",), found.rstrip("/").removesuffix("/v1"), environment.get(f"{name}_API_KEY", ""))


def _prefixes(environment: Mapping[str, str]) -> list[str]:
    """``ANTE_GATEWAY_FAIL_OTHERWISE``: how keys begin, as Ante shows them, with commas."""
    found = [each.strip().rstrip("…") for each in environment.get("ANTE_GATEWAY_FAIL_OTHERWISE", "").split(",")]
    if any(each and len(each) < PREFIX_MIN for each in found):
        raise Misconfigured(f"ANTE_GATEWAY_FAIL_OTHERWISE names keys by their first {PREFIX_MIN} characters or more.")
    return [each for each in found if each]


def _tokenizer(path: str) -> Tokenizer | None:
    """``ANTE_GATEWAY_TOKENIZER``: ``module:function``."""
    if not path:
        return None
    module, _, name = path.partition(":")
    try:
        return cast(Tokenizer, getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, ValueError) as error:
        raise Misconfigured(f"ANTE_GATEWAY_TOKENIZER is not found: {error}") from error


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise Misconfigured(f"{name} must be set.")
    return environment[name]


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit():
        raise Misconfigured(f"{name} must be a whole number.")
    return int(text)
