"""What a service forgot, the tables refuse: each guard, tried by going around the services."""

import json
from typing import Any

import pytest

from accounts.ids import uuid7
from billing.models import (
    Balance,
    Grant,
    LedgerEntry,
)
from tests.billing.models.going_around import refused_by
from tests.builders import Shop

BEYOND = "1" + "0" * 18
SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
CORRECTING = {"correction_id": SOME_ID}
LONG_AGO = "2020-01-01T00:00:00Z"


def copy_of(table: str, **changes: Any) -> str:
    """Insert a row like the table's first, but for the changes; say what refuses it."""
    changes = {"id": str(uuid7())} | changes
    return refused_by(
        f"INSERT INTO {table} SELECT (jsonb_populate_record(r, %s::jsonb)).*"
        f" FROM (SELECT * FROM {table} ORDER BY 1 LIMIT 1) one, {table} r WHERE r.* = one.*",
        [json.dumps(changes)],
    )


def change(table: str, assignments: str) -> str:
    return refused_by(f"UPDATE {table} SET {assignments}")


def test_the_instruments_work(filled: Shop) -> None:
    assert copy_of("billing_outboxevent") == "nobody"
    assert change("billing_balance", "lifetime_spent = lifetime_spent + 1") == "nobody"
    assert filled.balance(Grant.objects.all()[0].customer).lifetime_spent < 2


ENTRY = "billing_ledgerentry"


@pytest.mark.parametrize(
    ("changes", "guard"),
    [
        ({"amount": "0"}, "billing_entry_amount_positive"),
        ({"amount": "-1"}, "billing_entry_amount_positive"),
        ({"amount": "NaN"}, "billing_entry_numbers"),
        ({"amount": "Infinity"}, "22003"),
        ({"amount": BEYOND}, "22003"),
        ({"available_after": "NaN"}, "billing_entry_numbers"),
        ({"held_after": "NaN"}, "billing_entry_numbers"),
        ({"seq": 1}, "billing_entry_seq_once"),
        ({"seq": 0}, "billing_entry_balance_is_whole"),
        ({"seq": -1}, "billing_entry_balance_is_whole"),
        ({"seq": None}, "billing_entry_balance_is_whole"),
        ({"balance_id": None}, "billing_entry_balance_is_whole"),
        ({"available_after": None}, "billing_entry_balance_is_whole"),
        ({"held_after": None}, "billing_entry_balance_is_whole"),
        ({"debit": "wallet_available", "credit": "wallet_available"}, "billing_entry_two_accounts"),
        ({"debit": "petty_cash"}, "billing_entry_accounts"),
        ({"credit": "petty_cash"}, "billing_entry_accounts"),
        ({"transaction_id": None}, "23502"),
        ({"customer_id": None}, "23502"),
        ({"asset_id": None}, "23502"),
        ({"amount": None}, "23502"),
    ],
    ids=str,
)
def test_an_entry_that_is_wrong_is_refused(filled: Shop, changes: dict[str, Any], guard: str) -> None:
    entries = LedgerEntry.objects.count()

    assert copy_of(ENTRY, **{"seq": 99} | changes) == guard

    assert LedgerEntry.objects.count() == entries


def test_an_entry_that_is_right_is_taken(filled: Shop) -> None:
    assert copy_of(ENTRY, seq=99) == "nobody"


