"""A stand-in for model providers, for tests and for the demonstration: it answers like OpenAI and Anthropic, and every
answer is known beforehand: as many tokens as asked for, of four characters each, or for each image the same dot.

``python -m ante_client.models --port 8090``. Nothing leaves the machine, and no model is asked.
"""

import argparse
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ante_client.providers import Asked, api_of

TOKENS = 120
"""How long an answer is where nothing else bounds it."""
REMEMBERED = 100
"""So many of the last requests."""
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
"""A PNG of one dark pixel, for every image."""
_WORDS = ("and ", "the ", "sun ", "was ", "low ", "now ", "far ", "sea ", "air ", "our ")


@dataclass
class Behaviour:
    """How it answers. ``silent``: usage is not reported; ``hidden``: so many tokens are reported beyond those that
    come; ``deaf``: nothing bounds an answer. After ``breaks_after`` tokens the connection is cut, after ``waits_after``
    the stream stands still until ``go`` is set."""

    tokens: int = TOKENS
    pause: float = 0.0
    cached: int = 0
    silent: bool = False
    hidden: int = 0
    deaf: bool = False
    breaks_after: int | None = None
    waits_after: int | None = None
    go: threading.Event = field(default_factory=threading.Event)
    status: int = 200
    sent: int = 0
    """Tokens that went out in the last stream."""
    bodies: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    keys: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behaviour: Behaviour

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        api = api_of(self.path.partition("?")[0])
        try:
            if api is None:
                raise ValueError("There is nothing here.")
            asked = Asked.read(api, content, output_tokens=self.behaviour.tokens)
        except ValueError as error:
            self._whole(400, {"error": {"message": str(error), "type": "invalid_request_error", "code": None}})
            return
        behaviour = self.behaviour
        behaviour.bodies.append(dict(asked.body))
        behaviour.keys.append(self.headers.get("x-api-key") or self.headers.get("authorization") or "")
        if behaviour.status != 200:
            self._whole(behaviour.status, {"error": {"message": "A fault, as asked for.", "type": "server_error"}})
            return
        bound = behaviour.tokens if behaviour.deaf else asked.output_tokens // asked.answers
        count = min(bound, behaviour.tokens)
        words = [_WORDS[number % len(_WORDS)] for number in range(count)]
        if asked.stream:
            self._stream(asked, words)
        else:
            self._whole(200, _ANSWERS[asked.api](asked, words, behaviour))

    def _whole(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, asked: Asked, words: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        behaviour = self.behaviour
        behaviour.sent = 0
        try:
            for message, is_token in _STREAMS[asked.api](asked, words, behaviour):
                if is_token and behaviour.sent == behaviour.breaks_after:
                    self.close_connection = True
                    return
                if is_token and behaviour.sent == behaviour.waits_after:
                    behaviour.go.wait()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(message), message))
                if is_token:
                    behaviour.sent += 1
                    time.sleep(behaviour.pause)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # Nobody listens any more.


def _chat_usage(asked: Asked, count: int, behaviour: Behaviour) -> dict[str, Any]:
    made = count + behaviour.hidden
    details = {"cached_tokens": behaviour.cached}
    usage = {"prompt_tokens": asked.input_tokens, "completion_tokens": made, "total_tokens": asked.input_tokens + made}
    return {**usage, "prompt_tokens_details": details}


def _chat(asked: Asked, words: list[str], behaviour: Behaviour) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(words)}
    choices = [{"index": n, "message": message, "finish_reason": "stop"} for n in range(asked.answers)]
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked.model, "choices": choices}
    usage = _chat_usage(asked, len(words) * asked.answers, behaviour)
    return body if behaviour.silent else body | {"usage": usage}


def _chat_stream(asked: Asked, words: list[str], behaviour: Behaviour) -> Iterator[tuple[bytes, bool]]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked.model}
    reports = bool((asked.body.get("stream_options") or {}).get("include_usage")) and not behaviour.silent
    more: dict[str, Any] = {"usage": None} if reports else {}
    for word in words:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield _event({**head, "choices": [choice], **more}), True
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **more}), False
    if reports:
        yield _event({**head, "choices": [], "usage": _chat_usage(asked, len(words), behaviour)}), False
    yield b"data: [DONE]\n\n", False


