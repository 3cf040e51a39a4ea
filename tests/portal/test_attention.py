"""What is said on top of the overview, and to whom."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey, Role
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.models import Alert, AutoTopUp, Customer, Grant, Invoice, SpendAnomaly, UsageEvent
from billing.services import alerts
from billing.services.invoicing import invoices
from billing.services.wallet import charge_disputes, wallets
from tests.builders import Shop, browser_of
from tests.payments import Bank, Payer

PAYS = {Role.OWNER, Role.ADMIN, Role.BILLING}
SEES_INVOICES = PAYS | {Role.VIEWER}
SEES_KEYS = {Role.OWNER, Role.ADMIN, Role.DEVELOPER}
HEADING = "Needs attention"


def overview(client: Client, **headers: Any) -> str:
    response = client.get("/", **headers)
    assert response.status_code == 200
    page = response.content.decode()
    return page[page.index('<main class="page"') :]


def attention(client: Client) -> str:
    """The block alone; empty where there is none."""
    page = overview(client)
    if HEADING not in page:
        return ""
    return page[page.index('<details class="card attention"') :].partition("</details>")[0]


def suspend(customer: Customer, **fields: Any) -> AutoTopUp:
    terms: dict[str, Any] = {"state": "suspended", "threshold": Decimal(20), "amount": Decimal(50)} | fields
    return AutoTopUp.objects.create(
        customer=customer, purpose="auto_top_up", asset=customer.currency, due_at=timezone.now(), **terms
    )


def runaway(customer: Customer) -> None:
    now = timezone.now()
    SpendAnomaly.objects.create(
        customer=customer,
        asset=customer.currency,
        hour=now - timedelta(hours=2),
        scope="customer",
        level="runaway",
        spent=Decimal(50),
        usual=Decimal(1),
        above=Decimal(10),
        created_at=now,
    )


def overdue(shop: Shop, customer: Customer, settings: Any, *, days: int = -2) -> Invoice:
    """An invoice of $5 beyond the wallet, due in so many days."""
    settings.INVOICE_DUE_DAYS = days
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(100))
    shop.record(customer, input_tokens=42_000_000)
    invoice = invoices.issue(shop.balance(customer), end=timezone.now() + timedelta(minutes=1))
    assert invoice is not None
    return invoice


def test_where_all_is_well_nothing_is_said(shop: Shop, acme: Customer) -> None:
    shop.record(acme, input_tokens=4000)
    assert attention(browser_of(shop.member(acme))) == ""


def test_a_new_customer_is_not_told_that_the_wallet_is_empty(shop: Shop) -> None:
    assert attention(browser_of(shop.member(shop.customer("fresh")))) == ""


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_an_empty_wallet_leads_to_where_the_role_may_act(shop: Shop, role: str) -> None:
    customer = shop.customer("acme", usd="1")
    shop.record(customer, input_tokens=400_000)
    said = attention(browser_of(shop.member(customer, role=role)))
    assert "Nothing is left to spend" in said
    assert ('href="/top-up"' in said) == (role in PAYS)
    assert ('href="/wallet"' in said) == (role not in PAYS)


def test_a_short_runway_is_said_unless_it_is_topped_up_by_itself(shop: Shop) -> None:
    customer = shop.customer("acme", usd="10")
    shop.record(customer, input_tokens=3_200_000)
    client = browser_of(shop.member(customer))
    assert "$2.00 left. It lasts 1 day at this pace." in attention(client)
    rule = suspend(customer, state="armed")
    assert attention(client) == ""
    AutoTopUp.objects.filter(pk=rule.pk).update(declines=1)
    assert "It lasts 1 day" in attention(client)


def test_an_alert_of_ones_own_counts(shop: Shop, acme: Customer) -> None:
    alert = shop.alert(acme, "99.5")
    shop.record(acme, input_tokens=400_000)
    client = browser_of(shop.member(acme))
    assert attention(client) == ""
    alerts.watch_balances()
    assert "$99.00 left" in attention(client)
    alerts.remove(actor=SYSTEM, alert=Alert.objects.get(pk=alert.pk))
    assert attention(client) == ""


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_payments_are_for_those_who_pay(shop: Shop, acme: Customer, role: str) -> None:
    rule = suspend(acme)
    client = browser_of(shop.member(acme, role=role))
    said = attention(client)
    assert ("Automatic top-ups have stopped." in said, 'href="/auto-top-up"' in said) == (role in PAYS,) * 2
    AutoTopUp.objects.filter(pk=rule.pk).update(state="armed", declines=1)
    assert ("The last automatic top-up was declined" in attention(client)) == (role in PAYS)
    AutoTopUp.objects.filter(pk=rule.pk).update(enabled=False)
    assert attention(client) == ""


def test_a_payment_that_the_bank_wants_back(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid()
    bank.dispute(top_up)
    bank.deliver()
    said = attention(browser_of(payer.shop.member(payer.customer)))
    assert "1 payment is disputed at the bank" in said
    assert f'href="/top-ups/{top_up.pk}"' in said
    developer = payer.shop.member(payer.customer, "dev@acme.test", "developer")
    assert "disputed" not in attention(browser_of(developer))


def test_what_expires_soon_and_does_not_come_again(shop: Shop, acme: Customer) -> None:
    soon = timezone.now() + timedelta(days=3)
    for amount in ("5", "2.50"):
        shop.fund(acme, amount, kind="promotional", expires_at=soon)
    shop.fund(acme, "7", kind="promotional", expires_at=soon + timedelta(days=5))
    shop.fund(acme, "9", kind="allowance", expires_at=soon)
    client = browser_of(shop.member(acme, role=Role.VIEWER))
    assert "$7.50 expires within 7 days" in attention(client)
    assert Grant.objects.filter(customer=acme, expires_at__isnull=False).count() == 4


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_a_paused_key_is_for_those_who_may_resume_it(shop: Shop, acme: Customer, role: str) -> None:
    shop.key(organization=acme.organization)
    key = ApiKey.objects.get(organization=acme.organization)
    api_keys.pause([key.pk], reason="It spent far too much.")
    runaway(acme)
    client = browser_of(shop.member(acme, role=role))
    said = attention(client)
    assert ("1 API key is paused" in said, 'href="/keys"' in said) == (role in SEES_KEYS,) * 2
    assert "Spending ran away in the last day" in said
    api_keys.resume(ApiKey.objects.get(pk=key.pk))
    SpendAnomaly.objects.update(hour=timezone.now() - timedelta(days=2))
    assert attention(client) == ""


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_an_overdue_invoice_and_a_frozen_wallet(shop: Shop, acme: Customer, settings: Any, role: str) -> None:
    invoice = overdue(shop, acme, settings)
    wallets.freeze(actor=SYSTEM, customer=acme, reason="Between us: odd.")
    client = browser_of(shop.member(acme, role=role))
    said = attention(client)
    assert "The wallet is frozen and pays for no usage" in said
    assert "Between us" not in said
    assert (invoice.number in said, "1 invoice is overdue" in said, 'href="/invoices"' in said) == (
        role in SEES_INVOICES,
    ) * 3
    shop.fund(acme, "100")
    wallets.unfreeze(actor=SYSTEM, customer=acme, reason="Paid.")
    assert attention(client) == ""


def test_an_invoice_of_which_the_day_is_to_come_is_not_overdue(shop: Shop, acme: Customer, settings: Any) -> None:
    overdue(shop, acme, settings, days=3)
    assert "overdue" not in attention(browser_of(shop.member(acme)))


def test_a_disputed_charge_waits_below_what_is_urgent(shop: Shop, acme: Customer) -> None:
    shop.record(acme, input_tokens=400_000)
    charge_disputes.lodge(actor=SYSTEM, customer=acme, events=[UsageEvent.objects.get()], reason="Why?")
    suspend(acme)
    said = attention(browser_of(shop.member(acme)))
    assert said.index("Automatic top-ups") < said.index("1 disputed charge waits for an answer")


def test_nothing_of_anothers_is_said(shop: Shop, acme: Customer) -> None:
    other = shop.customer("globex", usd="100")
    suspend(other)
    runaway(other)
    wallets.freeze(actor=SYSTEM, customer=other, reason="Odd.")
    assert attention(browser_of(shop.member(acme))) == ""


def test_it_is_one_question_and_speaks_german(shop: Shop, acme: Customer) -> None:
    suspend(acme)
    user = shop.member(acme, language="de")
    client = browser_of(user)
    with CaptureQueriesContext(connection) as asked:
        page = overview(client)
    assert sum("billing_autotopup" in query["sql"] for query in asked.captured_queries) == 1
    assert "Automatische Aufladungen" in page[page.index("attention-head") :].partition("</details>")[0]


def test_it_follows_what_happens_and_keeps_the_room_it_has(shop: Shop, acme: Customer) -> None:
    client = browser_of(shop.member(acme))
    assert "Nothing needs attention" in overview(client)

    def later(shown: object) -> str:
        body = client.get("/activity", {"shown": shown}).content.decode()
        return (
            body[body.index("#attention-head") :].partition("</div>\n<div hx-swap-oob")[0]
            + body[body.index("#attention-lines") :]
        )

    rule = suspend(acme)
    assert "Automatic top-ups have stopped." in later(0)
    wallets.freeze(actor=SYSTEM, customer=acme, reason="Odd.")
    for shown in ("0", "2", "3", "nonsense", ""):
        assert later(shown).count("<li>") == max(2, int(shown) if shown.isdecimal() else 0)
    assert "2 more need attention" in later(1)
    assert "Automatic top-ups" not in later(1)
    AutoTopUp.objects.filter(pk=rule.pk).delete()
    assert "In order now" in later(2)
    assert "attention-lines" not in client.get("/activity?whole=1").content.decode()
