"""The stand-in over HTTP: requests are read here, and answers written."""

import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from billing.standin import faults
from billing.standin.desk import Desk
from billing.standin.rules import Rules
from billing.standin.store import Store, Thing
from billing.standin.webhooks import Webhooks

BODY_MAX = 1 << 20
HANG_SECONDS = 60.0


@dataclass(slots=True)
class Running:
    """A stand-in that answers. ``rules`` and ``webhooks`` are for tests in the same process."""

    base: str
    rules: Rules
    webhooks: Webhooks
    script: faults.Script
    _server: ThreadingHTTPServer
    _released: threading.Event

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self.webhooks.stop()
        self.rules.store.close()


def serve(file: Path | str, *, webhook: str, key: str, secret: str, host: str = "127.0.0.1", port: int = 0) -> Running:
    """Start answering, in threads of its own, and sending events to ``webhook``."""
    if "_live_" in key:
        raise SystemExit("The stand-in takes no live key.")
    store = Store(file)
    webhooks = Webhooks(store, url=webhook, secret=secret)
    script = faults.Script()
    released = threading.Event()
    address = ""
    rules = Rules(store, tell=webhooks.tell, base=lambda: address)

    class Handler(_Handler):
        desk = Desk(rules, webhooks, script, key)
        hang = released

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    shown = {"0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104
    address = f"http://{shown}:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    webhooks.start()
    return Running(address, rules, webhooks, script, server, released)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers; whatever is decided is the desk's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    desk: Desk
    hang: threading.Event

    def do_GET(self) -> None:
        self._handle("GET")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def do_POST(self) -> None:
        self._handle("POST")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self, method: str) -> None:
        where = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            self._write(413, b"", "text/plain")
            return
        raw = self.rfile.read(length).decode()
        is_json = "json" in (self.headers.get("Content-Type") or "")
        asked = (
            json.loads(raw)
            if is_json and raw
            else nested(urllib.parse.parse_qsl(where.query) + urllib.parse.parse_qsl(raw, keep_blank_values=True))
        )
        if where.path.startswith("/v1/"):
            self._api(method, where.path, asked, raw)
        elif where.path.startswith("/_control/"):
            status, body = self.desk.control(where.path, asked)
            if "html" in (self.headers.get("Accept") or ""):
                self._write(303, b"", "text/html", {"Location": "/"})
            else:
                self._write(status, json.dumps(body).encode(), "application/json")
        else:
            status, text = self.desk.visit(method, where.path, asked)
            if status == 303:
                self._write(303, b"", "text/html", {"Location": text})
            else:
                self._write(status, text.encode(), "text/html; charset=utf-8")

    def _api(self, method: str, path: str, asked: Thing, raw: str) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.desk.key}":
            self._json(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided."}})
            return
        fault = self.desk.script.next_for(f"{method} {path}")
        if fault == "busy":
            self._json(429, {"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many."}})
            return
        if fault.endswith("_before"):
            self._break(fault)
            return
        key = self.headers.get("Idempotency-Key") if method == "POST" else None
        status, body = self.desk.answer(method, path, asked, raw, key)
        if fault.endswith("_after"):
            self._break(fault)
        elif fault == "truncated":
            text = json.dumps(body).encode()
            self._write(status, text[: len(text) // 2], "application/json")
        else:
            self._json(status, body)

    def _break(self, fault: str) -> None:
        if fault.startswith("timeout"):
            self.hang.wait(HANG_SECONDS)
        if fault.startswith("error"):
            self._json(500, {"error": {"type": "api_error", "message": "Something is wrong at the stand-in."}})
            return
        # A reset rather than an end: what a broken connection looks like.
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with suppress(OSError):
            self.connection.close()

    def _json(self, status: int, body: Thing) -> None:
        self._write(status, json.dumps(body).encode(), "application/json")

    def _write(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Request-Id", f"req_{time.monotonic_ns():x}")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


def nested(pairs: list[tuple[str, str]]) -> Thing:
    """``a[b][0]=c`` as ``{"a": {"b": ["c"]}}``."""
    made: Thing = {}
    for name, value in pairs:
        path = re.findall(r"[^\[\]]+", name)
        if not path:
            continue
        inside = made
        for part in path[:-1]:
            inside = inside.setdefault(part, {})
        inside[path[-1]] = value
    fixed: Thing = _lists(made)
    return fixed


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fixed = {name: _lists(member) for name, member in value.items()}
    if fixed and all(name.isdigit() for name in fixed):
        return [fixed[name] for name in sorted(fixed, key=int)]
    return fixed
