"""Recurring grants in the back office: said first, then granted once, paused, resumed and ended with a reason."""

from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.ids import uuid7
from accounts.models import AuditEvent, User
from billing.models import Approval, Customer, Grant, RecurringGrant
from tests.builders import Shop

FORM = {
    **{"kind": "promotional", "asset": "usd", "amount": "25", "interval": "month", "times": "3", "name": "Free tier"},
    **{"expires": "period_end", "rollover_limit": "5", "reason": "Agreed on Monday"},
}


def page(customer: Customer) -> str:
    return reverse("admin:billing_customer_change", args=[customer.pk]).replace("/change/", "/grant-recurring/")


def test_it_is_shown_then_granted_once_then_ended(office: Client, shop: Shop, finance: User) -> None:
    acme = shop.customer(plan=None)
    sent: dict[str, Any] = FORM | {"key": str(uuid7())}

    review = office.post(page(acme), sent).context["review"]
    assert [title for title, _ in review["lines"]].count("Grant 3") == 1
    assert "$75" in review["total"]
    assert not RecurringGrant.objects.exists()
    for _ in range(2):
        assert office.post(page(acme), sent | {"confirm": "1"}).status_code == 302

    row = RecurringGrant.objects.get()
    assert (row.name, row.times, row.rollover_limit) == ("Free tier", 3, 5)
    assert Grant.objects.get().amount == 25
    assert AuditEvent.objects.get(action="recurring_grant.created").after["reason"] == "Agreed on Monday"
    for step, status in (("pause", "paused"), ("resume", "active"), ("cancel", "canceled")):
        change = reverse("admin:billing_recurringgrant_change", args=[row.pk])
        assert office.get(change).status_code == 200
        office.post(change.replace("/change/", f"/{step}/"), {"reason": "Because"})
        assert RecurringGrant.objects.get().status_at(row.starts_at).value == status


def test_what_gives_much_in_a_year_waits_and_what_cannot_be_is_said_beside_its_field(
    office: Client, shop: Shop
) -> None:
    acme = shop.customer(plan=None)
    large = FORM | {"key": str(uuid7()), "amount": "500", "times": "", "confirm": "1"}

    first, again = [office.post(page(acme), large, follow=True).content.decode() for _ in range(2)]
    refused = office.post(page(acme), FORM | {"key": str(uuid7()), "starts_on": "2020-01-01"})

    asked = Approval.objects.get()
    assert "second person has to approve" in first
    assert "Nothing is done a second time" in again
    assert "is given" not in again
    assert asked.amounts == {"usd": "6000"}
    shown = dict(office.get(reverse("admin:billing_approval_change", args=[asked.pk])).context["lines"])
    assert (shown["Every"], shown["Carried over, at most"]) == ("month", "$5.00")
    assert shown["What is left expires with its period"] == "yes"
    assert not RecurringGrant.objects.exists()
    assert refused.context["form"].errors["starts_on"]
