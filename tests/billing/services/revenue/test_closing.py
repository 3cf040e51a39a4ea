"""Days of the books: what they hold, what they recognise, and that they stay as they were closed."""

import csv
import io
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from accounts.services import audit
from accounts.services.audit import SYSTEM
from billing.errors import InvalidState, PermissionDenied
from billing.models import Customer, Recognition, RevenueDay, RevenueTotal
from billing.selectors.revenue import revenue as figures
from billing.selectors.revenue import revenue_files
from billing.services import revenue
from billing.services.funding import refunds
from billing.services.revenue import chart
from billing.services.wallet import grants, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop
from tests.payments import Bank, Payer

MORNING = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def days(committed_db: None, clock: Clock) -> Clock:
    clock.stop(MORNING)
    return clock


@pytest.fixture
def payer_days(days: Clock, shop: Shop, bank: Bank) -> Payer:
    return Payer(shop, bank)


def next_day(clock: Clock) -> RevenueDay:
    """Go to the next morning and close the day before."""
    clock.forward(days=1)
    return revenue.close_due()[-1]


def lines(day: RevenueDay) -> list[tuple[str, str, str, str, Decimal, str]]:
    return list(
        Recognition.objects.filter(day=day)
        .order_by("number")
        .values_list("movement", "debit", "credit", "currency_id", "amount", "product")
    )


def test_a_day_of_top_up_and_usage(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="100", plan="pro")
    shop.record(acme, input_tokens=1_000_000)

    day = next_day(days)

    assert (day.date, day.state, day.version) == (date(2026, 11, 2), "closed", 1)
    assert lines(day) == [
        ("billed", "cash_clearing", "deferred_revenue", "usd", Decimal(100), ""),
        ("recognised", "deferred_revenue", "usage", "usd", Decimal("2.5"), "llm_input"),
    ]
    assert len(day.sha256) == 64
    assert (day.entries, day.late) == (2, 0)


def test_cost_basis_is_what_was_paid_and_adds_up_exactly(shop: Shop, days: Clock) -> None:
    acme = shop.customer()
    shop.fund(acme, "3", paid_amount=Decimal(1))
    recognised = []
    for _ in range(3):
        shop.record(acme, output_tokens=100_000)
        day = next_day(days)
        recognised.append(Recognition.objects.get(day=day, movement="recognised").amount)

    assert recognised == [Decimal("0.333333333333"), Decimal("0.333333333334"), Decimal("0.333333333333")]
    assert sum(recognised) == 1


def test_what_occurred_on_a_closed_day_lands_in_the_open_one_with_its_own_date(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="100")
    first = next_day(days)
    shop.record(acme, input_tokens=1_000_000, time=MORNING)

    second = next_day(days)

    line = Recognition.objects.get(day=second)
    assert (line.movement, line.amount, line.occurred_on) == ("recognised", Decimal("2.5"), MORNING.date())
    assert (second.entries, second.late) == (1, 1)
    first.refresh_from_db()
    assert Recognition.objects.filter(day=first).count() == 1


def test_nothing_is_recognised_of_what_nobody_paid_for(shop: Shop, days: Clock) -> None:
    acme = shop.customer()
    shop.fund(acme, "5", kind="promotional")
    shop.record(acme, input_tokens=1_000_000)

    assert lines(next_day(days)) == [
        ("promotional", "promotional_expense", "usage", "usd", Decimal("2.5"), "llm_input"),
    ]


def test_what_expires_is_breakage(shop: Shop, days: Clock) -> None:
    acme = shop.customer()
    shop.fund(acme, "8", paid_amount=Decimal(6), expires_at=MORNING + timedelta(hours=3))
    shop.record(acme, input_tokens=800_000)
    days.forward(hours=4)
    grants.settle_due()

    assert [row[:1] + row[4:5] for row in lines(next_day(days))] == [
        ("billed", Decimal(6)),
        ("breakage", Decimal("4.5")),
        ("recognised", Decimal("1.5")),
    ]


def test_a_debt_is_revenue_when_it_is_made_and_the_money_that_pays_it_is_none(shop: Shop, days: Clock) -> None:
    acme = shop.customer()
    Customer.objects.update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(10))
    shop.record(acme, input_tokens=2_000_000)
    first = next_day(days)
    shop.fund(acme, "10", paid_amount=Decimal(8))
    second = next_day(days)

    assert lines(first) == [("recognised_owed", "receivable", "usage", "usd", Decimal(5), "llm_input")]
    assert [(row[0], row[4]) for row in lines(second)] == [
        ("billed", Decimal(8)),
        ("settled", Decimal(4)),
        ("conceded", Decimal(1)),
    ]
    (row,) = figures.roll_forward(second)
    assert (row.receivable, row.closing, row.revenue) == (0, 4, -1)


