"""The portal as people use it."""

import re
import time

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from accounts.services import team
from accounts.services.audit import SYSTEM
from billing.models import Customer
from tests.browser.conftest import SignIn
from tests.builders import Shop
from tests.portal.test_attention import suspend

FIGURE = '[data-figure="usd.available"]'
WATCH_SHIFT = """
window.shift = 0;
const moves = (list) => { for (const e of list.getEntries()) window.shift += e.value; };
new PerformanceObserver(moves).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture
def acme(owner: User) -> Customer:
    return Customer.objects.get(external_id="acme")


def live(page: Page) -> None:
    expect(page.locator("[data-live-state]")).to_have_text("Live")


def test_sign_in_shows_the_balance_and_sign_out_ends_it(sign_in: SignIn, owner: User, site: str) -> None:
    page = sign_in(owner)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator(FIGURE)).to_contain_text("$")
    live(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site}/sign-in")
    page.goto(f"{site}/")
    expect(page).to_have_url(f"{site}/sign-in?next=/")
    assert sign_in.complaints == []


def test_who_is_invited_joins_by_the_link(sign_in: SignIn, site: str, owner: User) -> None:
    boss = owner.memberships.get()
    _, token = team.invite(organization=boss.organization, email="new@acme.test", role="viewer", by=boss, actor=SYSTEM)
    page = sign_in.context.new_page()
    page.goto(f"{site}/invitations/{token}")
    page.get_by_label("Your name").fill("Sample Person")
    page.get_by_label("Password").fill("a long and quiet afternoon")
    page.get_by_role("button", name="Make an account and join").click()
    page.wait_for_url(f"{site}/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_wrong_password_is_said_plainly(site: str, owner: User, page: Page) -> None:
    page.goto(f"{site}/sign-in")
    page.get_by_label("E-mail").fill(owner.email)
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    expect(page.get_by_label("E-mail")).to_have_value(owner.email)


def test_a_debit_shows_within_two_seconds_without_reload(
    sign_in: SignIn, owner: User, shop: Shop, acme: Customer
) -> None:
    page = sign_in(owner)
    live(page)
    page.evaluate("window.stayed = true")
    page.evaluate(WATCH_SHIFT)
    suspend(acme)
    for n in range(3):
        before = page.locator(FIGURE).get_attribute("value")
        outcome = shop.record(acme, id=f"live-{n}", output_tokens=12_345)
        recorded = time.monotonic()
        left = f"{outcome.balance['usd'].normalize():f}"
        assert left != before
        page.wait_for_function("([s, v]) => document.querySelector(s).value === v", arg=[FIGURE, left], timeout=2000)
        assert time.monotonic() - recorded < 2
    expect(page.locator("#latest")).to_contain_text("live-2")
    shown = page.locator(FIGURE)
    expect(shown).to_have_text(re.compile(rf"^\${re.escape(left[:-1])}"))
    expect(page.locator("#attention-head .badge")).to_have_text("2")
    expect(page.locator("#attention-lines")).to_contain_text("2 more need attention")
    expect(page.locator("[data-live-note]")).to_contain_text("Available balance $")
    expect(page.locator("[data-matters-note]")).to_contain_text("Needs attention 2")
    assert page.evaluate("window.stayed") is True
    assert page.evaluate("window.shift") < 0.01
    assert sign_in.complaints == []


def test_without_a_stream_the_page_asks(
    sign_in: SignIn, owner: User, shop: Shop, acme: Customer, context: BrowserContext
) -> None:
    context.route("**/live/balance", lambda route: route.fulfill(status=503))
    page = sign_in(owner)
    expect(page.locator("[data-live-state]")).to_have_text("Every 5 seconds")
    left = f"{shop.record(acme, output_tokens=1000).balance['usd'].normalize():f}"
    page.wait_for_function("([s, v]) => document.querySelector(s).value === v", arg=[FIGURE, left], timeout=7000)


def test_the_theme_follows_the_choice_and_is_remembered(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner)

    def ground() -> float:
        """How light the ground is: 0 black, 1 white."""
        text = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return float(re.findall(r"[\d.]+", text)[0])

    page.get_by_role("button", name="Light theme").click()
    assert ground() > 0.9
    page.get_by_role("button", name="Dark theme").click()
    assert ground() < 0.3
    page.reload()
    assert ground() < 0.3
    expect(page.locator(".chart-box canvas").first).to_be_visible()
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")


def test_the_menu_of_a_phone_works_by_keyboard(sign_in: SignIn, owner: User, site: str) -> None:
    page = sign_in(owner)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#rail")).to_be_hidden()
    page.get_by_role("button", name="Open the menu").focus()
    page.keyboard.press("Enter")
    page.locator("#rail").get_by_role("link", name="Statement").click()
    page.wait_for_url(f"{site}/statement")


def test_usage_is_explored_without_reload_and_back_leads_back(sign_in: SignIn, owner: User, site: str) -> None:
    page = sign_in(owner, "/usage")
    page.evaluate("window.stayed = true")
    page.get_by_text("User", exact=True).click()
    expect(page).to_have_url(re.compile(r"group=user"))
    expect(page.get_by_role("heading", name="Spend by user")).to_be_visible()
    expect(page.locator(".chart-box canvas")).to_be_visible()
    assert page.evaluate("window.stayed") is True
    page.get_by_text("7 days", exact=True).click()
    expect(page).to_have_url(re.compile(r"period=7&group=user"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"period=30&group=user"))
    expect(page.get_by_role("heading", name="Spend by user")).to_be_visible()
    assert sign_in.complaints == []


def test_a_bar_and_a_name_lead_on_to_the_receipt(sign_in: SignIn, owner: User, site: str) -> None:
    page = sign_in(owner, "/usage?group=model")
    page.get_by_role("link", name="gpt-4o").click()
    expect(page).to_have_url(re.compile(r"group=time&model=gpt-4o"))
    page.locator(".u-over").click(position={"x": 5, "y": 60})
    expect(page).to_have_url(re.compile(r"from=(\S+)&to=\1&group=time&model=gpt-4o"))
    page.goto(f"{site}/usage?group=time&model=gpt-4o")
    page.locator("th a.drill").first.click()
    page.locator("th a.drill").first.click()
    page.locator("#rows a").first.click()
    expect(page.get_by_role("heading", name="Why this was charged")).to_be_visible()
    assert sign_in.complaints == []


def test_events_are_watched_as_they_come_in(sign_in: SignIn, owner: User, shop: Shop, acme: Customer) -> None:
    page = sign_in(owner, "/usage/live")
    live(page)
    rows = page.locator("[data-tail] tr:visible")
    shop.record(acme, id="seen", model="o3", output_tokens=1000)
    expect(rows.first).to_contain_text("seen")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-live-state]")).to_have_text("Paused")
    shop.record(acme, id="missed", output_tokens=50_000_000)
    page.get_by_role("button", name="Resume").click()
    expect(rows.first).to_contain_text("Rejected")
    page.get_by_label("Filter").fill("o3")
    expect(rows.first).to_contain_text("seen")
    page.get_by_label("Filter").fill("")
    page.get_by_label("Refused and unpaid only").check()
    expect(rows).to_have_count(1)
    rows.first.get_by_role("link").click()
    expect(page.get_by_text("Nothing was charged")).to_be_visible()
    assert sign_in.complaints == []


def test_what_comes_in_pushes_nothing_that_is_looked_at(
    sign_in: SignIn, owner: User, shop: Shop, acme: Customer
) -> None:
    page = sign_in(owner, "/")
    page.set_viewport_size({"width": 820, "height": 900})
    page.goto(page.url.rstrip("/") + "/usage/live")
    live(page)
    page.evaluate(WATCH_SHIFT)
    first, box = page.locator("[data-tail] tr").first, page.locator("[data-tail-box]")
    for number in range(10):
        shop.record(acme, id=f"new {number}", output_tokens=10)
    expect(first).to_contain_text("new 9")
    expect(first).to_be_in_viewport()

    box.hover()
    read = page.locator("[data-tail] tr").nth(2)
    before, name = read.bounding_box(), read.get_attribute("data-id")
    shop.record(acme, id="newest", output_tokens=10)
    expect(first).to_contain_text("newest")
    newer = page.get_by_role("button", name="Newer events")
    expect(newer).to_be_visible()
    assert page.locator(f'[data-id="{name}"]').bounding_box() == before
    assert page.evaluate("window.shift") < 0.1
    newer.click()
    expect(newer).to_be_hidden()
    expect(first).to_be_in_viewport()
    assert sign_in.complaints == []


def test_the_statement_finds_an_event_while_one_types(sign_in: SignIn, owner: User, shop: Shop, acme: Customer) -> None:
    shop.record(acme, id="needle", output_tokens=1)
    page = sign_in(owner, "/statement")
    page.get_by_label("Event id").fill("needle")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?q=needle$"))
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("#rows tr")).not_to_have_count(1)


def test_reading_needs_no_script(browser: Browser, sign_in: SignIn, owner: User, site: str) -> None:
    page = sign_in(owner)
    plain = browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    try:
        page = plain.new_page()
        page.goto(f"{site}/")
        expect(page.locator(FIGURE)).to_contain_text("$")
        page.goto(f"{site}/usage")
        page.get_by_text("Show as a table").click()
        expect(page.get_by_role("region", name="Spend as a table")).to_contain_text("gpt-4o")
        page.goto(f"{site}/statement")
        page.get_by_label("Kind").select_option("top_up")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.locator("#rows tr")).to_have_count(1)
    finally:
        plain.close()