@pytest.mark.parametrize(
    ("table", "changes", "guard"),
    [
        ("billing_ledgertransaction", {}, "billing_transaction_reference_once"),
        ("billing_usageevent", {}, "billing_event_once"),
        ("billing_usageevent", {"event_id": "two", "status": "lost"}, "billing_event_status"),
        ("billing_usageevent", {"event_id": "two", "data": None}, "23502"),
        ("billing_charge", {"quantity": "NaN"}, "billing_charge_numbers"),
        ("billing_charge", {"quantity_before": "-1"}, "billing_charge_at_least_0"),
        ("billing_charge", {**CORRECTING, "quantity": "1"}, "billing_charge_direction"),
        ("billing_charge", {"reverses_id": SOME_ID}, "billing_charge_direction"),
        (
            "billing_charge",
            {**CORRECTING, "refunds_id": SOME_ID, "quantity": "-1"},
            "billing_charge_direction",
        ),
        ("billing_charge", {"refunds_id": SOME_ID, "quantity": "0", "amount": "-1"}, "billing_charge_direction"),
        ("billing_correction", {}, "billing_correction_reversal_once"),
        ("billing_correction", {"event_id": SOME_ID, "amount": "1"}, "billing_correction_kind"),
        ("billing_correction", {"event_id": SOME_ID, "kind": "gift"}, "billing_correction_kind"),
        ("billing_correction", {"kind": "refund", "asset_id": "usd", "amount": "0"}, "billing_correction_kind"),
        ("billing_correction", {"kind": "refund", "asset_id": "usd", "amount": "NaN"}, "billing_correction_numbers"),
        ("billing_charge", {"amount": "NaN"}, "billing_charge_numbers"),
        ("billing_charge", {"waived": "1"}, "billing_charge_waived"),
        ("billing_charge", {"waived": "NaN", "quantity": "0", "amount": "0"}, "billing_charge_at_least_0"),
        ("billing_charge", {"amount": "-Infinity"}, "22003"),
        ("billing_usagecounter", {}, "billing_usagecounter_once"),
        (
            "billing_usagecounter",
            {"period_start": "2020-01-01T00:00:00Z", "quantity": "NaN"},
            "billing_usagecounter_at_least_0",
        ),
        (
            "billing_usagecounter",
            {"period_start": "2020-01-01T00:00:00Z", "quantity": "-1"},
            "billing_usagecounter_at_least_0",
        ),
        ("billing_balance", {}, "billing_balance_once"),
        ("billing_wallet", {}, "billing_wallet_customer_id_key"),
        ("billing_idempotencyrecord", {}, "billing_idempotency_once"),
        ("billing_outboxevent", {"state": "lost"}, "billing_outbox_state"),
        ("billing_subscription", {}, "billing_subscription_plan_once"),
        (
            "billing_subscription",
            {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2025-12-31T00:00:00Z"},
            "billing_subscription_interval",
        ),
        ("billing_subscription", {"discount": "1.01"}, "billing_subscription_discount"),
        ("billing_subscription", {"minimum_commitment": "NaN"}, "billing_subscription_at_least_0"),
        ("billing_subscriptionphase", {}, "billing_subscriptionphase_once"),
        ("billing_subscriptionperiod", {}, "billing_period_number_once"),
        ("billing_subscriptionperiod", {"number": 99}, "billing_period_start_once"),
        ("billing_subscriptionperiod", {"number": 0}, "billing_period_number"),
        (
            "billing_subscriptionperiod",
            {"number": 99, "start": "2000-01-01T00:00:00Z", "end": "2000-01-01T00:00:00Z"},
            "billing_period_interval",
        ),
        (
            "billing_subscriptionperiod",
            {"number": 99, "start": "2000-01-01T00:00:00Z", "state": "settled"},
            "billing_period_state",
        ),
        ("billing_fee", {}, "billing_fee_base_once"),
        ("billing_fee", {"kind": "change", "amount": "0"}, "billing_fee_amount_positive"),
        ("billing_fee", {"kind": "change", "amount": "NaN"}, "billing_fee_at_least_0"),
        ("billing_fee", {"kind": "change", "amount": "2"}, "billing_fee_discount"),
        ("billing_fee", {"kind": "tip"}, "billing_fee_kind"),
        ("billing_fee", {"kind": "change", "state": "due", "closed_at": "2026-01-01T00:00:00Z"}, "billing_fee_state"),
        ("billing_recurringgrant", {"amount": "0"}, "billing_recurring_amount_positive"),
        ("billing_recurringgrant", {"rollover_limit": "NaN"}, "billing_recurring_at_least_0"),
        ("billing_recurringgrant", {"lapses": False, "rollover_limit": "1"}, "billing_recurring_rollover"),
        ("billing_recurringgrant", {"kind": "purchase"}, "billing_recurring_kind"),
        ("billing_recurringgrant", {"interval": "decade"}, "billing_recurring_interval"),
        ("billing_recurringgrant", {"priority": 101}, "billing_recurring_priority"),
        ("billing_recurringgrant", {"times": 0}, "billing_recurring_times"),
        ("billing_recurringgrant", {"ends_at": LONG_AGO}, "billing_recurring_ends"),
        ("billing_recurringgrant", {"canceled_at": LONG_AGO}, "billing_recurring_canceled"),
        ("billing_recurringgrantperiod", {"grant_id": None}, "billing_recurringperiod_number_once"),
        ("billing_recurringgrantperiod", {"grant_id": None, "number": 9}, "billing_recurringperiod_start_once"),
        ("billing_recurringgrantperiod", {"grant_id": None, "number": 0}, "billing_recurringperiod_number"),
        (
            "billing_recurringgrantperiod",
            {"grant_id": None, "number": 9, "end": LONG_AGO},
            "billing_recurringperiod_interval",
        ),
        ("billing_fairuse", {}, "billing_fairuse_meter_once"),
        ("billing_fairuse", {"asset_id": "usd"}, "billing_fairuse_counts"),
        (
            "billing_fairuse",
            {"meter_id": None, "asset_id": "usd", "limit_amount": "0"},
            "billing_fairuse_limit_positive",
        ),
        ("billing_fairusecounter", {}, "billing_fairusecounter_meter_once"),
        ("billing_fairusecounter", {"meter_id": None}, "billing_fairusecounter_counts"),
        ("billing_fairusecounter", {"used": "NaN"}, "billing_fairusecounter_numbers"),
        ("billing_allowance", {}, "billing_allowance_asset_once"),
        ("billing_allowance", {"asset_id": "usd", "amount": "0"}, "billing_allowance_amount_positive"),
        ("billing_allowance", {"asset_id": "usd", "rollover_limit": "-1"}, "billing_allowance_at_least_0"),
        ("billing_planversion", {"number": 2, "discount": "1.5"}, "billing_planversion_discount"),
        ("billing_planversion", {"number": 2, "base_fee": "-1"}, "billing_planversion_at_least_0"),
        ("billing_planversion", {}, "billing_planversion_number_once"),
        ("billing_planversion", {"number": 2, "interval": "decade"}, "billing_planversion_interval"),
        ("billing_price", {}, "billing_price_position_once"),
        ("billing_price", {"position": 9, "per": "0"}, "billing_price_per_positive"),
        ("billing_price", {"position": 9, "per": "NaN"}, "billing_price_at_least_0"),
        ("billing_price", {"position": 9, "unit_amount": "-1"}, "billing_price_at_least_0"),
        ("billing_price", {"position": 9, "unit_amount": "NaN"}, "billing_price_at_least_0"),
        ("billing_price", {"position": 9, "model": "whim"}, "billing_price_model"),
        ("billing_meter", {"code": "m", "aggregation": "guess"}, "billing_meter_aggregation"),
        ("billing_meter", {"code": "m", "value": ""}, "billing_meter_value"),
        ("accounts_membership", {}, "accounts_membership_once"),
        ("accounts_membership", {"role": "king"}, "accounts_membership_role"),
        ("accounts_user", {"email": "Owner2@acme.test"}, "accounts_user_email_lower"),
        (
            "accounts_apikey",
            {"secret_hash": "\\x00", "kind": "operator", "organization_id": SOME_ID},
            "accounts_apikey_customer_has_organization",
        ),
        (
            "accounts_apikey",
            {"secret_hash": "\\x00", "kind": "customer", "organization_id": None},
            "accounts_apikey_customer_has_organization",
        ),
    ],
    ids=str,
)
def test_a_row_that_is_wrong_or_doubled_is_refused(
    filled: Shop, table: str, changes: dict[str, Any], guard: str
) -> None:
    assert copy_of(table, **changes) == guard


@pytest.mark.parametrize("code", ["usd", "eur"])
def test_an_asset_exists_once(filled: Shop, code: str) -> None:
    insert = "INSERT INTO billing_asset (code, name, kind, precision, created_at) VALUES (%s, 'x', %s, %s, now())"

    assert refused_by(insert, [code, "unit", 0]) == "billing_asset_pkey"
    assert refused_by(insert, ["x", "unit", 13]) == "billing_asset_precision"
    assert refused_by(insert, ["x", "unit", -1]) == "billing_asset_precision_check"
    assert refused_by(insert, ["x", "wish", 0]) == "billing_asset_kind"
    assert refused_by(insert, ["x", "unit", 12]) == "nobody"


@pytest.mark.parametrize(
    ("assignments", "guard"),
    [
        ("available = -overdraft_limit - 0.000000000001", "billing_balance_floor"),
        ("overdraft_limit = 0, available = -0.000000000001", "billing_balance_floor"),
        ("available = 'NaN'", "billing_balance_numbers"),
        ("lifetime_spent = 'NaN'", "billing_balance_numbers"),
        ("available = 'Infinity'", "22003"),
        ("available = 1e18", "22003"),
        ("held = 'NaN'", "billing_balance_at_least_0"),
        ("held = -1", "billing_balance_at_least_0"),
        ("owed = 'NaN'", "billing_balance_at_least_0"),
        ("owed = -1", "billing_balance_at_least_0"),
        ("overdraft_limit = 'NaN'", "billing_balance_at_least_0"),
        ("overdraft_limit = -1, available = 100", "billing_balance_at_least_0"),
        ("plan_overdraft_cap = -1", "billing_balance_at_least_0"),
        ("plan_overdraft = overdraft_limit + 0.000000000001", "billing_balance_plan_overdraft"),
        ("seq = -1", "billing_balance_at_least_0"),
        ("lifetime_granted = -1", "billing_balance_at_least_0"),
        ("available = NULL", "23502"),
    ],
)
def test_a_balance_that_cannot_be_is_refused(filled: Shop, assignments: str, guard: str) -> None:
    before = list(Balance.objects.values())

    assert change("billing_balance", assignments) == guard

    assert list(Balance.objects.values()) == before


def test_a_balance_may_go_down_to_the_overdraft_limit(filled: Shop) -> None:
    assert change("billing_balance", "available = -overdraft_limit") == "nobody"


@pytest.mark.parametrize(
    ("assignments", "guard"),
    [
        ("remaining = remaining + 1", "billing_grant_every_unit_once"),
        ("drawn = drawn + 0.000000000001", "billing_grant_every_unit_once"),
        ("expired = 1", "billing_grant_every_unit_once"),
        ("amount = amount + 1", "billing_grant_every_unit_once"),
        ("held = -1, remaining = remaining + 1", "billing_grant_at_least_0"),
        ("remaining = -1, drawn = amount + 1", "billing_grant_at_least_0"),
        ("voided = -1, remaining = remaining + 1", "billing_grant_at_least_0"),
        ("amount = 'NaN', remaining = 'NaN'", "billing_grant_at_least_0"),
        ("amount = 'Infinity', remaining = 'Infinity'", "22003"),
        ("paid_amount = -1", "billing_grant_at_least_0"),
        ("paid_amount = 'NaN'", "billing_grant_at_least_0"),
        ("amount = 0, remaining = 0, drawn = 0", "billing_grant_amount_positive"),
        ("priority = 101", "billing_grant_priority"),
        ("priority = -1", "billing_grant_priority_check"),
        ("expires_at = effective_at", "billing_grant_interval"),
        ("open = false", "billing_grant_closed_when_empty"),
        ("voided_at = now()", "billing_grant_voided"),
        ("kind = 'wish'", "billing_grant_kind"),
    ],
)
def test_a_grant_that_cannot_be_is_refused(filled: Shop, assignments: str, guard: str) -> None:
    before = list(Grant.objects.order_by("id").values())

    assert change("billing_grant", assignments) == guard

    assert list(Grant.objects.order_by("id").values()) == before


@pytest.mark.parametrize(
    "table", ["billing_customer", "billing_balance", "billing_wallet", "billing_asset", "accounts_organization"]
)
def test_what_others_refer_to_cannot_be_deleted(filled: Shop, table: str) -> None:
    assert "_fk_" in refused_by(f"DELETE FROM {table}")
