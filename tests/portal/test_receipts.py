"""A payment's receipt as PDF, from the portal."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.builders import browser_of
from tests.payments import Payer


@pytest.mark.parametrize("state", ["paid", "open"])
def test_it_is_downloaded_from_the_portal_once_it_is_paid(payer: Payer, state: str) -> None:
    owner: Client = browser_of(payer.shop.member(payer.customer))
    top_up = payer.paid("25") if state == "paid" else payer.open("25")

    answer = owner.get(reverse("portal:receipt-pdf", args=[top_up.pk]))

    assert answer.status_code == (200 if state == "paid" else 404)
    if state == "paid":
        assert answer.content[:5] == b"%PDF-"
        assert reverse("portal:receipt-pdf", args=[top_up.pk]) in owner.get(reverse("portal:top-up")).content.decode()


def test_who_sees_no_invoices_sees_no_payments_either(payer: Payer) -> None:
    top_up = payer.paid("25")
    developer: Client = browser_of(payer.shop.member(payer.customer, "dev@acme.test", "developer"))

    for page in ("paid", "receipt", "receipt-pdf"):
        assert developer.get(reverse(f"portal:{page}", args=[top_up.pk])).status_code == 403
    shown = developer.get(reverse("portal:top-up"))
    assert shown.status_code == 200
    assert str(top_up.pk) not in shown.content.decode()
