"""What pages and programs are told, against figures worked out by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest
from billing.models import Customer, LedgerEntry
from billing.selectors.ledger import balances, statements
from billing.selectors.usage import rollups, usage
from billing.services import usage as recording
from billing.services.wallet import wallets
from tests.builders import Shop

HOUR = timedelta(hours=1)


def available(customer: Customer, at: datetime | None = None) -> Decimal:
    return balances.current([customer.pk], at=at)[0].available


# --- Balances ---------------------------------------------------------------------------------------------------------


def test_a_balance_tells_what_is_stored(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, input_tokens=1000, output_tokens=450)
    row = balances.current([acme.pk])[0]
    assert (row.asset, row.available, row.held) == ("usd", Decimal("99.993"), Decimal(0))
    assert (row.lifetime_granted, row.lifetime_spent) == (Decimal(100), Decimal("0.007"))
    assert row.seq == shop.balance(acme).seq


def test_what_has_lapsed_does_not_count_though_no_worker_came_by(shop: Shop) -> None:
    acme = shop.customer(usd="10")
    end = timezone.now() + HOUR
    shop.fund(acme, "5", kind="promotional", expires_at=end)
    assert available(acme) == 15
    assert available(acme, at=end - timedelta(microseconds=1)) == 15
    assert available(acme, at=end) == 10
    assert shop.balance(acme).available == 15


def test_what_has_started_counts_though_no_worker_came_by(shop: Shop) -> None:
    acme = shop.customer(usd="10")
    start = timezone.now() + HOUR
    shop.fund(acme, "5", kind="promotional", effective_at=start, expires_at=start + HOUR)
    assert available(acme) == 10
    assert available(acme, at=start) == 15
    assert available(acme, at=start + HOUR) == 10


def test_balances_of_several_customers_take_one_statement(shop: Shop, django_assert_num_queries: object) -> None:
    customers = [shop.customer(name, usd="1") for name in ["acme", "umbrella", "initech"]]
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert len(balances.current(c.pk for c in customers)) == 3
    assert balances.current([]) == []


def test_grants_are_listed_in_the_order_in_which_charges_burn_them(shop: Shop) -> None:
    acme = shop.customer()
    shop.fund(acme, "1", name="bought, never ends")
    shop.fund(acme, "1", name="ends later", kind="promotional", expires_at=timezone.now() + 9 * HOUR)
    shop.fund(acme, "1", name="ends sooner", kind="promotional", expires_at=timezone.now() + HOUR)
    shop.fund(acme, "1", name="preferred", priority=10)
    shop.fund(acme, "1", name="not yet", effective_at=timezone.now() + HOUR)
    names = [grant.name for grant in balances.open_grants(customer_id=acme.pk)]
    assert names == ["preferred", "ends sooner", "ends later", "bought, never ends"]
    shop.record(acme, output_tokens=150_000)  # $1.50
    left = {grant.name: grant.remaining for grant in balances.open_grants(customer_id=acme.pk)}
    assert left == {"ends sooner": Decimal("0.5"), "ends later": 1, "bought, never ends": 1}


def test_runway_is_what_is_left_by_what_a_day_takes() -> None:
    assert balances.runway_days(available=Decimal(90), spent=Decimal(21), days=7) == 30
    assert balances.runway_days(available=Decimal(-3), spent=Decimal(21), days=7) == 0
    assert balances.runway_days(available=Decimal(90), spent=Decimal(0), days=7) is None


# --- Statements -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("debit", "credit", "signed"),
    [
        ("cash_clearing", "wallet_available", 5),
        ("wallet_available", "usage", -5),
        ("receivable", "usage", -5),
        ("wallet_available", "receivable", 0),
        ("wallet_available", "wallet_held", -5),
        ("wallet_held", "wallet_available", 5),
        ("wallet_held", "usage", 0),
        ("cash_clearing", "receivable", 5),
    ],
)
@pytest.mark.django_db
def test_the_sign_is_the_balances_own(debit: str, credit: str, signed: int) -> None:
    entry = SimpleNamespace(debit=debit, credit=credit, amount=Decimal(5))
    assert statements.signed_amount(entry) == signed
    with connection.cursor() as cursor:
        entry_sql = f"SELECT 5 AS amount, '{debit}' AS debit, '{credit}' AS credit"
        cursor.execute(f"SELECT {statements.SIGNED_AMOUNT_SQL} FROM ({entry_sql}) e")
        assert cursor.fetchone() == (signed,)


def test_each_amount_is_the_difference_of_two_balances(shop: Shop) -> None:
    acme = shop.customer(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(10))
    shop.fund(acme, "1")
    shop.record(acme, output_tokens=300_000)  # $3: one from the grant, two beyond it.
    shop.fund(acme, "5")  # Of which two pay what is owed.
    shop.record(acme, output_tokens=1)
    rows = statements.page(customer_id=acme.pk).rows
    for newer, older in pairwise(rows):
        assert newer.balance_after - older.balance_after == newer.amount
    assert rows[-1].balance_after == rows[-1].amount == 1
    assert rows[0].balance_after == available(acme) == Decimal("2.99999")
    by_id = {entry.pk: entry for entry in LedgerEntry.objects.filter(customer=acme)}
    assert [row.amount for row in rows] == [statements.signed_amount(by_id[row.id]) for row in rows]


def test_a_row_tells_what_it_was_for(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    outcome = shop.record(acme, id="inf_1", model="gpt-4o", output_tokens=450)
    usage_row, top_up = statements.page(customer_id=acme.pk).rows
    assert (usage_row.kind, usage_row.amount, usage_row.balance_after) == (
        "usage",
        Decimal("-0.0045"),
        Decimal("99.9955"),
    )
    assert (usage_row.event, usage_row.meter, usage_row.model) == ("inf_1", "Llm Output", "gpt-4o")
    assert usage_row.transaction_id == outcome.transaction_id
    assert (top_up.kind, top_up.amount, top_up.event, top_up.meter) == ("top_up", Decimal(100), None, None)
    assert top_up.grant_id == usage_row.grant_id


def test_pages_follow_on_each_other_without_gap_or_repeat(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    for _ in range(7):
        shop.record(acme, output_tokens=1)
    whole = [row.id for row in statements.page(customer_id=acme.pk, limit=100).rows]
    assert len(whole) == 8
    for limit in [1, 3, 4, 8]:
        seen, before = [], None
        while True:
            part = statements.page(customer_id=acme.pk, limit=limit, before=before)
            assert len(part.rows) <= limit
            seen += [row.id for row in part.rows]
            if part.next_cursor is None:
                break
            before = part.next_cursor
        assert seen == whole


def test_filters(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.asset("images")
    shop.fund(acme, "20", asset="images", kind="promotional")
    now = timezone.now()
    shop.record(acme, id="old", time=now - timedelta(days=10), output_tokens=1)
    shop.record(acme, id="new", time=now, output_tokens=1)

    def events(**filters: object) -> list[str | None]:
        return [row.event for row in statements.page(customer_id=acme.pk, **filters).rows]  # type: ignore[arg-type]

    assert events(kind="usage") == ["new", "old"]
    assert events(kind="expiry") == []
    assert [row.amount for row in statements.page(customer_id=acme.pk, asset="images").rows] == [20]
    assert events(kind="usage", end=now - timedelta(days=5)) == ["old"]
    assert events(kind="usage", start=now - timedelta(days=5)) == ["new"]
    assert events(kind="usage", start=now - timedelta(days=10), end=now) == ["old"]  # Half-open.


def test_an_event_is_found_by_its_whole_id_whatever_its_source(shop: Shop) -> None:
    acme, umbrella = shop.customer("acme", usd="1"), shop.customer("umbrella", usd="1")
    for source in ["a", "b", "c"]:
        shop.record(acme, id="same", source=source, output_tokens=1)
    shop.record(acme, id="other", source="b", output_tokens=1)
    shop.record(umbrella, id="theirs", source="b", output_tokens=1)
    assert len(statements.page(customer_id=acme.pk, search="same").rows) == 3
    assert len(statements.page(customer_id=acme.pk, search="other").rows) == 1
    for search in ["sam", "theirs", "' OR 1=1", "%"]:
        assert statements.page(customer_id=acme.pk, search=search).rows == []


def test_a_transaction_is_found_by_its_id(shop: Shop) -> None:
    acme = shop.customer("acme", usd="1")
    outcome = shop.record(acme, id="first", output_tokens=1)
    assert [row.event for row in statements.page(customer_id=acme.pk, search=str(outcome.transaction_id)).rows] == [
        "first"
    ]


# --- Usage ------------------------------------------------------------------------------------------------------------

DAY = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
def march(shop: Shop) -> Customer:
    """Two models on three days of March 2026, $10 for a million output tokens and $2.50 for a million input."""
    with time_machine.travel(DAY + timedelta(days=5), tick=True):
        acme = shop.customer(usd="1000")
        for day, hour, model, output in [(0, 23, "gpt-4o", 100_000), (1, 1, "gpt-4o", 200_000), (1, 9, "o3", 50_000)]:
            shop.record(
                acme,
                time=DAY + timedelta(days=day, hours=hour),
                model=model,
                user="u_1",
                input_tokens=400_000,
                output_tokens=output,
            )
        shop.record(acme, time=DAY + timedelta(days=2), output_tokens=1_000)
    return acme


WEEK: dict[str, Any] = {"start": DAY, "end": DAY + timedelta(days=7)}


def test_usage_by_day(march: Customer) -> None:
    rows = usage.rows(customer_id=march.pk, **WEEK)
    assert [(row.period_start - DAY, row.amount, row.events) for row in rows] == [
        (timedelta(days=0), Decimal(2), 1),
        (timedelta(days=1), Decimal("4.5"), 2),
        (timedelta(days=2), Decimal("0.01"), 1),
    ]


def test_usage_by_model_and_meter(march: Customer) -> None:
    rows = usage.rows(customer_id=march.pk, **WEEK, granularity="month", group_by=("model", "meter"))
    assert [(row.group, row.quantity, row.amount, row.events) for row in rows if row.quantity] == [
        (("gpt-4o", "llm_input"), Decimal(800_000), Decimal(2), 2),
        (("gpt-4o", "llm_output"), Decimal(300_000), Decimal(3), 2),
        (("o3", "llm_input"), Decimal(400_000), Decimal(1), 1),
        (("o3", "llm_output"), Decimal(50_000), Decimal("0.5"), 1),
        ((None, "llm_output"), Decimal(1_000), Decimal("0.01"), 1),
    ]


def test_an_event_that_two_meters_count_is_one_event(march: Customer) -> None:
    assert [(row.events, row.amount) for row in usage.totals(customer_id=march.pk, **WEEK)] == [(4, Decimal("6.51"))]


def test_days_begin_where_the_customer_lives(march: Customer) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    rows = usage.rows(customer_id=march.pk, **WEEK, timezone=berlin)
    assert [(row.period_start, row.amount) for row in rows] == [
        (datetime(2026, 3, 11, tzinfo=berlin), Decimal("6.5")),
        (datetime(2026, 3, 12, tzinfo=berlin), Decimal("0.01")),
    ]


def test_one_meter_alone(march: Customer) -> None:
    rows = usage.rows(customer_id=march.pk, **WEEK, granularity="month", meter="llm_input")
    assert [(row.quantity, row.amount) for row in rows] == [(Decimal(1_200_000), Decimal(3))]


def test_usage_of_others_is_not_counted(shop: Shop, march: Customer) -> None:
    umbrella = shop.customer("umbrella", usd="10")
    shop.record(umbrella, output_tokens=1_000_000)
    assert usage.totals(customer_id=umbrella.pk, **WEEK) == []
    now = timezone.now()
    everyone = usage.rows(customer_id=None, start=DAY, end=now + HOUR, granularity="month", meter="llm_output")
    assert sum(row.amount for row in everyone) == Decimal("13.51")


@pytest.mark.parametrize("name", ["model'; --", "", "a b", "x" * 65])
def test_names_that_cannot_be_dimensions_are_refused(march: Customer, name: str) -> None:
    with pytest.raises(InvalidRequest):
        usage.rows(customer_id=march.pk, **WEEK, group_by=(name,))


def test_usage_is_one_statement_after_a_look_at_the_mark(march: Customer, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(2):  # type: ignore[operator]
        usage.rows(customer_id=march.pk, **WEEK, group_by=("model", "meter", "user"))
    mark = rollups.mark()
    with django_assert_num_queries(1):  # type: ignore[operator]
        usage.rows(customer_id=march.pk, **WEEK, group_by=("model",), where={"user": "u_1"}, mark=mark)


def test_usage_of_one_user(march: Customer) -> None:
    (row,) = usage.totals(customer_id=march.pk, **WEEK, where={"user": "u_1"})
    assert (row.amount, row.events) == (Decimal("6.5"), 3)
    (rest,) = usage.totals(customer_id=march.pk, **WEEK, where={"user": None})
    assert (rest.amount, rest.events) == (Decimal("0.01"), 1)
    assert usage.totals(customer_id=march.pk, **WEEK, where={"user": "u_1", "model": None}) == []


def test_groups_are_sorted_and_paged_by_the_database(march: Customer) -> None:
    def groups(**order: Any) -> list[str | None]:
        found = usage.ranking(customer_id=march.pk, **WEEK, group_by="model", asset="usd", **order)
        assert (found.groups, found.amount) == (3, Decimal("6.51"))
        return [row.value for row in found.rows]

    assert groups() == ["gpt-4o", "o3", None]
    assert groups(descending=False) == [None, "o3", "gpt-4o"]
    assert groups(order="name", descending=False) == ["gpt-4o", "o3", None]
    assert groups(order="events") == ["gpt-4o", "o3", None]
    assert groups(offset=1, limit=1) == ["o3"]
    nothing = usage.ranking(customer_id=march.pk, **WEEK, group_by="model", asset="eur")
    assert (nothing.rows, nothing.groups, nothing.amount) == ([], 0, 0)


def test_usage_is_told_apart_by_the_key_that_it_came_with(shop: Shop) -> None:
    acme = shop.customer(usd="10")
    key, _ = api_keys.issue(name="ci", scopes=["*"])
    events = [shop.event(acme, output_tokens=1000), shop.event(acme, output_tokens=3000)]
    events[1].api_key_id = key.pk
    recording.record(events)
    span: dict[str, Any] = {"start": timezone.now() - HOUR, "end": timezone.now() + HOUR}

    def by_key() -> list[tuple[str | None, Decimal]]:
        found = usage.ranking(customer_id=acme.pk, **span, group_by="api_key", asset="usd")
        return [(row.value, row.amount) for row in found.rows]

    assert by_key() == [(str(key.pk), Decimal("0.03")), (None, Decimal("0.01"))]
    (row,) = usage.totals(customer_id=acme.pk, **span, where={"api_key": str(key.pk)})
    assert row.amount == Decimal("0.03")
