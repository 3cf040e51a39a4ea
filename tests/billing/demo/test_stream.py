"""The live stream: polite to a server that is starting, exact in what it sends, and gone when asked to go."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from billing.demo.customers import CUSTOMERS
from billing.management.commands import demo_traffic
from billing.management.commands.demo_traffic import Client, Stream, low

Reply = tuple[int, dict[str, Any]]


class Server:
    """Answers with ``reply(path, body)`` and remembers what came."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.reply: Callable[[str, dict[str, Any]], Reply] = lambda path, body: (201, {"balance": {"usd": "50"}})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, body, dict(self.headers)))
                status, answer = outer.reply(self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def stream(server: Server, monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setattr(demo_traffic, "PATIENCE_SECONDS", (0.01,))
    monkeypatch.setattr(demo_traffic, "PAUSE_SECONDS", (0.01, 0.02))
    return Stream(Client(server.url, "sk_test_x"), threading.Event(), say=lambda line: None)


def test_an_event_is_sent_as_the_contract_says(server: Server, stream: Stream):
    stream.send(CUSTOMERS[0])
    [(path, body, headers)] = server.requests
    assert path == "/api/v1/events"
    assert headers["Authorization"] == "Bearer sk_test_x"
    assert (body["specversion"], body["subject"], body["source"]) == ("1.0", "acme", "gateway")
    assert body["type"]
    assert body["data"]


def test_while_the_server_starts_the_same_event_is_tried_again(server: Server, stream: Stream):
    server.reply = lambda path, body: (503, {}) if len(server.requests) < 4 else (201, {"balance": {}})
    stream.send(CUSTOMERS[0])
    assert len(server.requests) == 4
    assert len({body["id"] for _, body, _ in server.requests}) == 1


def test_whoever_runs_low_is_topped_up_once(server: Server, stream: Stream):
    server.reply = lambda path, body: (201, {"balance": {"usd": "0.40"}} if path.endswith("/events") else {})
    stream.send(CUSTOMERS[0])
    path, body, headers = server.requests[1]
    assert path == "/api/v1/customers/acme/grants"
    assert (body["asset"], body["kind"], body["paid"]["currency"]) == ("usd", "purchase", "usd")
    assert headers["Idempotency-Key"].startswith("demo-")
    assert len(server.requests) == 2


def test_a_refusal_for_funds_is_answered_with_a_top_up(server: Server, stream: Stream):
    server.reply = lambda path, body: (402, {"asset": "image_credits"}) if path.endswith("/events") else (201, {})
    stream.send(CUSTOMERS[2])
    assert [path for path, _, _ in server.requests] == ["/api/v1/events", "/api/v1/customers/example-labs/grants"]
    assert server.requests[1][1]["asset"] == "image_credits"


def test_it_stops_at_once_even_while_nobody_answers(stream: Stream, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_traffic, "PATIENCE_SECONDS", (30.0,))
    stream.client = Client("http://127.0.0.1:9", "sk_test_x")
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    time.sleep(0.1)
    stream.stop.set()
    thread.join(timeout=2)
    assert not thread.is_alive()


def test_what_is_low():
    assert low({"usd": "4.99", "image_credits": "100", "other": "0"}) == [("usd", "4.99")]
    assert low({"usd": "nonsense"}) == []
