"""The receipt of one event in the portal: its arithmetic, for its own customer alone, and never what it costs us."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from accounts.ids import uuid7
from accounts.services.audit import SYSTEM
from billing.engine.prices import TierTerms
from billing.models import Customer, LedgerEntry, UsageEvent
from billing.services import budgets
from billing.services.catalog.prices import PriceTerms
from billing.services.wallet import corrections
from tests.builders import Shop, browser_of


@pytest.fixture
def customer(shop: Shop) -> Customer:
    tokens = shop.meter("tokens", "n", unit="token")
    tiers = (TierTerms(up_to=Decimal(1000), unit_amount=Decimal(3)), TierTerms(unit_amount=Decimal(2)))
    price = PriceTerms(meter=tokens, asset=shop.usd, model="graduated", per=Decimal(1000), tiers=tiers)
    shop.plan("pro", [price])
    return shop.customer(usd="10")


@pytest.fixture
def owner(shop: Shop, customer: Customer) -> Client:
    return browser_of(shop.member(customer))


def page(event_id: object) -> str:
    return reverse("portal:event", args=[event_id])


def recorded(shop: Shop, customer: Customer, **fields: object) -> UsageEvent:
    shop.record(customer, **fields)
    return UsageEvent.objects.get(event_id=fields["id"])


def test_the_arithmetic_adds_up_tier_by_tier(owner: Client, shop: Shop, customer: Customer) -> None:
    event = recorded(shop, customer, id="two-tiers", n=1500, model="gpt-4o")

    content = owner.get(page(event.pk)).content.decode()

    for said in ("1,000 × $3.00 ÷ 1,000", "500 × $2.00 ÷ 1,000", "$1.00", "$4.00", "model gpt-4o", "Paid from"):
        assert said in content, said
    tiny = recorded(shop, customer, id="tiny", n=1).pk
    assert "$0.002<" in owner.get(page(tiny)).content.decode()
    statement = owner.get(reverse("portal:statement")).content.decode()
    assert page(event.pk) in statement


def test_its_entries_in_the_ledger_are_listed(owner: Client, shop: Shop, customer: Customer) -> None:
    event = recorded(shop, customer, id="two-tiers", n=1500)
    corrections.reverse(actor=SYSTEM, event=event, reason="x")

    content = owner.get(page(event.pk)).content.decode()

    ledger = content[content.index('id="ledger-title"') :]
    assert "Wallet: available → Usage" in ledger
    assert "Usage → Wallet: available" in ledger
    for entry in LedgerEntry.objects.filter(customer=customer, charge__event=event):
        assert f'<td class="when">{entry.seq} · ' in ledger
        assert f'value="{entry.amount.normalize():f}"' in ledger
        assert entry.available_after is not None
        assert f'value="{entry.available_after.normalize():f}"' in ledger


def test_what_was_given_back_is_said_and_the_operators_reason_is_not(
    owner: Client, shop: Shop, customer: Customer
) -> None:
    event = recorded(shop, customer, id="wrong", n=1000)
    corrections.reverse(actor=SYSTEM, event=event, reason="The model hallucinated")

    content = owner.get(page(event.pk)).content.decode()

    assert "Reversed" in content
    assert "Put right" in content
    assert "hallucinated" not in content


def test_a_refused_event_says_why(owner: Client, shop: Shop, customer: Customer) -> None:
    event = recorded(shop, customer, id="too-much", n=10**9)
    content = owner.get(page(event.pk)).content.decode()
    assert "Nothing was charged" in content
    assert event.refusal is not None
    assert "rejected" in content.lower()


def test_anothers_event_is_not_there(owner: Client, shop: Shop, customer: Customer) -> None:
    other = shop.customer("other", usd="10")
    event = recorded(shop, other, id="theirs", n=1)
    assert owner.get(page(event.pk)).status_code == 404
    assert owner.get(page(uuid7())).status_code == 404
    assert Client().get(page(event.pk)).status_code == 302


def test_a_refusal_leads_to_the_budget_that_refused(owner: Client, shop: Shop, customer: Customer) -> None:
    budget = shop.budget(customer, "1", name="All of it")
    event = recorded(shop, customer, id="too-much", n=1500)
    link = f"{reverse('portal:budgets')}#budget-{budget.pk}"

    assert link in owner.get(page(event.pk)).content.decode()
    assert f'id="budget-{budget.pk}"' in owner.get(reverse("portal:budgets")).content.decode()
    budgets.remove(actor=SYSTEM, budget=budget)
    assert link not in owner.get(page(event.pk)).content.decode()
