"""What the answers of model providers report, whole and streamed. Works on the bytes that pass by and changes none.

Where a provider reports usage, that is what counts. Where it does not, for it was cut off or never says, tokens are
counted here by their characters, and images one by one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ante_client.endings import ENDINGS
from ante_client.providers import Api, Asked, tokens


class Reported:
    """What an answer says, read while it passes. ``feed`` gives the bytes that go on: the very same, except for the one
    message that is there only because we asked for it.

    With a ``limit``, no more output tokens go on than that, by the count made here, until it is raised: ``short`` says
    that something waits for it, and ``cut`` ends the stream without that.
    """

    def __init__(self, asked: Asked, *, limit: int | None = None) -> None:
        self._asked = asked
        self.limit = limit
        self.short = False
        self._ending = None if limit is None else ENDINGS[asked.api](asked)
        self._cut = False
        self._rest = b""
        self._body = bytearray()
        self.model = asked.model
        self.usage: dict[str, Any] = {}
        self.complete = False
        """Whether the provider has said the last word on what was used."""
        self._characters = 0
        self._images = 0
        self._said: Mapping[str, Any] = {}
        """What the provider said last of its images."""

    def feed(self, chunk: bytes) -> bytes:
        if not self._asked.stream:
            self._body += chunk
            return chunk
        *messages, self._rest = _messages(self._rest + chunk)
        kept = []
        self.short = False
        for place, message in enumerate(messages):
            said = _said(message)
            if self._is_beyond(said):
                self.short = True
                self._rest = b"".join([*messages[place:], self._rest])
                break
            if self._read(said):
                kept.append(message)
        if not self._asked.hides_usage:
            return chunk if self._ending is None else b"".join(kept)
        # What else comes only because we asked: in each message, that there is no usage yet.
        return b"".join(_NO_USAGE.sub(b"", message, count=1) for message in kept)

    def end(self) -> bytes:
        """The answer has ended. What was kept back because it might have become a message goes on now."""
        if not self._asked.stream:
            found = _json(bytes(self._body))
            self._take(found)
            self._characters += _characters(found.get("choices") or found.get("output") or found.get("content"))
            if self._asked.api == "images" and isinstance(found.get("data"), list):
                self._images, self._said = len(found["data"]), found
            return b""
        rest, self._rest = self._rest, b""
        return rest if self._asked.hides_usage or self._ending is not None else b""

    def cut(self) -> bytes:
        """End the stream here: its last messages, in due form."""
        assert self._ending is not None
        self._rest, self._cut = b"", True
        data = self.data()
        return self._ending.messages(data["input_tokens"], data["output_tokens"])

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
        if self.complete and counted != found["output_tokens"] and self._asked.api != "images":
            found["counted_output_tokens"] = counted
        if self.complete:
            found["usage"] = self.usage
        else:
            found["usage"] = _partial(self._asked.api, self.usage, found)
        if self._cut:
            found["cut"] = True
        return found | self._asked.pictured(self._images, self._said)

    def _is_beyond(self, said: list[dict[str, Any]]) -> bool:
        return self.limit is not None and tokens(self._characters + sum(map(_streamed, said))) > self.limit

    def _read(self, said: list[dict[str, Any]]) -> bool:
        """Take in one message; False where it is not to go on."""
        shown = True
        for found in said:
            if self._ending is not None:
                self._ending.note(found)
            self._characters += _streamed(found)
            if self._asked.hides_usage and found.get("usage") and found.get("choices") == []:
                shown = False
            self._take(found)
        return shown

    def _take(self, found: Mapping[str, Any]) -> None:
        kind = found.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            found = found.get("response") or {}
        elif kind == "message_start":
            self._note(found.get("message") or {}, last=False)
            return
        elif kind == "image_generation.completed":
            self._images, self._said = self._images + 1, found
            found = {**found, "usage": _added(self.usage, found.get("usage") or {})}
        self._note(found, last=True)

    def _note(self, found: Mapping[str, Any], *, last: bool) -> None:
        if isinstance(found.get("model"), str):
            self.model = found["model"]
        usage = found.get("usage")
        if isinstance(usage, dict) and usage:
            self.usage |= {name: value for name, value in usage.items() if value is not None}
            self.complete = self.complete or last


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


def _said(message: bytes) -> list[dict[str, Any]]:
    """The data of a message, line by line."""
    return [_json(line[5:]) for line in message.splitlines() if line.startswith(b"data:")]


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _characters(value: Any) -> int:
    """All text of an answer or a part of one."""
    return sum(len(text) for text in _texts(value))


def _streamed(found: Mapping[str, Any]) -> int:
    """The characters of a part of a stream."""
    kind, delta = found.get("type"), found.get("delta")
    if isinstance(kind, str) and kind.startswith("response."):
        return len(delta) if kind.endswith(".delta") and isinstance(delta, str) else 0
    if kind == "content_block_delta":
        return _characters(delta)
    choices = found.get("choices") or ()
    return sum(_characters(choice.get("delta")) for choice in choices if isinstance(choice, dict))


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


def _added(before: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """Usage of one more image: each reports its own."""
    found = dict(before)
    for name, value in usage.items():
        known = before.get(name)
        if isinstance(value, dict):
            found[name] = _added(known if isinstance(known, dict) else {}, value)
        else:
            found[name] = _whole(known) + _whole(value)
    return found


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return _whole(details.get(name)) if isinstance(details, dict) else 0


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
