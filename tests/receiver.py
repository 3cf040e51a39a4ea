"""Somebody who is told: a web server that notes what arrives, and fails, hangs or talks for ever when asked to."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrived:
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """With TLS where ``tls`` is what it shows.

    ``answers`` is what is answered next, one after the other, and 200 when there are none left.

    ``refuses`` is a part of the id of a message that is always answered with 400.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.arrived: list[Arrived] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.failing = False
        self.refuses: str | None = None
        self.hanging = False
        self.drip = False
        self.drip_ended = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.arrived.append(Arrived(self.path, dict(self.headers.items()), body))
                if receiver.hanging:
                    time.sleep(2)
                if receiver.drip:
                    return receiver._drip(self)
                status, headers = (500, {}) if receiver.failing else (200, {})
                if receiver.refuses and receiver.refuses in self.headers["webhook-id"]:
                    status = 400
                if receiver.answers:
                    status, headers = receiver.answers.pop(0)
                self.send_response(status)
                for name, value in {"Content-Length": "2", "Connection": "close", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                """Not on the terminal."""

        self._handler = Handler
        self._port, self._tls = 0, tls
        self.start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._port}/hooks"

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(600):
                handler.wfile.write(b".")
                time.sleep(0.1)
        except OSError:
            pass
        self.drip_ended.set()

    def start(self) -> None:
        """Listen, after ``close`` on the same port again."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._server.daemon_threads = True
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    found = Receiver(tls)
    try:
        yield found
    finally:
        found.close()
