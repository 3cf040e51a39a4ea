"""Reversing a charge and adjusting a wallet: said first, then done once, by the service, with the reason."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from accounts.ids import uuid7
from accounts.models import AuditEvent, User
from billing.models import Correction, Customer, LedgerEntry, UsageEvent, Wallet
from tests.builders import Shop

WHY = {"reason": "The model failed"}


@pytest.fixture
def event(shop: Shop) -> UsageEvent:
    """It cost $2.50 of ten."""
    shop.record(shop.customer(usd="10"), id="one", input_tokens=1_000_000)
    return UsageEvent.objects.get()


def page(event: UsageEvent) -> str:
    return reverse("admin:billing_usageevent_change", args=[event.pk]).replace("/change/", "/reverse/")


def test_first_it_says_what_will_come_back_and_where(office: Client, event: UsageEvent) -> None:
    assert page(event) in office.get(reverse("admin:billing_usageevent_change", args=[event.pk])).content.decode()

    response = office.get(page(event))

    assert response.status_code == 200
    content = response.content.decode()
    assert "You are about to give back" in content
    assert "2.50" in str(response.context["figure"])
    assert "Back to Purchase of 10 usd" in content
    assert not Correction.objects.exists()


def test_sent_it_is_done_shown_and_in_the_trail(office: Client, event: UsageEvent, finance: User) -> None:
    content = office.post(page(event), WHY, follow=True).content.decode()

    assert "was reversed" in content
    assert "The model failed" in content
    assert "Reversed" in content
    assert Correction.objects.get().actor == "finance@ante.test"
    trail = AuditEvent.objects.get(action="usage.reversed")
    assert (trail.actor_id, trail.after["reason"]) == (finance.pk, "The model failed")
    assert "Reversed" in office.get(reverse("admin:billing_usageevent_changelist")).content.decode()


def test_a_second_click_is_told_so(office: Client, event: UsageEvent) -> None:
    office.post(page(event), WHY)
    response = office.post(page(event), WHY)

    assert "reversed already" in response.content.decode()
    assert LedgerEntry.objects.filter(kind="reversal").count() == 1


def test_without_a_reason_or_the_right_nothing_happens(office: Client, event: UsageEvent) -> None:
    assert "reason" in office.post(page(event), {"reason": " "}).context["form"].errors
    reader = Client()
    reader.force_login(User.objects.create_user("reader@ante.test", "correct horse battery", is_staff=True))
    assert reader.post(page(event), WHY).status_code in {302, 403}

    assert not Correction.objects.exists()


# --- By hand --------------------------------------------------------------------------------------------------------


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="10")


def form(**fields: str) -> dict[str, str]:
    return {"asset": "usd", "amount": "-4", "key": str(uuid7()), **WHY} | fields


def adjust(of: Customer | Wallet) -> str:
    name = "wallet" if isinstance(of, Wallet) else "customer"
    return reverse(f"admin:billing_{name}_change", args=[of.pk]).replace("/change/", "/adjust/")


def test_an_adjustment_is_reviewed_and_then_done_once(office: Client, acme: Customer, shop: Shop) -> None:
    sent = form()

    review = office.post(adjust(Wallet.objects.get()), sent).content.decode()
    assert "You are about to take out" in review
    assert "6.00" in review
    assert shop.balance(acme).available == 10
    for _ in range(2):
        office.post(adjust(acme), sent | {"confirm": "1"})

    assert shop.balance(acme).available == 6
    assert AuditEvent.objects.get(action="wallet.adjusted").after["reason"] == "The model failed"
    office.post(adjust(acme), form(amount="1.5", confirm="1"))
    assert shop.balance(acme).available == Decimal("7.5")


@pytest.mark.parametrize("amount", ["-11", "0", "x", "NaN", "1e30", "-1,5"])
def test_what_cannot_be_is_said_beside_the_amount(office: Client, acme: Customer, shop: Shop, amount: str) -> None:
    review = office.post(adjust(acme), form(amount=amount))
    assert "amount" in review.context["form"].errors
    assert review.context["review"] is None
    response = office.post(adjust(acme), form(amount=amount, confirm="1"))

    assert "amount" in response.context["form"].errors
    assert shop.balance(acme).available == 10


def test_what_was_never_charged_or_is_reversed_offers_no_reversal(office: Client, event: UsageEvent, shop: Shop):
    shop.record(event.customer, id="two", input_tokens=100_000_000)
    refused = UsageEvent.objects.get(status="rejected")
    shown = reverse("admin:billing_usageevent_change", args=[refused.pk])
    assert page(refused) not in office.get(shown).content.decode()

    office.post(page(event), WHY)

    assert page(event) not in office.get(reverse("admin:billing_usageevent_change", args=[event.pk])).content.decode()


def test_less_than_a_cent_is_said_exactly(office: Client, shop: Shop) -> None:
    shop.record(shop.customer(usd="10"), id="small", input_tokens=122)

    assert office.get(page(UsageEvent.objects.get())).context["figure"] == "$0.000305"
