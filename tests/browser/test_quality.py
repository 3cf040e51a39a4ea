"""What every page of the portal owes to whoever reads it: it fits, stands still, is light, complains of nothing, and
shows at once what it is about."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.urls import Resolver404, resolve
from django.utils import timezone
from playwright.sync_api import Page

from accounts.models import User
from accounts.services.audit import SYSTEM
from billing.models import Customer, UsageEvent
from billing.services.invoicing import invoices
from billing.services.wallet import charge_disputes, wallets
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.browser.conftest import SignIn
from tests.builders import Shop
from tests.matrix.test_portal import PAGES as ROUTES

WEIGHT = 300_000
"""Bytes of script and style, uncompressed."""
SHIFT = 0.1
"""What is called good of the cumulative layout shift."""
BLOCKING = 150_000
"""Bytes of style and script that a page waits for before it shows anything, uncompressed."""
ASKED = ["/usage?group=meter&from=2026-01-01", "/statement?q=nothing", "/keys?name=nothing"]
"""Pages as they are for what was asked."""
ELSEWHERE = {"sign-in", "sign-in/code", "sign-up", "reset", "reset/sent"}
"""Pages of those who are not signed in."""
WATCH = """
window.shift = 0; window.largest = {};
const moves = (list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shift += e.value; };
new PerformanceObserver(moves).observe({ type: "layout-shift", buffered: true });
const paints = (list) => { for (const e of list.getEntries())
  window.largest = { after: e.startTime, loads: e.url || "", says: e.element ? e.element.textContent : "" }; };
new PerformanceObserver(paints).observe({ type: "largest-contentful-paint", buffered: true });
"""
SETTLED = "document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 150)))"
LOADED = """performance.getEntriesByType("resource").filter((e) => /\\.(js|css)$/.test(new URL(e.name).pathname))
  .reduce((sum, e) => sum + e.decodedBodySize, 0)"""
WAITED_FOR = """performance.getEntriesByType("resource").filter((e) => e.renderBlockingStatus === "blocking")
  .reduce((sum, e) => sum + e.decodedBodySize, 0)"""
SERVED = """(html) => new DOMParser().parseFromString(html, "text/html").body.textContent"""
MENU = "[...document.querySelectorAll('#rail nav a')].map((link) => link.getAttribute('href'))"


def pages(page: Page, site: str) -> list[str]:
    """The path of every page without an argument that this person can look at."""
    found = []
    for route, methods in ROUTES.items():
        if "GET" in methods and not set(route) & set("<^.") and route not in ELSEWHERE:
            response = page.request.get(f"{site}/{route}", max_redirects=0)
            is_html = response.status == 200 and "text/html" in response.headers["content-type"]
            if is_html and "<html" in response.text():
                found.append(f"/{route}")
    return found


def pages_beyond(page: Page, met: set[str]) -> Iterator[str]:
    """Where this page leads to: one address of each page with an argument that was not met before."""
    for address in page.evaluate("[...document.querySelectorAll('main a')].map((link) => link.getAttribute('href'))"):
        path = urlsplit(address or "").path
        try:
            found = resolve(path)
        except Resolver404:
            continue
        # Files are no pages.
        if (
            found.kwargs
            and "." not in path
            and found.url_name
            and found.url_name not in met
            and "pdf" not in found.url_name
        ):
            met.add(found.url_name)
            yield address


def no_serious_findings(page: Page, path: str) -> None:
    serious = [
        (path, found["id"], [node["target"] for node in found["nodes"]][:5])
        for found in Axe().run(page).response["violations"]
        if found["impact"] in {"serious", "critical"}
    ]
    assert serious == []


def without_spaces(text: str) -> str:
    return "".join(text.split())


def by_how_much_wider(page: Page, width: int) -> int:
    """How far the page reaches beyond a screen of this width."""
    page.set_viewport_size({"width": width, "height": 844})
    return int(page.evaluate("document.documentElement.scrollWidth")) - width


@pytest.fixture
def furnished(owner: User, shop: Shop) -> User:
    """The same owner, whose organization has something on every page."""
    acme = owner.memberships.get().organization.customer
    shop.key(organization=acme.organization)
    endpoint, _secret = endpoints.create(
        actor=SYSTEM, may=anything, customer=acme, url="https://hooks.acme.test/", events=["*"]
    )
    endpoints.test(endpoint, may=anything)
    event = UsageEvent.objects.filter(customer=acme).latest("id")
    charge_disputes.lodge(actor=SYSTEM, customer=acme, events=[event], reason="We did not ask for it")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(1000))
    Customer.objects.filter(pk=acme.pk).update(on_insufficient_funds="overdraft")
    shop.record(acme, input_tokens=60_000_000)
    assert invoices.issue(shop.balance(acme), end=timezone.now() + timedelta(days=400)) is not None
    shop.budget(acme, "50")
    return owner


@pytest.mark.timeout(600)  # Every page, in a real browser.
@pytest.mark.parametrize(
    ("widths", "scheme", "language"),
    [((390, 360), "light", "de"), ((1440, 820, 768), "dark", "en")],
    ids=["phone", "wide"],
)
def test_every_page_fits_stands_still_is_light_and_at_once_there(
    sign_in: SignIn,
    furnished: User,
    site: str,
    widths: tuple[int, ...],
    scheme: Any,
    language: str,
    record_property: Any,
) -> None:
    User.objects.filter(pk=furnished.pk).update(language=language)
    page, width = sign_in(furnished), widths[0]
    page.add_init_script(WATCH)
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    paths, met, wrong = [*pages(page, site), *ASKED], set[str](), []
    assert len(paths) >= 20
    for path in paths:  # Grows, by those that others lead to.
        answer = page.goto(site + path)
        assert answer is not None
        page.evaluate(SETTLED)
        paths += pages_beyond(page, met)
        measured = {"shift": page.evaluate("window.shift"), "weight": page.evaluate(LOADED)}
        measured["blocking"], largest = page.evaluate(WAITED_FOR), page.evaluate("window.largest")
        record_property(f"largest contentful paint, {path}", round(largest.get("after", 0)))
        # What is largest is text that the server wrote: it waits for no script, no picture and no letters.
        served = without_spaces(page.evaluate(SERVED, answer.text()))
        at_once = not largest.get("loads") and without_spaces(largest.get("says", "")) in served
        no_serious_findings(page, path)
        measured["wider"] = max(by_how_much_wider(page, each) for each in widths)
        heavy = not 0 < measured["weight"] <= WEIGHT or measured["blocking"] > BLOCKING
        if measured["wider"] > 0 or measured["shift"] > SHIFT or heavy or not at_once:
            wrong.append((path, measured, largest))
        page.set_viewport_size({"width": width, "height": 844})
    assert wrong == []
    assert {"event", "invoice", "member", "webhook"} <= met
    assert sign_in.complaints == []
    page.context.clear_cookies()
    page.goto(f"{site}/sign-in")
    no_serious_findings(page, "/sign-in")


def test_every_page_of_the_menu_is_reached_by_keyboard(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner)
    wanted, met = set(page.evaluate(MENU)), set()
    assert len(wanted) >= 12
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(60):
        page.keyboard.press("Tab")
        met.add(page.evaluate("document.activeElement.getAttribute('href')"))
    assert wanted - met == set()
