"""Every kind of tampering with a closed day is found and named."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.db.models import F

from accounts.services.audit import SYSTEM
from billing.models import Customer, RevenueDay
from billing.selectors.revenue import revenue_books
from billing.services import revenue
from billing.services.revenue import closing
from billing.services.wallet import grants, wallets
from tests.billing.selectors.tampering import change, found, tamper, unguard
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop

GUARDED = (
    *("billing_revenueday", "billing_recognition", "billing_revenuetotal", "billing_obligation"),
    *("billing_ledgerentry", "billing_grant"),
)


@pytest.fixture
def days(owners_shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Three closed days: a purchase above par, usage, a debt, a fee, breakage; guards are off."""
    shop = owners_shop
    monkeypatch.setattr(closing, "_all_ended", as_if_ended)
    clock.stop(datetime(2026, 11, 1, 9, tzinfo=UTC))
    acme, owing = shop.customer(usd="10"), shop.customer("owing")
    shop.fund(acme, "3", paid_amount=Decimal(1), expires_at=clock.now() + timedelta(days=1))
    Customer.objects.filter(pk=owing.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=owing, asset=shop.usd, limit=Decimal(9))
    start(acme, make_plan(shop, "small", fee="3"))
    for number in range(3):
        shop.record(acme, id=f"used-{number}", input_tokens=400_000)
        shop.record(owing, id=f"owed-{number}", output_tokens=33_333)
        clock.forward(days=1)
        grants.settle_due()
    assert len(revenue.close_due()) == 3
    unguard(GUARDED)
    return shop


def as_if_ended(day: RevenueDay) -> bool:
    """Everything here is written in the test's own transaction: let the days begin after it."""
    RevenueDay.objects.filter(pk=day.pk).update(written_before=F("written_before") + 1)
    return True


SECOND = "(SELECT id FROM billing_revenueday WHERE date = '2026-11-02')"
LAST_LINE = f"(SELECT id FROM billing_recognition WHERE day_id = {SECOND} ORDER BY number DESC LIMIT 1)"
ONE_SUM = f"(SELECT id FROM billing_revenuetotal WHERE day_id = {SECOND} AND amount <> 0 ORDER BY number LIMIT 1)"
STANDS = "(SELECT id FROM billing_obligation WHERE grant_id IS NOT NULL ORDER BY id DESC LIMIT 1)"
FEE_STANDS = "(SELECT id FROM billing_obligation WHERE fee_id IS NOT NULL ORDER BY id DESC LIMIT 1)"

