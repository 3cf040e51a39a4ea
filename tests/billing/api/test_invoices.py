"""``/invoices``: lists, one, and its PDF."""

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.models import Customer, Invoice
from billing.services.invoicing import invoices
from billing.services.wallet import wallets
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop


@pytest.fixture
def invoice(shop: Shop) -> Invoice:
    acme = shop.customer()
    Customer.objects.update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=shop.balance(acme).owed + 10)
    shop.record(acme, input_tokens=1_000_000)
    found = invoices.issue(shop.balance(acme), end=timezone.now())
    assert found is not None
    return found


def test_lists_and_one(api: Api, shop: Shop, invoice: Invoice) -> None:
    shown = api.get(f"/invoices/{invoice.pk}").json()

    assert (shown["number"], shown["status"], shown["total"], shown["due"], shown["outstanding"]) == (
        "INV-000001",
        "open",
        "2.5",
        "2.5",
        "2.5",
    )
    assert shown["lines"] == [
        {
            "kind": "usage",
            "product": "llm_input",
            "section": None,
            "description": "Llm Input",
            "quantity": "1000000",
            "unit": "",
            "unit_amount": "2.5",
            "per": "1000000",
            "metadata": {},
            "amount": "2.5",
            "exact": "2.5",
        }
    ]
    assert api.get("/invoices?customer=acme").json()["data"] == api.get("/invoices").json()["data"] == [shown]
    shop.fund(invoice.customer, "4")
    assert api.get(f"/invoices/{invoice.pk}").json()["status"] == "paid"


def test_pdf(api: Api, invoice: Invoice) -> None:
    response = api.get(f"/invoices/{invoice.pk}/pdf")

    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="INV-000001.pdf"'
    assert response.content.startswith(b"%PDF-")


def test_a_customer_sees_its_own(api: Api, as_key, shop: Shop, invoice: Invoice) -> None:
    other = as_key(shop.key(organization=shop.customer("globex").organization))
    own = as_key(shop.key(organization=invoice.customer.organization))

    assert own.get("/invoices").json()["data"][0]["id"] == str(invoice.pk)
    assert other.get("/invoices").json()["data"] == []
    problem(other.get(f"/invoices/{invoice.pk}"), 404, "not_found")
    problem(other.get(f"/invoices/{invoice.pk}/pdf"), 404, "not_found")
    problem(api.get("/invoices?customer=nobody"), 404, "not_found")
