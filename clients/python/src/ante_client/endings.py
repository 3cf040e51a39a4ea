"""How a stream ends in due form before its provider ends it: as one that has reached its greatest length does."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from ante_client.providers import Api, Asked


class Ending(Protocol):
    """Of one stream. ``note`` takes what goes on of it, message by message."""

    def __init__(self, asked: Asked) -> None: ...

    def note(self, found: Mapping[str, Any]) -> None: ...

    def messages(self, input_tokens: int, output_tokens: int) -> bytes:
        """The last ones, which tell this usage where the protocol tells any."""


class _Chat:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": asked.model}
        self._finished: set[int] = set()

    def note(self, found: Mapping[str, Any]) -> None:
        self._head |= {name: found[name] for name in self._head if name in found}
        for choice in found.get("choices") or ():
            if isinstance(choice, dict) and choice.get("finish_reason"):
                self._finished.add(choice.get("index", 0))

    def messages(self, input_tokens: int, output_tokens: int) -> bytes:
        left = (number for number in range(self._asked.answers) if number not in self._finished)
        choices = [{"index": number, "delta": {}, "finish_reason": "length"} for number in left]
        last = _message({**self._head, "choices": choices})
        if not self._asked.hides_usage:
            usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
            usage["total_tokens"] = input_tokens + output_tokens
            last += _message({**self._head, "choices": [], "usage": usage})
        return last + b"data: [DONE]\n\n"


class _Responses:
    def __init__(self, asked: Asked) -> None:
        self._response: dict[str, Any] = {"object": "response", "model": asked.model}
        self._number = -1
        self._texts: dict[str, list[str]] = {}

    def note(self, found: Mapping[str, Any]) -> None:
        self._number = found.get("sequence_number", self._number)
        self._response |= found.get("response") or {}
        if found.get("type") == "response.output_text.delta":
            self._texts.setdefault(str(found.get("item_id")), []).append(found["delta"])

    def messages(self, input_tokens: int, output_tokens: int) -> bytes:
        common = {"type": "message", "role": "assistant", "status": "incomplete"}
        output = [
            {"id": id, **common, "content": [{"type": "output_text", "text": "".join(text), "annotations": []}]}
            for id, text in self._texts.items()
        ]
        usage = {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        }
        why = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        response = {**self._response, **why, "output": output, "usage": usage}
        return _named({"type": "response.incomplete", "sequence_number": self._number + 1, "response": response})


class _Messages:
    def __init__(self, asked: Asked) -> None:
        self._open: set[int] = set()

    def note(self, found: Mapping[str, Any]) -> None:
        if found.get("type") == "content_block_start":
            self._open.add(found["index"])
        elif found.get("type") == "content_block_stop":
            self._open.discard(found["index"])

    def messages(self, input_tokens: int, output_tokens: int) -> bytes:
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        return b"".join(
            [
                *(_named({"type": "content_block_stop", "index": index}) for index in sorted(self._open)),
                _named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}}),
                _named({"type": "message_stop"}),
            ]
        )


ENDINGS: Mapping[Api, type[Ending]] = {"chat": _Chat, "responses": _Responses, "messages": _Messages}


def _message(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _named(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _message(body)