def _response(asked: Asked, words: list[str], behaviour: Behaviour) -> dict[str, Any]:
    text = {"type": "output_text", "text": "".join(words), "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    made = len(words) + behaviour.hidden
    usage = {
        "input_tokens": asked.input_tokens,
        "input_tokens_details": {"cached_tokens": behaviour.cached},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": behaviour.hidden},
        "total_tokens": asked.input_tokens + made,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": asked.model,
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None if behaviour.silent else usage,
    }


def _response_stream(asked: Asked, words: list[str], behaviour: Behaviour) -> Iterator[tuple[bytes, bool]]:
    whole = _response(asked, words, behaviour)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield _named({"type": "response.created", "sequence_number": 0, "response": begun}), False
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for number, word in enumerate(words, start=1):
        delta = {"type": "response.output_text.delta", "sequence_number": number, "delta": word, "logprobs": []}
        yield _named({**delta, **place}), True
    yield _named({"type": "response.completed", "sequence_number": len(words) + 1, "response": whole}), False


def _embeddings(asked: Asked, words: list[str], behaviour: Behaviour) -> dict[str, Any]:
    given = asked.body.get("input")
    count = len(given) if isinstance(given, list) else 1
    data = [{"object": "embedding", "index": n, "embedding": [0.0, 0.6, 0.8]} for n in range(count)]
    usage = {"prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens}
    return {"object": "list", "data": data, "model": asked.model, "usage": usage}


def _image(asked: Asked, words: list[str], behaviour: Behaviour) -> dict[str, Any]:
    data = [{"b64_json": IMAGE} for _ in range(asked.answers)]
    body = {"created": 1, "data": data, **_look(asked)}
    return body if behaviour.silent else body | {"usage": _image_usage(asked, len(words) * asked.answers)}


def _image_stream(asked: Asked, words: list[str], behaviour: Behaviour) -> Iterator[tuple[bytes, bool]]:
    """Of each image a first sight, and then all of it."""
    shown = {"b64_json": IMAGE, "created_at": 1, "background": "opaque", **_look(asked)}
    for _ in range(asked.answers):
        yield _named({"type": "image_generation.partial_image", "partial_image_index": 0, **shown}), False
        usage = {} if behaviour.silent else {"usage": _image_usage(asked, len(words))}
        yield _named({"type": "image_generation.completed", **shown, **usage}), True


def _look(asked: Asked) -> dict[str, Any]:
    """As it was made: a provider decides what the caller leaves open."""
    size, quality = (asked.body.get(name) or "auto" for name in ("size", "quality"))
    return {
        "size": "1024x1024" if size == "auto" else size,
        "quality": "medium" if quality == "auto" else quality,
        "output_format": "png",
    }


def _image_usage(asked: Asked, count: int) -> dict[str, Any]:
    details = {"text_tokens": asked.input_tokens, "image_tokens": 0}
    total = asked.input_tokens + count
    usage = {"input_tokens": asked.input_tokens, "output_tokens": count, "total_tokens": total}
    return {**usage, "input_tokens_details": details}


def _message_usage(asked: Asked, count: int, behaviour: Behaviour) -> dict[str, int]:
    return {
        "input_tokens": asked.input_tokens - behaviour.cached,
        "cache_read_input_tokens": behaviour.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": count + behaviour.hidden,
    }


def _message(asked: Asked, words: list[str], behaviour: Behaviour) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [{"type": "text", "text": "".join(words)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _message_usage(asked, len(words), behaviour),
    }


def _message_stream(asked: Asked, words: list[str], behaviour: Behaviour) -> Iterator[tuple[bytes, bool]]:
    begun = {**_message(asked, [], behaviour), "content": [], "stop_reason": None}
    yield _named({"type": "message_start", "message": begun}), False
    yield _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}), False
    for word in words:
        delta = {"type": "text_delta", "text": word}
        yield _named({"type": "content_block_delta", "index": 0, "delta": delta}), True
    yield _named({"type": "content_block_stop", "index": 0}), False
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    made = len(words) + behaviour.hidden
    yield _named({"type": "message_delta", "delta": ended, "usage": {"output_tokens": made}}), False
    yield _named({"type": "message_stop"}), False


def _event(body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _named(body: dict[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _event(body)


def _no_stream(asked: Asked, words: list[str], behaviour: Behaviour) -> Iterator[tuple[bytes, bool]]:
    return iter(())


_ANSWERS = {
    "chat": _chat,
    "responses": _response,
    "embeddings": _embeddings,
    "images": _image,
    "messages": _message,
}
_STREAMS = {
    "chat": _chat_stream,
    "responses": _response_stream,
    "images": _image_stream,
    "messages": _message_stream,
    "embeddings": _no_stream,
}


@dataclass
class Models:
    """A stand-in that answers at ``address``."""

    address: str
    behaviour: Behaviour
    server: ThreadingHTTPServer

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def serve(host: str = "127.0.0.1", port: int = 0, *, behaviour: Behaviour | None = None) -> Models:
    """Start answering, in threads of its own."""
    known = behaviour or Behaviour()
    server = ThreadingHTTPServer((host, port), type("Handler", (_Handler,), {"behaviour": known}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return Models(f"http://{host}:{server.server_port}", known, server)


def main() -> None:
    parser = argparse.ArgumentParser(prog="ante_client.models", description="A stand-in for model providers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two tokens (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="the longest answer (default: %(default)s)")
    options = parser.parse_args()
    serve(options.host, options.port, behaviour=Behaviour(pause=options.pause, tokens=options.tokens))
    threading.Event().wait()


if __name__ == "__main__":
    main()
