"""What every page of the portal owes to whoever reads it: it fits, stands still, is light, complains of nothing."""

from typing import Any

import pytest
from playwright.sync_api import Page

from accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.test_portal import PAGES, no_serious_findings
from tests.matrix.test_portal import PAGES as ROUTES

WEIGHT = 300_000
"""Bytes of script and style, uncompressed."""
SHIFT = 0.1
"""What is called good of the cumulative layout shift."""
ELSEWHERE = {"sign-in", "sign-in/code", "sign-up", "reset", "reset/sent"}
"""Pages of those who are not signed in."""
WATCH = """
window.shift = 0; window.largest = 0;
const moves = (list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shift += e.value; };
new PerformanceObserver(moves).observe({ type: "layout-shift", buffered: true });
const paints = (list) => { for (const e of list.getEntries()) window.largest = e.startTime; };
new PerformanceObserver(paints).observe({ type: "largest-contentful-paint", buffered: true });
"""
SETTLED = "document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 150)))"
LOADED = """performance.getEntriesByType("resource").filter((e) => /\\.(js|css)$/.test(new URL(e.name).pathname))
  .reduce((sum, e) => sum + e.decodedBodySize, 0)"""
MENU = "[...document.querySelectorAll('#rail nav a')].map((link) => link.getAttribute('href'))"


def pages(page: Page, site: str) -> list[str]:
    """The path of every page without an argument that this person can look at."""
    found = []
    for route, methods in ROUTES.items():
        if "GET" in methods and not set(route) & set("<^.") and route not in ELSEWHERE:
            response = page.request.get(f"{site}/{route}", max_redirects=0)
            if response.status == 200 and "<html" in response.text():
                found.append(f"/{route}")
    return found


def by_how_much_wider(page: Page, width: int) -> int:
    """How far the page reaches beyond a screen of this width."""
    page.set_viewport_size({"width": width, "height": 844})
    return int(page.evaluate("document.documentElement.scrollWidth")) - width


@pytest.mark.timeout(600)  # Every page, in a real browser.
@pytest.mark.parametrize(
    ("widths", "scheme", "language"),
    [((390, 360), "light", "de"), ((1440, 820, 768), "dark", "en")],
    ids=["phone", "wide"],
)
def test_every_page_fits_stands_still_and_is_light(
    sign_in: SignIn, owner: User, site: str, widths: tuple[int, ...], scheme: Any, language: str, record_property: Any
) -> None:
    User.objects.filter(pk=owner.pk).update(language=language)
    page, width = sign_in(owner), widths[0]
    page.add_init_script(WATCH)
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    paths, wrong = pages(page, site), []
    assert len(paths) >= 20
    for path in paths:
        page.goto(site + path)
        page.evaluate(SETTLED)
        measured = {"shift": page.evaluate("window.shift"), "weight": page.evaluate(LOADED)}
        record_property(f"largest contentful paint, {path}", round(page.evaluate("window.largest")))
        if path not in PAGES and width < 1000:
            no_serious_findings(page, path)
        measured["wider"] = max(by_how_much_wider(page, each) for each in widths)
        if measured["wider"] > 0 or measured["shift"] > SHIFT or not 0 < measured["weight"] <= WEIGHT:
            wrong.append((path, measured))
        page.set_viewport_size({"width": width, "height": 844})
    assert wrong == []
    assert sign_in.complaints == []


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
