"""What the calls of model providers ask for and report: OpenAI's chat completions, responses and embeddings, and
Anthropic's messages, whole and streamed. Works on the bytes that pass by and changes none of them.

Where a provider reports usage, that is what counts. Where it does not, for it was cut off or never says, tokens are
counted here at four characters each, which is the usual rule of thumb and no more than that.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Api = Literal["chat", "responses", "embeddings", "messages"]

CHARACTERS_A_TOKEN = 4
OUTPUT_TOKENS = 4096
"""What is set aside for an answer whose length the caller does not bound."""
MEDIA_TOKENS = 1000
"""What an image or a file in a prompt counts until the provider says."""

_PATHS: Mapping[str, Api] = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/messages": "messages",
}
_LIMITS: Mapping[Api, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "embeddings": (),
}
"""The fields that bound an answer. The first is the one to set where none is."""


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
    def read(cls, api: Api, content: bytes, *, output_tokens: int = OUTPUT_TOKENS) -> "Asked":
        """Raises ``ValueError`` for what no provider would take either."""
        body = json.loads(content)
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise ValueError("The body must be a JSON object that names a model.")
        answers = body.get("n", 1) if api == "chat" else 1
        if not isinstance(answers, int) or isinstance(answers, bool) or not 0 < answers <= 128:
            raise ValueError("n must be a whole number from 1 to 128.")
        limit = next((body[name] for name in _LIMITS[api] if body.get(name) is not None), None)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise ValueError(f"{_LIMITS[api][0]} must be a whole number above zero.")
        each = 0 if api == "embeddings" else (limit or output_tokens)
        prompt = {name: body[name] for name in _PROMPT if name in body}
        return cls(
            api=api,
            model=body["model"],
            stream=body.get("stream") is True,
            input_tokens=_count(prompt),
            output_tokens=each * answers,
            answers=answers,
            limited=limit is not None,
            body=body,
            content=content,
        )

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
        return {**counted, "usage": usage}

    def bounded(self, output_tokens: int | None) -> bytes:
        """The body to send on: with at most ``output_tokens`` in all, and such that the stream says what was used.

        The very bytes that came, where there is nothing to change.
        """
        changed = dict(self.body)
        if output_tokens is not None and _LIMITS[self.api]:
            each = max(1, output_tokens // self.answers)
            name = next((name for name in _LIMITS[self.api] if self.body.get(name) is not None), _LIMITS[self.api][0])
            changed[name] = min(each, self.body.get(name) or each)
        if self.hides_usage:
            changed["stream_options"] = {**(changed.get("stream_options") or {}), "include_usage": True}
        return self.content if changed == self.body else json.dumps(changed, separators=(",", ":")).encode()


class Reported:
    """What an answer says, read while it passes. ``feed`` gives the bytes that go on: the very same, except for the one
    message that is there only because we asked for it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._rest = b""
        self._whole = bytearray()
        self.model = asked.model
        self.usage: dict[str, Any] = {}
        self.complete = False
        """Whether the provider has said the last word on what was used."""
        self.ended = False
        """Whether the answer came to its own end."""
        self._characters = 0

    def feed(self, chunk: bytes) -> bytes:
        if not self._asked.stream:
            self._whole += chunk
            return chunk
        *messages, self._rest = _messages(self._rest + chunk)
        kept = [message for message in messages if self._read(message)]
        if not self._asked.hides_usage:
            return chunk
        # What else comes only because we asked: in each message, that there is no usage yet.
        return b"".join(_NO_USAGE.sub(b"", message, count=1) for message in kept)

    def end(self) -> bytes:
        """The answer has ended. What was kept back because it might have become a message goes on now."""
        if not self._asked.stream:
            found = _json(bytes(self._whole))
            self.ended = bool(found)
            self._take(found)
            self._characters += _characters(found.get("choices") or found.get("output") or found.get("content"))
            return b""
        rest, self._rest = self._rest, b""
        return rest if self._asked.hides_usage else b""

    def data(self) -> dict[str, Any]:
        """The data of the event. ``usage`` is the provider's own, as it came."""
        counted = tokens(self._characters)
        figures = _normal(self.usage)
        found: dict[str, Any] = {
            "model": self.model,
            "input_tokens": figures.get("input_tokens", self._asked.input_tokens),
            "cached_input_tokens": figures.get("cached_input_tokens", 0),
            "output_tokens": figures.get("output_tokens", 0) if self.complete else counted,
            "usage_source": "provider" if self.complete else "counted",
        }
        if figures.get("cache_write_tokens"):
            found["cache_write_tokens"] = figures["cache_write_tokens"]
        if self.complete and counted != found["output_tokens"]:
            found["counted_output_tokens"] = counted
        if self.complete:
            found["usage"] = self.usage
        else:
            found["usage"] = _partial(self._asked.api, self.usage, found)
        return found

    def _read(self, message: bytes) -> bool:
        """Take in one message; False where it is not to go on."""
        shown = True
        for line in message.splitlines():
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if text == b"[DONE]":
                self.ended = True
                continue
            found = _json(text)
            if self._asked.hides_usage and found.get("usage") and found.get("choices") == []:
                shown = False
            self._take(found)
        return shown

    def _take(self, found: Mapping[str, Any]) -> None:
        kind = found.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            if kind.endswith(".delta") and isinstance(found.get("delta"), str):
                self._characters += len(found["delta"])
            self.ended = self.ended or kind in {"response.completed", "response.incomplete"}
            found = found.get("response") or {}
        elif kind == "message_start":
            self._note(found.get("message") or {}, last=False)
            return
        elif kind == "content_block_delta":
            self._characters += _characters(found.get("delta"))
            return
        elif kind == "message_delta":
            self._note(found, last=True)
            return
        elif kind == "message_stop":
            self.ended = True
            return
        elif self._asked.stream:
            for choice in found.get("choices") or ():
                self._characters += _characters(choice.get("delta") if isinstance(choice, dict) else None)
        self._note(found, last=True)

    def _note(self, found: Mapping[str, Any], *, last: bool) -> None:
        if isinstance(found.get("model"), str):
            self.model = found["model"]
        usage = found.get("usage")
        if isinstance(usage, dict) and usage:
            self.usage |= {name: value for name, value in usage.items() if value is not None}
            self.complete = self.complete or last


