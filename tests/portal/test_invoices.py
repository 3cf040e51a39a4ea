"""The pages of invoices: what is owed on paper, what the wallet had paid of it, and who may see it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.test import Client

from accounts.models import Membership, User
from accounts.services.audit import SYSTEM
from billing.models import Customer, Invoice, UsageEvent
from billing.services.invoicing import documents, invoices, voiding
from billing.services.wallet import corrections, wallets
from tests.builders import Shop

SignedIn = Callable[[User], Client]
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def owing(shop: Shop, name: str = "acme", *, usd: str = "0") -> tuple[Customer, Invoice]:
    """A customer who used $5 beyond what was in the wallet, or what of $5 was."""
    customer = shop.customer(name, usd=usd)
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(100))
    shop.record(customer, input_tokens=2_000_000)
    invoice = invoices.issue(shop.balance(customer), end=LATER)
    assert invoice is not None
    return customer, invoice


def test_the_list_and_one_invoice_say_what_is_due_and_what_was_paid(shop: Shop, signed_in: SignedIn) -> None:
    customer, invoice = owing(shop, usd="1")
    client = signed_in(shop.member(customer))
    shop.fund(customer, "3")

    listed = client.get("/invoices").content.decode()
    page = client.get(f"/invoices/{invoice.pk}").content.decode()

    assert (invoice.number in listed, "Partly paid" in listed, "$4.00" in listed) == (True, True, True)
    for said in ("Paid from the wallet already", "$5.00", "$1.00", "Paid since", "$3.00", "Still open"):
        assert said in page
    assert 'at <data class="money" value="2.5">$2.50</data> per' in page


def test_sections_of_products_have_sums_on_invoice_and_statement(shop: Shop, signed_in: SignedIn) -> None:
    shop.meter("llm_input", "input_tokens", section="Text")
    customer, invoice = owing(shop)
    client = signed_in(shop.member(customer))

    page = client.get(f"/invoices/{invoice.pk}").content.decode()
    statement = client.get("/statement").content.decode()

    assert page.index("Text</dt>") < page.index("Llm Input") < page.index("Text, together")
    assert "$5.00" in statement.partition("What usage came to")[2].partition("</section>")[0]


def test_the_paper_is_a_pdf(shop: Shop, signed_in: SignedIn) -> None:
    customer, invoice = owing(shop)
    response = signed_in(shop.member(customer)).get(f"/invoices/{invoice.pk}/pdf")

    assert response.content.startswith(b"%PDF-")
    assert response["Content-Disposition"] == 'attachment; filename="INV-000001.pdf"'


def test_somebody_elses_invoice_is_not_there(shop: Shop, signed_in: SignedIn) -> None:
    owing(shop)
    client = signed_in(shop.member(shop.customer("globex"), "owner@globex.test"))

    assert "INV-000001" not in client.get("/invoices").content.decode()
    assert "No invoices" in client.get("/invoices").content.decode()
    for path in ("", "/pdf"):
        assert client.get(f"/invoices/{Invoice.objects.get().pk}{path}").status_code == 404


def test_a_developer_sees_no_invoices(shop: Shop, signed_in: SignedIn) -> None:
    customer, invoice = owing(shop)
    person = User.objects.create_user("developer@acme.test")
    Membership.objects.create(organization=customer.organization, user=person, role="developer")
    client = signed_in(person)

    for path in ("/invoices", f"/invoices/{invoice.pk}", f"/invoices/{invoice.pk}/pdf"):
        assert client.get(path).status_code == 403
    assert 'href="/invoices"' not in client.get("/").content.decode()


def test_a_credit_note_says_what_is_back_in_the_wallet(shop: Shop, signed_in: SignedIn, settings: Any) -> None:
    settings.INVOICE_NOTE = "Questions: billing@example.test"
    customer, _ = owing(shop, usd="1")
    shop.fund(customer, "6")
    shop.record(customer, input_tokens=800_000)
    for event in UsageEvent.objects.filter(customer=customer):
        corrections.reverse(actor=SYSTEM, event=event, reason="The model failed")
    note = invoices.issue(shop.balance(customer), end=LATER + timedelta(days=1))
    assert note is not None
    assert (note.kind, note.prepaid) == ("credit_note", -1)

    page = signed_in(shop.member(customer)).get(f"/invoices/{note.pk}").content.decode()

    assert ("Paid from the wallet already" in page, "Back in the wallet already" in page) == (False, True)
    assert "Questions: billing@example.test" in page
    assert documents.shown(note)["note"] == "Questions: billing@example.test"


def test_a_note_that_voids_says_what_stays_paid(shop: Shop, signed_in: SignedIn) -> None:
    customer, invoice = owing(shop, usd="1")
    note = voiding.void(actor=SYSTEM, invoice=invoice, reason="Another company was meant")
    assert note is not None
    assert (note.total, note.prepaid, note.due, shop.balance(customer).available) == (-5, -1, -4, 0)

    page = signed_in(shop.member(customer)).get(f"/invoices/{note.pk}").content.decode()

    assert ("Stays paid from the wallet" in page, "Back in the wallet already" in page) == (True, False)
    assert documents.shown(note)["prepaid_title"] == "Stays paid from the wallet"
