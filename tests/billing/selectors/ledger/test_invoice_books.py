"""Every kind of tampering with invoices is found and named."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.services.audit import SYSTEM
from billing.models import Customer, UsageEvent
from billing.services.invoicing import invoices
from billing.services.wallet import corrections, wallets
from tests.billing.selectors.tampering import tamper, unguard
from tests.builders import Shop

GUARDED = (
    "billing_invoice",
    "billing_invoicetax",
    "billing_invoiceline",
    "billing_invoiceseries",
    "billing_ledgerentry",
)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def paper(owners_shop: Shop) -> Shop:
    """Two invoices and a credit note of one customer, guards off."""
    shop = owners_shop
    shop.tax("DE", "0.19")
    acme = shop.customer(usd="1", country="DE")
    Customer.objects.filter(pk=acme.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(100))
    for number in range(2):
        shop.record(acme, id=f"used-{number}", input_tokens=2_000_000, output_tokens=100_000)
        assert invoices.issue(shop.balance(acme), end=LATER) is not None
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="used-1"), reason="Wrong")
    assert invoices.issue(shop.balance(acme), end=LATER) is not None
    unguard(GUARDED)
    return shop


SECOND = "(SELECT id FROM billing_invoice WHERE sequence = 2)"
NOTE = "(SELECT id FROM billing_invoice WHERE kind = 'credit_note')"

TAMPERINGS = {
    "a number that was given to nothing": (
        "UPDATE billing_invoiceseries SET last = last + 1",
        {"invoice-numbers"},
    ),
    "a number that was left out": (
        f"UPDATE billing_invoice SET sequence = 3 WHERE id = {SECOND}",
        {"invoice-numbers"},
    ),
    "the last invoice, gone": (
        f"WITH gone AS (DELETE FROM billing_invoiceline WHERE invoice_id = {SECOND}),"
        f" too AS (DELETE FROM billing_invoicetax WHERE invoice_id = {SECOND}),"
        f" likewise AS (DELETE FROM billing_collection WHERE invoice_id = {SECOND})"
        f" DELETE FROM billing_invoice WHERE id = {SECOND}",
        {"invoice-numbers", "invoices"},
    ),
    "a series without a row": (
        "DELETE FROM billing_invoiceseries WHERE code = (SELECT series FROM billing_invoice WHERE sequence = 2)",
        {"invoice-numbers"},
    ),
    "a line of another amount": (
        f"UPDATE billing_invoiceline SET amount = amount + 0.01 WHERE position = 1 AND invoice_id = {SECOND}",
        {"invoices"},
    ),
    "a line that is gone": (
        f"DELETE FROM billing_invoiceline WHERE position = 1 AND invoice_id = {SECOND}",
        {"invoices"},
    ),
    "an invoice for more": (
        f"UPDATE billing_invoice SET due = due + 1, total = total + 1 WHERE id = {SECOND}",
        {"invoices"},
    ),
    "an invoice that says more was paid": (
        f"UPDATE billing_invoice SET due = due - 1, prepaid = prepaid + 1, tax_base = 0 WHERE id = {SECOND}",
        {"invoices"},
    ),
    "an invoice that leaves an entry out": (
        f"UPDATE billing_invoice SET first_seq = first_seq + 1 WHERE id = {SECOND}",
        {"invoices"},
    ),
    "an invoice that takes an entry of the next": (
        f"UPDATE billing_invoice SET last_seq = last_seq + 1 WHERE id = {SECOND}",
        {"invoices"},
    ),
    "an invoice that counts another debt": (
        f"UPDATE billing_invoice SET owed_after = owed_after + 0.000000000001 WHERE id = {SECOND}",
        {"invoices"},
    ),
    "a credit note for less": (
        f"UPDATE billing_invoice SET due = due + 1, total = total + 1 WHERE id = {NOTE}",
        {"invoices"},
    ),
    "what was owed before, changed": (
        f"UPDATE billing_invoice SET due_before = due_before + 1 WHERE id = {SECOND}",
        {"invoices"},
    ),
    "an invoice with another tax": (
        f"UPDATE billing_invoice SET tax = tax + 0.01 WHERE id = {SECOND}",
        {"invoice-taxes"},
    ),
    "a tax of an invoice changed": (
        f"UPDATE billing_invoicetax SET amount = amount + 0.01 WHERE invoice_id = {SECOND}",
        {"invoice-taxes"},
    ),
    "tax that is not in the ledger": (
        "UPDATE billing_ledgerentry SET amount = amount * 2 WHERE id = (SELECT id FROM billing_ledgerentry"
        " WHERE credit = 'tax_payable' ORDER BY id LIMIT 1)",
        {"invoice-taxes"},
    ),
    "an entry of an invoice changed": (
        "UPDATE billing_ledgerentry SET amount = amount * 2 WHERE id = (SELECT id FROM billing_ledgerentry"
        " WHERE kind = 'usage' AND debit = 'receivable' ORDER BY id LIMIT 1)",
        {"invoices"},
    ),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_tampering_with_invoices_is_found(paper: Shop, case: str) -> None:
    statement, expected = TAMPERINGS[case]

    assert tamper(statement) >= expected
