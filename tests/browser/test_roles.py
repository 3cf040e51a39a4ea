"""What people come to the portal for, done in a browser by each role that may, and not offered to the others. Paying is
in ``test_payments``: it needs a provider."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect

from accounts import roles
from accounts.models import Role, User
from billing.models import UsageEvent
from tests.builders import Shop, browser_of


@dataclass(frozen=True)
class Journey:
    """What is done on the page at ``path`` (``{event}`` is an event that was charged). Who may not see the page, by
    ``sees``, is told so there; who may not act, by ``acts``, finds no ``button``, which is what they would press."""

    name: str
    path: str
    sees: str
    acts: str
    button: str
    does: Callable[[Page], None]


def make_a_key(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("Backend")
    page.get_by_label("See balances, grants and statements").check()
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator("code.key-text")).to_contain_text("ck_")


def name_an_endpoint(page: Page) -> None:
    page.get_by_label("Address", exact=True).fill("https://hooks.acme.test/")
    page.get_by_role("button", name="Add the endpoint").click()
    expect(page.locator("code.key-text")).to_contain_text("whsec_")


def limit_spending(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("Each month")
    page.get_by_label("Limit", exact=True).fill("50")
    page.get_by_role("button", name="Set the budget").click()
    expect(page.locator(".rows")).to_contain_text("Each month")


def be_told(page: Page) -> None:
    page.get_by_role("button", name="Tell us these").click()
    expect(page.get_by_role("status")).to_contain_text("You will be told")


def invite(page: Page) -> None:
    page.get_by_label("E-mail", exact=True).fill("new@acme.test")
    page.get_by_role("button", name="Send the invitation").click()
    expect(page.get_by_role("status")).to_contain_text("An invitation is on its way")


def dispute(page: Page) -> None:
    page.locator("summary", has_text="Dispute this charge").click()
    page.get_by_label("What is wrong with it?").fill("We did not ask for it")
    page.get_by_role("button", name="Dispute this charge").click()
    expect(page.get_by_role("status")).to_contain_text("The charge is disputed")


def allow_addresses(page: Page) -> None:
    page.get_by_label("Only from").fill("127.0.0.0/8\n::1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")


def look(page: Page) -> None:
    expect(page.locator("main h1")).to_be_visible()


JOURNEYS = [
    Journey("sees the balance", "/wallet", "wallets:read", "wallets:read", "", look),
    Journey("reads the statement", "/statement", "wallets:read", "wallets:read", "", look),
    Journey("explores usage", "/usage", "events:read", "events:read", "", look),
    Journey("asks why", "/usage/events/{event}", "events:read", "events:read", "", look),
    Journey("reads invoices", "/invoices", "invoices:read", "invoices:read", "", look),
    Journey("sees who did what", "/trail", "audit:read", "audit:read", "", look),
    Journey("limits spending", "/budgets", "wallets:read", "limits:write", "Set the budget", limit_spending),
    Journey("is told in time", "/alerts", "wallets:read", "limits:write", "Tell us these", be_told),
    Journey("makes a key", "/keys", "keys:read", "keys:write", "Make the key", make_a_key),
    Journey("names an endpoint", "/webhooks", "webhooks:read", "webhooks:write", "Add the endpoint", name_an_endpoint),
    Journey("disputes", "/usage/events/{event}", "events:read", "disputes:write", "Dispute this charge", dispute),
    Journey("invites", "/team", "team:read", "team:write", "Send the invitation", invite),
    Journey("allows addresses", "/networks", "security:write", "security:write", "Save", allow_addresses),
]


@pytest.mark.parametrize("role", Role.values)
def test_each_role_does_what_it_may_and_is_offered_nothing_else(
    site: str, committed_db: None, context: BrowserContext, owner: User, shop: Shop, role: str
) -> None:
    customer = owner.memberships.get().organization.customer
    person = owner if role == Role.OWNER else shop.member(customer, f"{role}@acme.test", role)
    event = UsageEvent.objects.filter(customer=customer).latest("id")
    session = browser_of(person).cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site}])
    context.set_default_timeout(30_000)
    page, wrong = context.new_page(), []
    page.on("response", lambda response: wrong.append(response.url) if response.status >= 500 else None)
    for journey in JOURNEYS:
        path = journey.path.format(event=event.pk)
        answer = page.goto(site + path)
        assert answer is not None
        if not roles.may(role, journey.sees):
            assert answer.status == 403, journey.name
            expect(page.get_by_text("Not for the role")).to_be_visible()
            assert page.locator(f"#rail a[href='{path}']").count() == 0, journey.name
        elif not roles.may(role, journey.acts):
            assert answer.status == 200, journey.name
            assert page.get_by_role("button", name=journey.button, exact=True).count() == 0, journey.name
        else:
            assert answer.status == 200, journey.name
            journey.does(page)
    assert wrong == []
