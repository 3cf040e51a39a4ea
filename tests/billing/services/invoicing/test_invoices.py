"""Invoices: derived from the ledger, each entry in one, numbers without a gap, corrections as credit notes."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import reading
from accounts.services.audit import SYSTEM
from billing.engine.prices import TierTerms
from billing.models import Customer, Invoice, OutboxEvent, UsageEvent
from billing.selectors.invoicing import invoices as figures
from billing.selectors.ledger import books
from billing.services.catalog.prices import PriceTerms
from billing.services.invoicing import documents, invoices
from billing.services.wallet import corrections, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop
from tests.owner import as_owner

D = Decimal
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def owing(shop: Shop, name: str = "acme", *, usd: str = "0", limit: str = "1000", plan: str = "pro") -> Customer:
    """A customer who may use more than there is in the wallet."""
    customer = shop.customer(name, usd=usd, plan=plan)
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=D(limit))
    return customer


def issue(shop: Shop, customer: Customer) -> Invoice | None:
    return invoices.issue(shop.balance(customer), end=LATER)


def test_an_invoice_has_what_was_used_what_was_paid_and_what_is_due(shop: Shop) -> None:
    acme = owing(shop, usd="10")
    shop.record(acme, input_tokens=2_000_000, output_tokens=1_234_567)

    invoice = issue(shop, acme)

    assert invoice is not None
    lines = [(line.description, line.quantity, line.amount) for line in invoice.lines.order_by("position")]
    assert lines == [("Llm Input", 2_000_000, 5), ("Llm Output", 1_234_567, D("12.35"))]
    assert (invoice.number, invoice.total, invoice.prepaid, invoice.due) == ("INV-000001", D("17.35"), 10, D("7.35"))
    assert OutboxEvent.objects.filter(type="invoice.finalized").count() == 1


def test_prepaid_use_makes_no_invoice(shop: Shop) -> None:
    acme = owing(shop, usd="1000")
    shop.record(acme, input_tokens=400_000)

    assert issue(shop, acme) is None
    assert shop.balance(acme).available == 999


def test_every_entry_is_in_one_invoice_and_what_is_due_adds_up(shop: Shop) -> None:
    acme = owing(shop)
    for _ in range(5):
        shop.record(acme, input_tokens=1_333)
        issue(shop, acme)
        assert issue(shop, acme) is None
    found = list(Invoice.objects.order_by("first_seq"))

    assert sum(invoice.due for invoice in found) == D("0.02")  # 5 × 0.0033325
    assert [row.sequence for row in found] == list(range(1, len(found) + 1))


def test_what_is_given_back_after_the_invoice_is_a_credit_note(shop: Shop) -> None:
    acme = owing(shop)
    shop.record(acme, id="wrong", input_tokens=2_000_000)
    issue(shop, acme)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")

    note = issue(shop, acme)

    assert note is not None
    assert (note.kind, note.number, note.due) == ("credit_note", "CN-000001", -5)


def test_money_that_comes_in_pays_the_oldest_first(shop: Shop) -> None:
    acme = owing(shop)
    for tokens in (2_000_000, 4_000_000):
        shop.record(acme, input_tokens=tokens)
        issue(shop, acme)
    shop.fund(acme, "8")
    first, second = Invoice.objects.order_by("first_seq")
    paid = figures.paid([first, second])

    assert (paid[first.pk].net, paid[second.pk].net) == (5, 3)
    assert [figures.status(each, paid[each.pk]) for each in (first, second)] == ["paid", "partly_paid"]


def test_fees_are_lines_of_their_own(shop: Shop, clock: Clock) -> None:
    clock.stop(datetime(2026, 11, 1, tzinfo=UTC))
    acme = owing(shop)
    start(acme, make_plan(shop, "small", fee="30"))

    invoice = issue(shop, acme)

    assert invoice is not None
    assert [(line.kind, line.description, line.amount) for line in invoice.lines.all()] == [
        ("fee", "Small, 1 Nov 2026 to 1 Dec 2026", 30)
    ]


@pytest.mark.parametrize(
    ("every", "start_", "end"),
    [("day", "2026-11-18", "2026-11-19"), ("week", "2026-11-12", "2026-11-16"), ("month", "2026-10-02", "2026-11-01")],
)
def test_periods_are_the_operators(shop: Shop, clock: Clock, settings: Any, every: str, start_: str, end: str) -> None:
    settings.INVOICE_EVERY = every
    clock.stop(datetime.fromisoformat(f"{start_}T12:00Z"))
    shop.record(owing(shop), input_tokens=1_000_000)
    clock.stop(datetime(2026, 11, 19, 8, tzinfo=UTC))
    shop.record(input_tokens=4_000_000)

    (invoice,) = invoices.issue_due()

    assert (invoice.period_end, invoice.due) == (datetime.fromisoformat(f"{end}T00:00Z"), D("2.5"))
    assert invoices.issue_due() == []


def test_an_invoice_cannot_be_changed(shop: Shop) -> None:
    acme = owing(shop)
    shop.record(acme, input_tokens=1_000_000)
    invoice = issue(shop, acme)
    assert invoice is not None

    for refused in (invoice.delete, lambda: Invoice.objects.update(due=1), lambda: invoice.lines.all().delete()):
        with pytest.raises(DatabaseError), transaction.atomic():
            refused()


def test_numbers_have_no_gap_whoever_comes_at_once(committed_db: None, shop: Shop) -> None:
    names = [f"c{number}" for number in range(6)]
    for name in names:
        shop.record(owing(shop, name), input_tokens=1_000_000)
    at_once = threading.Barrier(len(names) * 2)

    def run(name: str) -> None:
        try:
            at_once.wait()
            issue(shop, Customer.objects.get(external_id=name))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[name]) for name in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(Invoice.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert Invoice.objects.values("customer").distinct().count() == 6


@pytest.mark.corrupts_books
def test_an_invoice_that_is_not_what_the_ledger_says_is_found(committed_db: None, shop: Shop) -> None:
    acme = owing(shop)
    shop.record(acme, input_tokens=1_000_000)
    invoice = issue(shop, acme)
    assert invoice is not None
    as_owner("UPDATE billing_invoice SET total = total + 1, due = due + 1 WHERE id = %s", invoice.pk)

    assert [found.invariant for found in books.differences("invoices")] == ["invoices"]


def test_the_pdf_says_what_the_invoice_says(shop: Shop, settings: Any) -> None:
    settings.INVOICE_SELLER = ["Example GmbH", "1 Main Street"]
    acme = owing(shop, usd="1")
    shop.record(acme, input_tokens=1_234_567)
    invoice = issue(shop, acme)
    assert invoice is not None

    shown = documents.shown(invoice)

    assert documents.invoice_pdf(invoice).startswith(b"%PDF-")
    assert (shown["total"], shown["prepaid"], shown["due"]) == ("3.09", "\N{MINUS SIGN}1.00", "2.09")
    assert shown["seller"] == ["Example GmbH", "1 Main Street"]
    assert shown["sections"][0]["lines"][0]["quantity"] == "1,234,567"
    with reading.reading_as(reading.Reading.of("de")):
        shown = documents.shown(invoice)
        assert documents.invoice_pdf(invoice).startswith(b"%PDF-")
    assert (shown["title"], shown["due_title"], shown["due"]) == ("Rechnung", "Fällig", "2,09")
    assert shown["sections"][0]["lines"][0]["quantity"] == "1.234.567"


def test_what_a_customer_is_called_is_not_run(shop: Shop) -> None:
    acme = owing(shop)
    Customer.objects.filter(pk=acme.pk).update(name='#panic("no") $x$ *bold* \\ "')
    shop.record(acme, input_tokens=1_000_000)
    invoice = issue(shop, acme)
    assert invoice is not None

    assert documents.invoice_pdf(invoice).startswith(b"%PDF-")
    assert invoice.due_on >= (invoice.issued_at + timedelta(days=13)).date()


def test_chosen_metadata_is_on_the_lines_and_nothing_else(shop: Shop, settings: Any) -> None:
    settings.INVOICE_LINE_KEYS = ["project"]
    acme = owing(shop)
    for project in ("alpha", "beta", "alpha"):
        shop.record(acme, project=project, user="u_1", input_tokens=2_000_000)

    invoice = issue(shop, acme)

    assert invoice is not None
    assert [(line.metadata, line.quantity, line.amount) for line in invoice.lines.order_by("position")] == [
        ({"project": "alpha"}, 4_000_000, 10),
        ({"project": "beta"}, 2_000_000, 5),
    ]
    assert documents.shown(invoice)["sections"][0]["lines"][0]["description"] == "Llm Input, project alpha"


def test_text_images_and_speech_are_sections_of_one_invoice(shop: Shop) -> None:
    kinds = {"Text": ("words", "0.01"), "Images": ("images", "0.5"), "Speech": ("minutes", "0.1")}
    shop.plan(
        "media",
        [
            shop.price(shop.meter(unit, unit, event_type=f"{section.lower()}.made", section=section), price)
            for section, (unit, price) in kinds.items()
        ],
    )
    acme = owing(shop, plan="media")
    for section, (unit, _) in kinds.items():
        shop.record(acme, type=f"{section.lower()}.made", **{unit: 10})
    invoice = issue(shop, acme)
    assert invoice is not None

    shown = documents.shown(invoice)

    found = {one["name"]: (len(one["lines"]), one["subtotal"]) for one in shown["sections"]}
    assert found == {"Text": (1, "0.10"), "Images": (1, "5.00"), "Speech": (1, "1.00")}
    assert shown["total"] == "6.10"
    assert documents.invoice_pdf(invoice).startswith(b"%PDF-")


def test_discounts_are_lines_of_their_own(shop: Shop, clock: Clock) -> None:
    clock.stop(datetime(2026, 11, 1, tzinfo=UTC))
    acme = owing(shop)
    start(acme, make_plan(shop, "small", fee="30"), discount=D("0.2"))

    invoice = issue(shop, acme)

    assert invoice is not None
    assert [(line.kind, line.amount) for line in invoice.lines.order_by("position")] == [("fee", 30), ("discount", -6)]
    assert invoice.due == 24


def test_an_invoice_comes_as_soon_as_so_much_is_owed(shop: Shop, settings: Any) -> None:
    settings.INVOICE_AMOUNT = D(10)
    acme = owing(shop)
    shop.record(acme, input_tokens=3_999_999)
    assert invoices.issue_due() == []
    shop.record(acme, input_tokens=1)

    (invoice,) = invoices.issue_due()

    assert (invoice.due, invoices.issue_due()) == (10, [])


def test_less_than_a_coin_that_is_open_is_paid(shop: Shop) -> None:
    acme = owing(shop)
    shop.record(acme, input_tokens=2_000_001)  # 5.0000025
    shop.record(acme, output_tokens=599_999)  # 10.9999925 in all, on paper 11
    invoice = issue(shop, acme)
    assert invoice is not None
    shop.fund(acme, "10.9999925")
    paid = figures.paid([invoice])[invoice.pk]

    assert (invoice.due, paid.net, figures.status(invoice, paid)) == (11, D("10.9999925"), "paid")


@pytest.mark.parametrize(("code", "price", "coin"), [("jpy", "0.7", "1"), ("kwd", "0.0007", "0.001")])
def test_coins_are_those_of_the_currency(shop: Shop, code: str, price: str, coin: str) -> None:
    acme = owing(shop)
    currency = shop.asset(code, precision=12, kind="currency")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=currency, limit=D(10_000))
    shop.plan("other", [shop.price(shop.meter("pages", "value", event_type="pages"), price, asset=currency)])
    shop.subscribe(acme, "other")
    found = []
    for _ in range(2):
        shop.record(acme, type="pages", value=5)  # 3.5 coins
        found.append(invoices.issue(shop.balance(acme, code), end=LATER))
        assert found[-1] is not None

    assert [invoice.due for invoice in found if invoice] == [4 * D(coin), 3 * D(coin)]
    shown = str(documents.shown(Invoice.objects.order_by("first_seq")[0]))
    assert str(4 * D(coin)) in shown
    assert "4.00" not in shown


def tiers(shop: Shop, **terms: Any) -> Any:
    steps = (
        TierTerms(up_to=D(1_000_000), unit_amount=D(3)),
        TierTerms(up_to=D(10_000_000), unit_amount=D("2.5")),
        TierTerms(unit_amount=D(2), flat_amount=D(1)),
    )
    meter = shop.meter("pages", "value", event_type="pages", dimensions=["project"])
    return PriceTerms(meter=meter, asset=shop.usd, model="graduated", tiers=steps, per=D(1_000_000), **terms)


def lines_of(invoice: Invoice | None) -> list[Any]:
    assert invoice is not None
    return [
        (line.description, line.quantity, line.unit_amount, line.amount) for line in invoice.lines.order_by("position")
    ]


def test_each_tier_is_a_line_with_its_quantity_and_rate(shop: Shop) -> None:
    shop.plan("steps", [tiers(shop)])
    acme = owing(shop, plan="steps")
    for value in (999_999, 1, 4_000_000, 4_000_000, 3_000_000):
        shop.record(acme, type="pages", value=value)

    assert lines_of(issue(shop, acme)) == [
        ("Pages, up to 1,000,000", 1_000_000, 3, 3),
        ("Pages, above 1,000,000 to 10,000,000", 9_000_000, D("2.5"), D("22.5")),
        ("Pages, above 10,000,000", 2_000_000, 2, 4),
        ("Pages, above 10,000,000: flat amount", None, None, 1),
    ]


def test_tiers_go_on_from_the_invoice_before_and_back_with_what_is_reversed(shop: Shop, settings: Any) -> None:
    settings.INVOICE_LINE_KEYS = ["project"]
    shop.plan("steps", [tiers(shop)])
    acme = owing(shop, plan="steps")
    shop.record(acme, type="pages", value=900_000, project="alpha")
    assert lines_of(issue(shop, acme)) == [("Pages, up to 1,000,000", 900_000, 3, D("2.7"))]
    shop.record(acme, id="wrong", type="pages", value=200_000, project="alpha")
    shop.record(acme, type="pages", value=100_000, project="beta")
    assert lines_of(issue(shop, acme)) == [
        ("Pages, up to 1,000,000", 100_000, 3, D("0.3")),
        ("Pages, above 1,000,000 to 10,000,000", 100_000, D("2.5"), D("0.25")),
        ("Pages, above 1,000,000 to 10,000,000", 100_000, D("2.5"), D("0.25")),
    ]

    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")

    assert lines_of(issue(shop, acme)) == [
        ("Pages, up to 1,000,000", -100_000, 3, D("-0.3")),
        ("Pages, above 1,000,000 to 10,000,000", -100_000, D("2.5"), D("-0.25")),
    ]


def test_where_tiers_do_not_account_for_the_amount_there_is_one_line(shop: Shop) -> None:
    shop.plan("steps", [tiers(shop, maximum_amount=D(5))])
    acme = owing(shop, plan="steps")
    shop.record(acme, type="pages", value=12_000_000)

    assert lines_of(issue(shop, acme)) == [("Pages", 12_000_000, None, 5)]


def test_prices_of_a_meter_are_told_apart_by_what_they_are_for(shop: Shop) -> None:
    meter = shop.meter("tokens", "value", event_type="pages", dimensions=["model"])
    shop.plan("models", [shop.price(meter, "1", model=["large"]), shop.price(meter, "0.5", model=["small"])])
    acme = owing(shop, plan="models")
    for model in ("large", "small"):
        shop.record(acme, type="pages", value=2, model=model)

    assert lines_of(issue(shop, acme)) == [("Tokens, large", 2, 1, 2), ("Tokens, small", 2, D("0.5"), 1)]
