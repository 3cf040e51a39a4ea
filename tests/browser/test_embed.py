"""What a signed link shows in a frame on a page of somebody else's, which the server allows at localhost alone."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote, unquote, urlsplit

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from accounts.models import ApiKey, User
from accounts.services import api_keys
from billing.models import Customer
from tests.billing.api.conftest import Api
from tests.builders import Shop

EVERY_MS = 10_000
"""How often such a page asks for itself again."""


class _Frame(BaseHTTPRequestHandler):
    """A page with nothing in it but a frame of what its address names."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f'<iframe src="{unquote(urlsplit(self.path).query)}"></iframe>'.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where somebody else's pages are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Frame)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def operator(committed_db: None, shop: Shop, owner: User) -> Api:
    return Api(shop.key("wallets:read", "events:read"))


def framed(page: Page, host: str, site: str, operator: Api, view: str) -> FrameLocator:
    """A new link of this kind in a frame on a page of that host."""
    link = operator.post("/customers/acme/embeds", {"view": view}).json()["url"]
    page.goto(f"http://{host}/?{quote(site + urlsplit(link).path)}")
    return page.frame_locator("iframe")


def test_another_sites_page_shows_balance_and_usage_as_they_are_now(
    operator: Api, page: Page, site: str, port: int, shop: Shop
) -> None:
    page.clock.install()
    usage = framed(page, f"localhost:{port}", site, operator, "usage")
    expect(usage.get_by_role("heading", name="Usage")).to_be_visible()
    expect(usage.locator("canvas").first).to_be_visible()
    balance = framed(page, f"localhost:{port}", site, operator, "balance")
    figure = balance.locator('[data-figure="usd.available"]')
    before = figure.get_attribute("value")

    shop.record(Customer.objects.get(external_id="acme"), output_tokens=1_000_000)
    page.clock.run_for(EVERY_MS + 500)
    expect(figure).not_to_have_attribute("value", str(before))

    api_keys.pause([ApiKey.objects.get().pk], reason="looked at")
    page.clock.run_for(EVERY_MS + 500)
    expect(balance.get_by_text("This link has ended")).to_be_visible()
    expect(figure).to_have_count(0)


def test_a_site_that_is_not_named_shows_nothing(operator: Api, page: Page, site: str, port: int) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    refused = framed(page, f"127.0.0.1:{port}", site, operator, "balance")
    expect(refused.locator("[data-figure]")).to_have_count(0)
    assert any("frame-ancestors" in each for each in said)
