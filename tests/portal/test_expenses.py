"""Top-ups and usage as a customer's own books take them: by day, tied to the ledger to the last digit."""

from decimal import Decimal

from accounts.services.audit import SYSTEM
from billing.services.funding import refunds
from tests.builders import Shop
from tests.payments import Bank, Payer
from tests.portal.test_access import SignedIn
from tests.portal.test_pages import rows_of

D = Decimal


def test_payments_and_usage_add_up_to_the_balance(shop: Shop, bank: Bank, signed_in: SignedIn) -> None:
    shop.tax("DE", "0.19")
    customer = shop.customer(country="DE", timezone="Europe/Berlin")
    payer = Payer(shop, bank, customer)
    top_up = payer.paid("25")
    for number in range(3):
        shop.record(customer, id=f"used-{number}", input_tokens=400_000, output_tokens=1)
    refunds.start(refunds.create(actor=SYSTEM, top_up=top_up, amount=D(10)).pk)
    shop.fund(customer, "2", kind="promotional")

    header, *rows = rows_of(signed_in(shop.member(customer)).get("/expenses.csv"))
    found = [dict(zip(header, row, strict=True)) for row in rows]

    assert sum(D(row["amount"]) for row in found) == shop.balance(customer).available
    by_kind = {(row["kind"], row["product"]): row for row in found}
    paid = by_kind["top_up", ""]
    assert (paid["amount"], paid["paid"], paid["tax"], paid["currency"]) == ("25", "29.75", "4.75", "USD")
    assert paid["reference"] == str(top_up.pk)
    back = by_kind["refund", ""]
    assert (back["amount"], back["paid"], back["tax"]) == ("-10", "-11.9", "-1.9")
    assert (by_kind["usage", "llm_input"]["amount"], by_kind["usage", "llm_output"]["amount"]) == ("-3", "-0.00003")
    assert by_kind["grant", ""]["paid"] == ""


def test_days_narrow_it_down(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer(usd="10")

    assert len(rows_of(signed_in(shop.member(customer)).get("/expenses.csv?from=2020-01-01&to=2020-01-31"))) == 1
