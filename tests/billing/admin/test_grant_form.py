"""Granting credit by hand: said first, then done once, by the service, with its line in the books and in the trail."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, User
from billing.models import Asset, Customer, Grant, LedgerEntry
from tests.builders import Shop, browser_of

FORM = {
    "kind": "promotional",
    "asset": "usd",
    "amount": "12.50",
    "paid_amount": "",
    "name": "Sorry for the wait",
    "expires_on": "",
    "reason": "Outage on Tuesday",
    "key": "0198c0de-0000-7000-8000-000000000001",
}


@pytest.fixture
def customer(shop: Shop) -> Customer:
    return shop.customer(usd="10")


def page(customer: Customer, of: str = "wallet") -> str:
    row: Any = customer.wallet if of == "wallet" else customer
    return f"{reverse(f'admin:billing_{of}_change', args=[row.pk])}grant-credit/".replace("/change/grant", "/grant")


@pytest.mark.parametrize("of", ["wallet", "customer"])
def test_first_it_says_what_will_happen(office: Client, customer: Customer, of: str):
    assert office.get(page(customer, of)).status_code == 200
    response = office.post(page(customer, of), FORM)
    assert response.context["review"]["before"] == "$10.00"
    assert response.context["review"]["after"] == "$22.50"
    assert "Promotional expense" in response.context["review"]["posting"]
    assert Grant.objects.count() == 1


@pytest.mark.parametrize("of", ["wallet", "customer"])
def test_confirmed_it_is_in_the_wallet_and_in_the_books(
    office: Client, customer: Customer, shop: Shop, finance: User, of: str
):
    response = office.post(page(customer, of), {**FORM, "confirm": "1"}, follow=True)
    assert "Granted $12.50 to Acme" in response.content.decode()
    grant = Grant.objects.get(kind="promotional")
    assert (grant.amount, grant.name, grant.paid_amount) == (Decimal("12.50"), "Sorry for the wait", 0)
    assert grant.metadata == {}
    assert "Outage on Tuesday" in office.get(f"/admin/billing/grant/{grant.pk}/change/").content.decode()
    assert shop.balance(customer).available == Decimal("22.50")
    entry = LedgerEntry.objects.get(grant=grant)
    assert (entry.debit, entry.credit, entry.amount) == ("promotional_expense", "wallet_available", Decimal("12.50"))
    assert AuditEvent.objects.filter(action="grant.created", actor_id=finance.pk).count() == 1


def test_a_second_click_grants_nothing_more(office: Client, customer: Customer, shop: Shop):
    office.post(page(customer), {**FORM, "confirm": "1"})
    response = office.post(page(customer), {**FORM, "confirm": "1"}, follow=True)
    assert "Nothing is done a second time" in response.content.decode()
    assert shop.balance(customer).available == Decimal("22.50")


def test_changing_ones_mind_keeps_what_was_typed(office: Client, customer: Customer):
    response = office.post(page(customer), {**FORM, "change": "1"})
    assert response.context["review"] is None
    assert response.context["form"]["amount"].value() == "12.50"
    assert Grant.objects.count() == 1


def test_a_purchase_remembers_what_was_paid(office: Client, customer: Customer, shop: Shop):
    shop.asset("image_credits")
    fields = {**FORM, "kind": "purchase", "asset": "image_credits", "amount": "500", "paid_amount": "25"}
    office.post(page(customer), {**fields, "confirm": "1"})
    grant = Grant.objects.get(asset_id="image_credits")
    assert (grant.paid_amount, grant.paid_currency_id) == (Decimal(25), "usd")
    assert LedgerEntry.objects.get(grant=grant).debit == "cash_clearing"


def test_a_purchase_of_money_is_paid_with_the_same_money(office: Client, customer: Customer):
    office.post(page(customer), {**FORM, "kind": "purchase", "confirm": "1"})
    grant = Grant.objects.get(name="Sorry for the wait")
    assert (grant.paid_amount, grant.paid_currency_id) == (Decimal("12.50"), "usd")


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"amount": "0"}, "amount", "More than zero"),
        ({"amount": "-5"}, "amount", "More than zero"),
        ({"amount": "NaN"}, "amount", "Write a number"),
        ({"amount": "12,5"}, "amount", "Write a number"),
        ({"amount": "1.000,50"}, "amount", "Write a number"),
        ({"amount": "ten"}, "amount", "Write a number"),
        ({"amount": "1e30"}, "amount", "At most 18 digits"),
        ({"reason": ""}, "reason", "required"),
        ({"expires_on": "2020-01-01"}, "expires_on", "over"),
        ({"paid_amount": "5"}, "paid_amount", "Only for a purchase"),
        ({"kind": "allowance"}, "kind", "valid choice"),
        ({"asset": "credits", "amount": "1.5", "confirm": "1"}, "amount", "at most 0 decimals"),
        ({"asset": "credits", "kind": "purchase", "amount": "5"}, "paid_amount", "What was paid"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(
    office: Client, customer: Customer, shop: Shop, fields: dict[str, str], field: str, words: str
):
    shop.asset("credits")
    response = office.post(page(customer), {**FORM, **fields})
    assert response.status_code == 200
    assert words in str(response.context["form"].errors[field])
    assert Grant.objects.count() == 1


def test_the_last_day_is_wholly_usable(office: Client, customer: Customer):
    day = timezone.localdate()
    office.post(page(customer), {**FORM, "expires_on": f"{day:%Y-%m-%d}", "confirm": "1"})
    expires_at = Grant.objects.get(kind="promotional").expires_at
    assert expires_at is not None
    assert (timezone.localtime(expires_at).date() - day).days == 1
    assert timezone.localtime(expires_at).hour == 0


def test_who_may_not_grant_sees_no_form(customer: Customer):
    client = browser_of(User.objects.create_user("reader@ante.test", "correct horse battery", is_staff=True))
    assert client.post(page(customer), {**FORM, "confirm": "1"}).status_code == 403
    assert Grant.objects.count() == 1


def test_the_assets_on_offer_are_the_catalogs(office: Client, customer: Customer):
    offered = office.get(page(customer)).context["form"].fields["asset"].queryset
    assert set(offered) == set(Asset.objects.all())