TAMPERINGS = {
    "a line of another amount": (
        f"UPDATE billing_recognition SET amount = amount + 0.000000000001 WHERE id = {LAST_LINE}",
        {"revenue-sums"},
    ),
    "a line that is gone": (
        f"DELETE FROM billing_recognition WHERE id = {LAST_LINE}",
        {"revenue-sums"},
    ),
    "a line that occurred on another day": (
        f"UPDATE billing_recognition SET occurred_on = occurred_on - 1 WHERE id = {LAST_LINE}",
        {"revenue-sums"},
    ),
    "a line on another account": (
        f"UPDATE billing_recognition SET credit = 'breakage' WHERE id = {LAST_LINE}",
        {"revenue-sums"},
    ),
    "a sum of another amount": (
        f"UPDATE billing_revenuetotal SET amount = amount + 1 WHERE id = {ONE_SUM}",
        {"revenue-sums", "revenue-days"},
    ),
    "a sum in another currency": (
        f"UPDATE billing_revenuetotal SET currency_id = 'eur' WHERE id = {ONE_SUM}",
        {"revenue-sums", "revenue-days"},
    ),
    "a sum that is gone": (
        f"DELETE FROM billing_revenuetotal WHERE id = {ONE_SUM}",
        {"revenue-sums", "revenue-days"},
    ),
    "a sum that does not go on from the day before": (
        f"UPDATE billing_revenuetotal SET closing = closing + 0.000000000001 WHERE id = {ONE_SUM}",
        {"revenue-days"},
    ),
    "a day under another date": (
        "UPDATE billing_revenueday SET date = date + 30 WHERE date = '2026-11-03'",
        {"revenue-days"},
    ),
    "a day that begins later": (
        f"""UPDATE billing_revenueday SET "start" = "start" + interval '1 second' WHERE id = {SECOND}""",
        {"revenue-days"},
    ),
    "a day that was never closed": (
        f"UPDATE billing_revenueday SET state = 'closing', closed_at = NULL, sha256 = '' WHERE id = {SECOND}",
        {"revenue-days"},
    ),
    "more booked than was rendered": (
        f"UPDATE billing_obligation SET booked = booked + 0.000000000001 WHERE id = {STANDS}",
        {"revenue-liability"},
    ),
    "a fee of which less is booked": (
        f"UPDATE billing_obligation SET booked = booked - 0.000000000001 WHERE id = {FEE_STANDS}",
        {"revenue-liability"},
    ),
    "more ahead than was earned": (
        f"UPDATE billing_obligation SET ahead = ahead + 0.000000000001 WHERE id = {STANDS}",
        {"revenue-liability"},
    ),
    "more paid than was": (
        f"UPDATE billing_obligation SET value = value + 1, booked = booked + 1 WHERE id = {STANDS}",
        {"revenue-grants"},
    ),
    "fewer units rendered": (
        f"UPDATE billing_obligation SET done = done - 1 WHERE id = {STANDS}",
        {"revenue-grants"},
    ),
    "more units to render": (
        f"UPDATE billing_obligation SET total = total + 1 WHERE id = {STANDS}",
        {"revenue-grants"},
    ),
    "where a grant stands, gone": (
        f"DELETE FROM billing_obligation WHERE id = {STANDS}",
        {"revenue-liability", "revenue-grants"},
    ),
    "an entry of a closed day changed": (
        "UPDATE billing_ledgerentry SET amount = amount / 2 WHERE id = (SELECT id FROM billing_ledgerentry"
        " WHERE kind = 'usage' AND debit = 'wallet_available' ORDER BY id LIMIT 1)",
        {"revenue-grants"},
    ),
    "an entry put into a closed day": (
        "UPDATE billing_ledgerentry SET posted_at = posted_at + interval '9 days' WHERE id = (SELECT id"
        " FROM billing_ledgerentry WHERE kind = 'usage' AND debit = 'wallet_available' ORDER BY id LIMIT 1)",
        {"revenue-grants"},
    ),
    "a grant that cost more": (
        "UPDATE billing_grant SET paid_amount = paid_amount + 1 WHERE paid_amount = 10",
        {"revenue-grants"},
    ),
}

CHANGED_FILES = {
    "lines and sums that agree": (
        f"WITH line AS (UPDATE billing_recognition SET product = 'other' WHERE id = {LAST_LINE} RETURNING *)"
        " UPDATE billing_revenuetotal t SET product = 'other' FROM line WHERE t.day_id = line.day_id"
        " AND (t.movement, t.product) = (line.movement, 'small')",
        "2026-11-02",
    ),
    "a line in another customer's name": (
        "UPDATE billing_recognition r SET customer_id = c.id FROM billing_customer c WHERE c.external_id = 'owing'"
        f" AND r.day_id = {SECOND} AND r.customer_id <> c.id",
        "2026-11-02",
    ),
    "another hash": (
        f"UPDATE billing_revenueday SET sha256 = repeat('0', 64) WHERE id = {SECOND}",
        "2026-11-02",
    ),
    "another chart of accounts": (
        """UPDATE billing_revenueday SET chart = jsonb_set(chart, '{subsidiary}', '"Other"')"""
        " WHERE date = '2026-11-01'",
        "2026-11-01",
    ),
    "an older day and newer ones": (
        "UPDATE billing_recognition SET units = units + 1 WHERE number = 1",
        "2026-11-01",
    ),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_tampering_with_a_day_is_found(days: Shop, case: str) -> None:
    statement, expected = TAMPERINGS[case]

    assert tamper(statement) >= expected


@pytest.mark.parametrize("case", CHANGED_FILES)
def test_a_file_that_is_not_what_it_was_is_found_the_first_one_by_name(days: Shop, case: str) -> None:
    statement, expected = CHANGED_FILES[case]
    with transaction.atomic():
        assert list(revenue_books.changed_files()) == []

    change(statement)

    with transaction.atomic():
        (difference,) = revenue_books.changed_files()
    assert difference.invariant == "revenue-files"
    assert str(difference.row["date"]) == expected


def test_right_days_have_no_difference(days: Shop) -> None:
    assert found() == set()
