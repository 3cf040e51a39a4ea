"""What the calls of model providers ask for: OpenAI's chat completions, responses, embeddings and images, and
Anthropic's messages. Until the provider says what was used, tokens are counted at four characters each, which is the
usual rule of thumb and no more than that; those of a prompt by a tokenizer, where there is one.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

logger = logging.getLogger("ante_client")

Tokenizer = Callable[[str, str], int]
"""How many tokens a text is to a model: called with the model's name and the text."""

Api = Literal["chat", "responses", "embeddings", "images", "messages"]

CHARACTERS_A_TOKEN = 4
OUTPUT_TOKENS = 4096
"""What is set aside for an answer whose length the caller does not bound."""
MEDIA_TOKENS = 1000
"""What an image or a file in a prompt counts until the provider says."""
IMAGE_TOKENS = 6240
"""What is set aside for an image to be made, where tokens are priced: a large one of high quality takes so many."""
IMAGE_EVENT_TYPE = "image.generation"

_PATHS: Mapping[str, Api] = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/images/generations": "images",
    "/messages": "messages",
}
_LIMITS: Mapping[Api, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "embeddings": (),
    "images": (),
}
"""The fields that bound an answer. The first is the one to set where none is."""
_MADE: Mapping[Api, int] = {"embeddings": 0, "images": IMAGE_TOKENS}
"""How many output tokens each answer takes where the caller cannot bound it."""


def api_of(path: str) -> Api | None:
    """Which call a path is, whatever stands before it; None for one that is not metered."""
    return next((api for end, api in _PATHS.items() if path.endswith(end)), None)


def tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_A_TOKEN)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. ``output_tokens`` is the most that all its answers may have together."""

    api: Api
    model: str
    stream: bool
    input_tokens: int
    output_tokens: int
    answers: int
    limited: bool
    body: Mapping[str, Any]
    content: bytes

    @classmethod
    def read(
        cls, api: Api, content: bytes, *, output_tokens: int = OUTPUT_TOKENS, tokenizer: Tokenizer | None = None
    ) -> "Asked":
        """Raises ``ValueError`` for what no provider would take either."""
        body = json.loads(content)
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise ValueError("The body must be a JSON object that names a model.")
        answers = 1 if api not in {"chat", "images"} or body.get("n") is None else body["n"]
        if not isinstance(answers, int) or isinstance(answers, bool) or not 0 < answers <= 128:
            raise ValueError("n must be a whole number from 1 to 128.")
        limit = next((body[name] for name in _LIMITS[api] if body.get(name) is not None), None)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise ValueError(f"{_LIMITS[api][0]} must be a whole number above zero.")
        each = _MADE.get(api, limit or output_tokens)
        prompt = {name: body[name] for name in _PROMPT if name in body}
        return cls(
            api=api,
            model=body["model"],
            stream=body.get("stream") is True,
            input_tokens=_count(prompt, body["model"], tokenizer),
            output_tokens=each * answers,
            answers=answers,
            limited=limit is not None,
            body=body,
            content=content,
        )

    @property
    def boundable(self) -> bool:
        """Whether an answer to it may be made shorter."""
        return bool(_LIMITS[self.api])

    @property
    def hides_usage(self) -> bool:
        """Whether the stream would end without saying what was used."""
        options = self.body.get("stream_options")
        return self.api == "chat" and self.stream and not (isinstance(options, dict) and options.get("include_usage"))

    def announced(self, output_tokens: int) -> dict[str, Any]:
        """The figures of an authorization for such an answer, under all the names that meters know them by."""
        usage: dict[str, Any]
        if self.api in {"chat", "embeddings"}:
            usage = {"prompt_tokens": self.input_tokens, "completion_tokens": output_tokens}
        else:
            usage = {"input_tokens": self.input_tokens, "output_tokens": output_tokens}
        counted = {"input_tokens": self.input_tokens, "cached_input_tokens": 0, "output_tokens": output_tokens}
        return {**counted, "usage": usage, **self.pictured(self.answers, {})}

    def event_type(self, texts: str) -> str:
        """The type of its event, where that of calls which answer in words is ``texts``."""
        return IMAGE_EVENT_TYPE if self.api == "images" else texts

    def pictured(self, count: int, answer: Mapping[str, Any]) -> dict[str, Any]:
        """What meters and prices know images by: how many, and the size and quality that the provider says, or that
        were asked for, or ``auto``. Nothing for other calls."""
        if self.api != "images":
            return {}
        said = {
            name: next((found[name] for found in (answer, self.body) if isinstance(found.get(name), str)), "auto")
            for name in ("size", "quality")
        }
        return {"n": count, "images": count, **said}

    def bounded(self, output_tokens: int | None) -> bytes:
        """The body to send on: with at most ``output_tokens`` in all, and such that the stream says what was used.

        The very bytes that came, where there is nothing to change.
        """
        changed = dict(self.body)
        if output_tokens is not None and self.boundable:
            each = max(1, output_tokens // self.answers)
            name = next((name for name in _LIMITS[self.api] if self.body.get(name) is not None), _LIMITS[self.api][0])
            changed[name] = min(each, self.body.get(name) or each)
        if self.hides_usage:
            changed["stream_options"] = {**(changed.get("stream_options") or {}), "include_usage": True}
        return self.content if changed == self.body else json.dumps(changed, separators=(",", ":")).encode()


_PROMPT = ("messages", "system", "input", "instructions", "prompt", "tools")


def _count(prompt: Any, model: str, tokenizer: Tokenizer | None) -> int:
    """Tokens of a prompt: its texts; an image or a file is so much."""
    texts, media = _parts(prompt)
    if tokenizer is not None:
        try:
            return tokenizer(model, "\n".join(texts)) + media * MEDIA_TOKENS
        except Exception:
            # The call is not to fail for it: the provider will say what it was.
            logger.exception("The tokenizer failed for %s", model)
    return tokens(sum(map(len, texts))) + media * MEDIA_TOKENS


def _parts(prompt: Any) -> tuple[list[str], int]:
    """Its texts, and how many images and files it has."""
    texts: list[str] = []
    media = 0
    waiting = [prompt]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if found.startswith("data:"):
                media += 1
            else:
                texts.append(found)
        elif isinstance(found, dict):
            if found.get("type") in {
                "image_url",
                "input_image",
                "image",
                "input_audio",
                "file",
                "input_file",
                "document",
            }:
                media += 1
            else:
                waiting.extend(member for key, member in found.items() if key not in {"role", "type", "id"})
        elif isinstance(found, list):
            waiting.extend(found)
    return texts, media