_PROMPT = ("messages", "system", "input", "instructions", "prompt", "tools")
_TEXTS = {"content", "text", "refusal", "reasoning", "reasoning_content", "thinking", "partial_json", "arguments"}


_NO_USAGE = re.compile(rb', ?"usage": ?null(?=[,}])')
"""Never part of a text: its quotation marks would have backslashes before them."""


def _messages(received: bytes) -> list[bytes]:
    """Server-sent events, each with the empty line that ends it; what follows the last of them comes last."""
    found: list[bytes] = []
    start = 0
    while True:
        ends = [end + len(mark) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (end := received.find(mark, start)) >= 0]
        if not ends:
            return [*found, received[start:]]
        found.append(received[start : min(ends)])
        start = min(ends)


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _characters(value: Any) -> int:
    """All text of an answer or a part of one."""
    return sum(len(text) for text in _texts(value))


def _texts(value: Any, name: str = "content") -> Iterator[str]:
    if isinstance(value, str):
        if name in _TEXTS:
            yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member, name)


def _count(value: Any) -> int:
    """Tokens of a prompt: its texts; an image or a file is so much."""
    characters = media = 0
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if found.startswith("data:"):
                media += 1
            else:
                characters += len(found)
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
    return tokens(characters) + media * MEDIA_TOKENS


def _normal(usage: Mapping[str, Any]) -> dict[str, int]:
    """One form for all providers: ``input_tokens`` with the cached ones, ``output_tokens`` with the reasoning."""
    found: dict[str, int] = {}
    if "prompt_tokens" in usage:
        found["input_tokens"] = _whole(usage["prompt_tokens"])
        found["cached_input_tokens"] = _detail(usage, "prompt_tokens_details", "cached_tokens")
        found["output_tokens"] = _whole(usage.get("completion_tokens"))
    elif "input_tokens" in usage:
        read, written = _whole(usage.get("cache_read_input_tokens")), _whole(usage.get("cache_creation_input_tokens"))
        found["input_tokens"] = _whole(usage["input_tokens"]) + read + written
        found["cached_input_tokens"] = read or _detail(usage, "input_tokens_details", "cached_tokens")
        found["cache_write_tokens"] = written
        found["output_tokens"] = _whole(usage.get("output_tokens"))
    return found


def _partial(api: Api, usage: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What the provider would have said, as far as it is known: meters may count its own names."""
    if api in {"chat", "embeddings"}:
        known = {"prompt_tokens": found["input_tokens"], "completion_tokens": found["output_tokens"]}
    else:
        known = {"input_tokens": found["input_tokens"], "output_tokens": found["output_tokens"]}
    return {
        **known,
        **usage,
        "output_tokens" if "output_tokens" in known else "completion_tokens": found["output_tokens"],
    }


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return _whole(details.get(name)) if isinstance(details, dict) else 0


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
