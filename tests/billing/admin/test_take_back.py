"""Taking back what was put in or charged: said first, then done once, by the service, with its reason."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from billing.models import Customer, Grant, LedgerEntry
from tests.builders import Shop, browser_of

WHY = {"reason": "Granted twice"}


@pytest.fixture
def grant(shop: Shop) -> Grant:
    customer: Customer = shop.customer(usd="10")
    shop.record(customer, input_tokens=1000)
    return Grant.objects.get()


def page(grant: Grant) -> str:
    return reverse("admin:billing_grant_change", args=[grant.pk]).replace("/change/", "/void/")


def test_first_it_says_what_will_happen(office: Client, grant: Grant) -> None:
    assert page(grant) in office.get(reverse("admin:billing_grant_change", args=[grant.pk])).content.decode()

    response = office.get(page(grant))

    assert response.status_code == 200
    content = response.content.decode()
    assert "You are about to take back" in content
    assert "9.9975" in str(response.context["figure"])
    assert "Cash clearing" in content
    assert not LedgerEntry.objects.filter(kind="void").exists()


def test_sent_it_is_done_and_in_the_trail(office: Client, grant: Grant, finance: User) -> None:
    response = office.post(page(grant), WHY, follow=True)

    assert "was taken back" in response.content.decode()
    grant.refresh_from_db()
    assert (grant.voided, grant.remaining) == (Decimal("9.9975"), 0)
    trail = AuditEvent.objects.get(action="grant.voided")
    assert (trail.actor_id, trail.after["reason"]) == (finance.pk, "Granted twice")


def test_a_second_click_is_told_so(office: Client, grant: Grant) -> None:
    office.post(page(grant), WHY)
    response = office.post(page(grant), WHY)

    assert response.status_code == 200
    assert "voided already" in response.content.decode()
    assert LedgerEntry.objects.filter(kind="void").count() == 1


def test_without_a_reason_nothing_happens(office: Client, grant: Grant) -> None:
    response = office.post(page(grant), {"reason": " "})

    assert "reason" in response.context["form"].errors
    assert not LedgerEntry.objects.filter(kind="void").exists()


def test_who_may_not_does_not(grant: Grant) -> None:
    client = browser_of(User.objects.create_user("reader@ante.test", "correct horse battery", is_staff=True))

    assert client.post(page(grant), WHY).status_code == 403
    assert not LedgerEntry.objects.filter(kind="void").exists()
