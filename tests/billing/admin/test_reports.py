"""Reports: each sums to the books, opens for who may see the books, and can be taken along as a file."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from accounts.services.audit import SYSTEM
from billing.admin.reports import REPORTS
from billing.models import Customer, Invoice, RevenueDay
from billing.selectors.reports import reports
from billing.selectors.revenue import revenue as figures
from billing.services import revenue
from billing.services.invoicing import invoice_payments, invoices
from billing.services.wallet import wallets
from tests.billing.services.conftest import Clock, clock
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop, browser_of

__all__ = ["clock"]
D = Decimal
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


@pytest.fixture
def story(committed_db: None, clock: Clock, shop: Shop) -> Iterator[Clock]:
    """October and November: somebody with a plan of $30 and usage, and somebody who owes for usage and for its tax."""
    clock.stop(datetime(2026, 10, 1, 9, tzinfo=UTC))
    acme = shop.customer(usd="100", plan=None)
    start(acme, make_plan(shop, "small", fee="30"))
    shop.tax("DE", "0.1")
    owing = shop.customer("owing", country="DE")
    Customer.objects.filter(pk=owing.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=owing, asset=shop.usd, limit=D(100))
    shop.record(owing, project="alpha", input_tokens=4_000_000)
    clock.stop(datetime(2026, 11, 1, 9, tzinfo=UTC))
    revenue.close_due()
    assert invoices.issue(shop.balance(owing), end=datetime(2026, 11, 1, tzinfo=UTC)) is not None
    shop.record(owing, project="beta", input_tokens=2_000_000)
    clock.forward(days=1)
    revenue.close_due()
    return clock


def person(*permissions: str) -> Client:
    user = User.objects.create_user("ada@ante.test", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return browser_of(user)


def test_recurring_and_used_come_to_the_revenue_of_the_days(story: Clock) -> None:
    found = reports.months("usd", first=OCTOBER, last=NOVEMBER)

    first, second = found
    assert (first.month, first.mrr, first.subscriptions, first.usage) == (OCTOBER, 30, 1, 10)
    assert second.usage == 5
    earned = sum((row.revenue for day in RevenueDay.objects.all() for row in figures.roll_forward(day)), start=D(0))
    assert sum(row.fees + row.usage for row in found) == earned
    assert reports.mrr("usd", date(2026, 10, 15)) == 30


def test_cohorts_sum_to_the_same(story: Clock) -> None:
    found = reports.cohorts("usd", first=OCTOBER, last=NOVEMBER)
    months = reports.months("usd", first=OCTOBER, last=NOVEMBER)

    assert [(row.month, row.customers, len(row.revenue)) for row in found] == [(OCTOBER, 2, 2)]
    assert sum(found[0].revenue) == sum(row.fees + row.usage for row in months)


def test_ageing_sums_to_the_receivable_of_the_ledger(story: Clock, shop: Shop) -> None:
    (row,) = reports.ageing("usd", date(2026, 12, 20))

    assert (row.customer, row.ages[2], row.not_invoiced, row.total) == ("owing", 11, 5, 16)
    assert row.total == reports.receivable("usd")
    invoice = Invoice.objects.get()
    invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D("5.50"), reference="SEPA 1")
    assert sum(row.total for row in reports.ageing("usd", NOVEMBER)) == reports.receivable("usd") == D("10.5")


def test_what_is_written_off_is_a_loss_of_the_month(story: Clock) -> None:
    invoice_payments.write_off(actor=SYSTEM, invoice=Invoice.objects.get(), reason="Bankrupt")
    october, november = reports.losses("usd", first=OCTOBER, last=NOVEMBER)

    assert (october.prepaid, october.postpaid, october.written_off) == (100, 10, 0)
    assert (november.postpaid, november.written_off) == (5, 10)


def test_every_report_opens_with_a_chart_and_a_file(story: Clock) -> None:
    client = person("view_revenueday")
    for name in REPORTS:
        page = client.get(f"/admin/reports/{name}/?months=3&by=project")
        file = client.get(f"/admin/reports/{name}/?months=3&by=project&format=csv")
        rows = list(csv.reader(io.StringIO(file.getvalue().decode(), newline="")))

        assert (page.status_code, "report-data" in page.content.decode()) == (200, True), name
        assert rows[0] == page.context["heads"], name
        assert len(rows) - 1 == len(page.context["rows"]) > 0, name


def test_cost_centres_are_what_events_carry(story: Clock) -> None:
    file = person("view_revenueday").get("/admin/reports/cost-centres/?by=project&format=csv")

    assert [row[:3] for row in csv.reader(io.StringIO(file.getvalue().decode()))][1:] == [
        ["owing", "alpha", "10"],
        ["owing", "beta", "5"],
    ]


def test_who_may_not_see_the_books_sees_no_report(story: Clock) -> None:
    assert person().get("/admin/reports/recurring/").status_code == 403


def test_what_makes_no_sense_is_as_if_it_were_not_there(story: Clock) -> None:
    client = person("view_revenueday")

    assert client.get("/admin/reports/nothing/").status_code == 404
    for query in ("?months=x&currency=gold", "?by=%00", "?by=not%20a%20name"):
        assert client.get(f"/admin/reports/cost-centres/{query}").status_code == 200
        file = client.get(f"/admin/reports/cost-centres/{query}&format=csv")
        assert (file.status_code, bool(file.getvalue())) == (200, True)
