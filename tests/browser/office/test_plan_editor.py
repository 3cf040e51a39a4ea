"""Finance drafts graduated prices, sees what they come to and publishes; then somebody subscribes and is charged."""

from decimal import Decimal

from playwright.sync_api import expect

from accounts.services.audit import SYSTEM
from billing.models import Plan
from billing.services import subscriptions
from tests.browser.conftest import SignIn
from tests.browser.office.conftest import office
from tests.builders import Shop

TIERS = [("1,000,000", "3"), ("10,000,000", "2.5"), ("", "2")]


def test_graduated_prices_from_the_draft_to_the_first_charge(sign_in: SignIn, shop: Shop) -> None:
    shop.meter("tokens", "n", event_type="llm", unit="token")
    page = office(sign_in, "/admin/billing/plan/add/")
    page.locator("[name=code]").fill("team")
    page.locator("[name=name]").fill("Team")
    page.locator("[name=currency]").select_option("usd", force=True)
    page.locator("[name=_save]").click()
    page.wait_for_url("**/plandraft/**")

    page.get_by_label("Base fee").fill("49")
    page.get_by_role("button", name="Add a price").click()
    price = page.locator("[data-price=prices-0]")
    price.get_by_label("Meter").select_option("tokens")
    price.get_by_label("Pricing model").select_option("graduated")
    expect(price.locator("[name=prices-0-unit_amount]")).to_be_hidden()
    price.get_by_label("For how many units").fill("1000000")
    for number, (up_to, amount) in enumerate(TIERS):
        price.get_by_role("button", name="Add a tier").click()
        price.locator(f"[name=prices-0-tiers-{number}-up_to]").fill(up_to)
        price.locator(f"[name=prices-0-tiers-{number}-amount]").fill(amount)
    preview = page.locator("[data-preview=prices-0]")
    expect(preview).to_contain_text("$3.00 up to 1,000,000, then $2.50 up to 10,000,000, then $2.00")
    expect(preview.locator("tr", has_text="10,000,000")).to_contain_text("$25.50")
    expect(preview.locator("canvas")).to_be_visible()
    expect(page.locator("[data-summary]")).to_contain_text("it can be published")

    wrong = price.locator("[name=prices-0-tiers-1-up_to]")
    wrong.fill("5")
    wrong.blur()
    expect(page.locator('[data-problem="prices-0-tiers-1-up_to"]')).to_contain_text("than the tier before")
    wrong.fill("10,000,000")
    wrong.blur()
    expect(page.locator("[data-summary]")).to_contain_text("it can be published")
    assert not Plan.objects.get(code="team").versions.exists()

    page.get_by_role("button", name="Keep it and publish…").click()
    expect(page.get_by_text("Team, version 1")).to_be_visible()
    page.get_by_label("Reason").fill("The first one")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/plan/**")
    assert sign_in.complaints == []

    plan = Plan.objects.get(code="team")
    customer = shop.customer(plan=None, usd="100")
    subscriptions.start(actor=SYSTEM, customer=customer, plan=plan)
    for quantity in (900_000, 100_001, 8_999_999, 2_000_000):
        shop.record(customer, type="llm", n=quantity)
    assert shop.balance(customer).available == Decimal(100) - 49 - Decimal("29.5")