def test_a_base_fee_is_recognised_as_its_time_goes_by(shop: Shop, days: Clock) -> None:
    days.stop(datetime(2026, 11, 1, tzinfo=UTC))
    acme = shop.customer(plan=None, usd="100")
    start(acme, make_plan(shop, "small", fee="30"))
    days.forward(hours=12)
    closed = [next_day(days) for _ in range(30)]

    recognised = [Recognition.objects.get(day=day, movement="fee_recognised").amount for day in closed]
    assert recognised == [Decimal(1)] * 30
    assert figures.roll_forward(closed[-1])[0].closing == 70


def test_money_that_goes_back_is_refunded(payer_days: Payer, clock: Clock) -> None:
    top_up = payer_days.paid("25")
    payer_days.shop.record(payer_days.customer, input_tokens=1_000_000)
    made = refunds.create(actor=SYSTEM, top_up=top_up, amount=Decimal(10))
    refunds.start(made.pk)

    (row,) = figures.roll_forward(next_day(clock))

    assert (row.columns["billed"], row.columns["recognised"], row.columns["refunded"]) == (25, Decimal("2.5"), 10)
    assert row.closing == Decimal("12.5")


def test_a_bonus_that_goes_back_in_place_of_what_was_paid_takes_the_revenue_with_it(
    payer_days: Payer, clock: Clock, settings: Any
) -> None:
    settings.TOP_UP_BONUSES = {"50": "0.20"}
    Customer.objects.filter(pk=payer_days.customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(
        actor=SYSTEM, customer=payer_days.customer, asset=payer_days.shop.usd, limit=Decimal(100)
    )
    payer_days.shop.record(payer_days.customer, output_tokens=6_000_000)  # $60 that are owed.
    top_up = payer_days.paid("100")
    made = refunds.create(actor=SYSTEM, top_up=top_up)
    refunds.start(made.pk)
    assert (made.amount, made.credit, made.bonus) == (50, 40, 20)

    (row,) = figures.roll_forward(next_day(clock))

    assert (row.columns["billed"], row.columns["refunded"], row.columns["settled"], row.closing) == (100, 40, 60, 0)
    of = {"debit": Decimal(0), "credit": Decimal(0)}
    for line in Recognition.objects.all():
        for side in of:
            of[side] += line.amount * (getattr(line, side) == "usage")
    assert of["credit"] - of["debit"] == 50  # What the customer has paid after all.


def test_days_that_were_missed_are_closed_in_order_and_the_running_one_is_not(shop: Shop, days: Clock) -> None:
    shop.customer(usd="1")
    days.forward(days=3)

    assert [day.date.day for day in revenue.close_due()] == [2, 3, 4]
    assert revenue.close_due() == []
    assert RevenueDay.objects.filter(state="open").count() == 1


def test_the_operators_midnight_ends_the_day(shop: Shop, days: Clock, settings: Any) -> None:
    settings.TIME_ZONE = "America/New_York"
    days.stop(datetime(2026, 11, 1, 3, tzinfo=UTC))
    shop.customer(usd="1")
    days.stop(datetime(2026, 11, 2, 9, tzinfo=UTC))

    first, second = revenue.close_due()

    assert (first.date, second.date) == (date(2026, 10, 31), date(2026, 11, 1))
    # The clocks go back on that day: it has 25 hours.
    assert second.end - second.start == timedelta(hours=25)


def test_a_day_waits_even_for_the_newest_of_all_transactions(shop: Shop, days: Clock) -> None:
    """None ends after it begins: what PostgreSQL calls the end of a snapshot would be its number, and not above."""
    shop.customer(usd="10")
    assert revenue.close_due() == []
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id()")
            days.forward(days=1)
            assert revenue.close_due() == []
            assert revenue.waiting()
            cursor.execute("COMMIT")
    finally:
        other.close()

    assert len(revenue.close_due()) == 1


def test_a_day_waits_for_what_began_before_its_end(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="10")
    days.forward(hours=14, minutes=59)
    started, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                shop.record(acme, input_tokens=1_000_000)
                started.set()
                assert go_on.wait(60)
        finally:
            connection.close()

    writer = threading.Thread(target=slow)
    writer.start()
    assert started.wait(60)
    days.forward(days=1)
    try:
        assert revenue.close_due() == []
        assert revenue.waiting()
    finally:
        go_on.set()
        writer.join()
    (day,) = revenue.close_due()

    assert day.entries == 2
    assert Recognition.objects.filter(day=day, movement="recognised").count() == 1


def test_a_row_with_a_time_of_before_goes_to_the_open_day(shop: Shop, days: Clock) -> None:
    """As when the clock of the database is set back: the number of its transaction tells."""
    acme = shop.customer(usd="10")
    first = next_day(days)
    days.stop(MORNING + timedelta(hours=1))
    shop.record(acme, input_tokens=1_000_000)
    days.stop(MORNING + timedelta(days=2))

    (second,) = revenue.close_due()

    assert (first.entries, second.entries, second.late) == (1, 1, 1)
    with transaction.atomic():
        assert revenue_files.measured(first) == first.files


def test_a_closed_day_and_its_lines_cannot_be_changed(shop: Shop, days: Clock) -> None:
    shop.customer(usd="10")
    day = next_day(days)

    for refused in (
        lambda: RevenueDay.objects.filter(pk=day.pk).update(sha256="0" * 64),
        lambda: RevenueDay.objects.filter(pk=day.pk).delete(),
        lambda: Recognition.objects.filter(day=day).update(amount=1),
        lambda: RevenueTotal.objects.filter(day=day).delete(),
    ):
        with pytest.raises(DatabaseError):
            refused()


def test_a_day_is_not_reopened_by_one_person_with_two_accounts(shop: Shop, days: Clock) -> None:
    shop.customer(usd="10")
    day = next_day(days)
    people = [User.objects.create_user(f"{name}@ante.test", is_staff=True) for name in ("ada", "ben", "eve")]
    ada, ben, eve = (audit.Actor.of_user(each, ip_address=None, request_id="") for each in people)
    audit.record(actor=ada, action="user.created", object_type="user", object_id=str(ben.id))
    asked = revenue.reopen(actor=ada, day=day, reason="The import was late")

    with pytest.raises(PermissionDenied, match="A third person"):
        revenue.approve(actor=ben, day=asked)

    assert revenue.approve(actor=eve, day=asked).approved_by == "eve@ante.test"


def test_reopening_takes_two_people_and_makes_a_version_beside_the_first(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="10")
    first = next_day(days)
    shop.record(acme, id="late", input_tokens=1_000_000, time=MORNING)
    shop.record(acme, id="today", input_tokens=2_000_000)
    ada, ben = (audit.Actor("user", label=name) for name in ("ada@ante.test", "ben@ante.test"))

    asked = revenue.reopen(actor=ada, day=first, reason="The import was late")
    assert revenue.close_due() == []
    with pytest.raises(InvalidState, match="another person"):
        revenue.approve(actor=ada, day=asked)
    revenue.approve(actor=ben, day=asked)
    days.forward(minutes=1)
    (again,) = revenue.close_due()
    second = next_day(days)

    assert (again.date, again.version, again.entries) == (first.date, 2, 2)
    assert (second.entries, second.late) == (1, 0)
    assert [row[4] for row in lines(again)] == [Decimal(10), Decimal("2.5")]
    assert [row[4] for row in lines(second)] == [Decimal(5)]
    with transaction.atomic():
        assert revenue_files.measured(first) == first.files
    with pytest.raises(InvalidState, match="newest"):
        revenue.reopen(actor=ada, day=again, reason="Once more")


def test_what_goes_to_a_general_ledger_is_in_coins_that_add_up(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="10")
    exported = Decimal(0)
    for _ in range(4):
        shop.record(acme, input_tokens=1_333)
        day = next_day(days)
        with transaction.atomic():
            text = b"".join(revenue_files.file(day, "netsuite")).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert sum(Decimal(row["Debit"] or 0) - Decimal(row["Credit"] or 0) for row in rows) == 0
        exported += sum(Decimal(row["Credit"] or 0) for row in rows if row["Account"] == "usage")

    assert exported == Decimal("0.01")  # 4 × 0.0033325, half even.


def test_the_chart_of_accounts_is_kept_with_the_day(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="10")
    shop.record(acme, input_tokens=1_000_000)
    chart.set_account(actor=SYSTEM, account="deferred_revenue", number="2400 Contract liabilities")
    chart.set_account(actor=SYSTEM, account="usage", product="llm_input", number="4010", department="AI")
    day = next_day(days)
    chart.set_account(actor=SYSTEM, account="usage", product="llm_input", number="9999")

    with transaction.atomic():
        assert revenue_files.measured(day) == day.files
        sap = b"".join(revenue_files.file(day, "sap")).decode()

    assert [row["HKONT"] for row in csv.DictReader(io.StringIO(sap))] == ["cash_clearing", "2400", "2400", "4010"]
