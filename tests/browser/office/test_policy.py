"""The back office under a content security policy that allows no inline script or style and evaluates nothing."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import Route, expect

from tests.browser.conftest import SignIn
from tests.browser.office.conftest import office
from tests.builders import Shop
from tests.matrix.conftest import of_the_operator, tenant
from tests.matrix.test_admin import PAGES, SENT_ONLY, address
from tests.payments import Bank

REPORTS = ["recurring", "ageing", "losses"]
FILES = ("jsi18n", "_export_data", "_evidence", "_evidence_json", "_export", "_pdf", "_paper", "_statement")
"""Addresses of files, which a browser takes along and does not show."""
INLINE = "<!doctype html><html><head><style>p { color: red }</style></head><body><script>let ran</script></body></html>"


def paths() -> list[str]:
    """Every page of the back office that can be looked at: the pages of its own, lists, forms and a row of each."""
    rows: dict[str, Any] = {}
    found = [address(name, rows) for name in PAGES if name not in SENT_ONLY and not name.endswith(FILES)]
    found += [reverse("admin:billing_report", args=[name]) for name in REPORTS]
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found += [reverse(f"{base}_changelist"), reverse(f"{base}_add")]
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            found.append(reverse(f"{base}_change", args=[row.pk]))
    return [path for path in found if path]


@pytest.mark.timeout(600)  # Every page, in a real browser.
def test_no_page_of_the_back_office_breaks_the_policy(sign_in: SignIn, shop: Shop, bank: Bank) -> None:
    of_the_operator(shop, tenant(shop, bank, "acme"))
    page, wrong, seen = office(sign_in), {}, 0
    for path in paths():
        there = page.goto(sign_in.site + path)
        if there is None or there.status != 200:
            sign_in.complaints.clear()  # The console tells of every 403 and 405 as well.
            continue
        assert "unsafe" not in there.headers["content-security-policy"], path
        seen += 1
        if sign_in.complaints:
            wrong[path] = list(sign_in.complaints)
            sign_in.complaints.clear()
    assert wrong == {}
    assert seen > 100


def test_a_page_that_breaks_the_policy_is_told_of(sign_in: SignIn, shop: Shop) -> None:
    """The control: what is inline does not run, and the console says so."""
    page = office(sign_in)

    def inline(route: Route) -> None:
        route.fulfill(response=route.fetch(), body=INLINE)

    page.route("**/admin/", inline)
    page.goto(f"{sign_in.site}/admin/")
    assert page.evaluate("typeof ran") == "undefined"
    assert len([text for text in sign_in.complaints if "Content Security Policy" in text]) == 2


def test_what_the_theme_does_still_works(sign_in: SignIn, shop: Shop) -> None:
    shop.customer("acme", usd="10")
    page = office(sign_in)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{sign_in.site}/admin/billing/customer/")
    menu = page.locator("#nav-sidebar")
    expect(menu).to_be_visible()
    page.locator("[x-on\\:click*=sidebarDesktopOpen]").first.click()
    expect(menu).to_be_hidden()
    page.reload()
    expect(menu).to_be_hidden()
    page.locator("[x-on\\:click*=sidebarDesktopOpen]").first.click()
    expect(menu).to_be_visible()

    page.locator("[x-on\\:click*=openUserLinks]").first.click()
    page.get_by_text("Dark", exact=True).click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.locator("[x-on\\:click*=filterOpen]").first.click()
    expect(page.locator("#changelist-filter")).to_be_visible()
    assert sign_in.complaints == []
