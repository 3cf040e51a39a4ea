"""A request that somebody else's server may drag out is over when it should be."""

import socket
import threading
from typing import Any

import pytest

from accounts import outgoing

PATIENCE_SECONDS = 60


def ask(url: str, seconds: float) -> outgoing.Answer:
    return outgoing.ask(url, headers={}, allowed=["127.0.0.0/8"], seconds=seconds, bytes_max=100)


def test_a_handshake_that_comes_a_byte_at_a_time_is_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "CONNECT_SECONDS", 3600.0)
    hung_up, over = threading.Event(), threading.Event()

    def drag_out(listening: socket.socket) -> None:
        connected, _ = listening.accept()
        with connected:
            try:
                connected.sendall(b"\x16\x03\x03\x3f\xff")  # A record of TLS, with 16 KB to come.
                while not over.wait(0.05):
                    connected.sendall(b"\x00")
            except OSError:
                hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drag_out, args=[listening], daemon=True).start()
        asking = threading.Thread(target=_fails, args=[f"https://127.0.0.1:{listening.getsockname()[1]}/"], daemon=True)
        asking.start()
        try:
            assert hung_up.wait(PATIENCE_SECONDS)
            asking.join(PATIENCE_SECONDS)
            assert not asking.is_alive()
        finally:
            over.set()


def test_a_resolver_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> Any:
        over.wait(PATIENCE_SECONDS)
        return []

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", look_up)

    with pytest.raises(outgoing.Failed, match="TimeoutError"):
        ask("https://slow.test/", 0.1)

    assert not over.is_set()
    over.set()


def _fails(url: str) -> None:
    with pytest.raises(outgoing.Failed):
        ask(url, 0.5)
