"""A server that is asked to stop stops, though streams are open. Needs no browser."""

import time
import urllib.request
from pathlib import Path

import pytest
from django.test import Client

from tests.browser.server import serving
from tests.builders import Shop


@pytest.mark.slow
def test_open_streams_end_when_the_server_is_asked_to_stop(committed_db: None, shop: Shop, tmp_path: Path) -> None:
    client = Client()
    client.force_login(shop.member(shop.customer("acme", usd="10")))
    cookie = client.cookies.output(header="", sep=";").split(";")[0].strip()
    with serving(tmp_path, static_files=False) as server:
        request = urllib.request.Request(f"{server.address}/live/balance", headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=10) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert stream.readline() == b"retry: 2000\n"
            asked = time.monotonic()
            server.process.terminate()
            stream.read()  # To its proper end: a connection that was cut would raise.
        server.process.wait(5)
        assert time.monotonic() - asked < 3
