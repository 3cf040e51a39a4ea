"""Every table: whose rows it holds, what its numbers are, and what guards it."""

import re

from django.apps import apps
from django.core.management import call_command
from django.db import connection, models

from billing.database import APPEND_ONLY
from billing.models.fields import AmountField
from tests.architecture.sources import ROOT

REFERENCE_TABLES = {
    "Asset": "what wallets can hold: the operator's, the same for everybody",
    "Allowance": "catalog",
    "FairUse": "catalog",
    "Meter": "catalog",
    "Plan": "catalog",
    "PlanDraft": "catalog",
    "PlanVersion": "catalog",
    "Price": "catalog",
    "ProviderCost": "what providers charge the operator, the same for all customers",
    "Overhead": "what a request costs the operator beside the model",
    "WhatIfRun": "a question of the back office, about one customer or all of them",
    "CostVersion": "one row: how often the two above have changed",
    "RollupMark": "one row: how far the hourly sums are",
    "Seal": "of everybody's rows together",
    "Reconciliation": "of everybody's payments together",
    "RevenueDay": "of everybody's entries together",
    "RevenueTotal": "of everybody's entries together",
    "UsageTotal": "of everybody's usage together",
    "BookCheck": "of everybody's rows together",
    "ExportFile": "of everybody's rows together",
    "InvoiceSeries": "one row for each series of numbers",
    "AccountMapping": "the operator's chart of accounts",
    "Tier": "catalog",
    "Partner": "the operator's partners",
    "PartnerPayout": "of all of a partner's customers together",
    "TaxRule": "what the operator is registered for",
    "Pack": "catalog",
    "IdempotencyRecord": "by whoever holds the key: the operator or a customer's organization",
}
DERIVED = {
    "UsageRollup": "found by what it sums, and made anew from the charges",
    "UsageDay": "found by the customer and where it begins, and made anew with its hours",
    "UsageDaySum": "found by what it sums, and made anew from the hours",
    "UsageTotal": "found by what it sums, and made anew with the customers' hours",
}
WITHOUT_CUSTOMER_AT_TIMES = {
    "ProviderEvent": "the provider also reports what is nobody's here",
    "OutboxEvent": "some messages are about no customer",
    "WebhookEndpoint": "the operator's own are told of every customer",
    "WebhookDelivery": "some messages are about no customer",
    "Discrepancy": "the same as the provider's events",
    "Approval": "the publication of a plan is about no customer",
    "ManualMovement": "the same",
}
STATE_MACHINES = {
    "billing_approval",
    "billing_chargedispute",
    "billing_dispute",
    "billing_paymentattempt",
    "billing_refund",
    "billing_revenueday",
    "billing_topup",
}
"""What is asked of a payer or of a second person, and the days of the books: never removed, and their states follow
their machine."""
GUARDS = {
    *("ante_guard_payment", "ante_guard_approval", "ante_guard_revenue_day", "ante_guard_charge_dispute"),
}
UNBOUNDED = {("billing_grant", "amount"): "the sum of its parts, each of which is bounded"}


def billing_models() -> dict[str, type[models.Model]]:
    return {model.__name__: model for model in apps.get_app_config("billing").get_models()}


def rows(statement: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_every_row_of_a_customer_bears_the_customer() -> None:
    found = billing_models()
    without = {
        name
        for name, model in found.items()
        if name != "Customer" and "customer_id" not in {field.attname for field in model._meta.concrete_fields}
    }

    assert without == set(REFERENCE_TABLES)
    nullable = {
        name
        for name, model in found.items()
        if name not in {"Customer", *REFERENCE_TABLES} and model._meta.get_field("customer").null
    }
    assert nullable == set(WITHOUT_CUSTOMER_AT_TIMES)


def test_every_key_of_a_customers_row_is_made_by_us_and_grows_with_time() -> None:
    keys = {
        name: model._meta.pk
        for name, model in billing_models().items()
        if name not in {"Asset", *DERIVED} and model._meta.pk
    }

    assert {name for name, key in keys.items() if not isinstance(key, models.UUIDField)} == set()
    assert {key.default.__name__ for key in keys.values()} == {"uuid7"}


def test_no_number_in_a_model_is_a_float() -> None:
    found = {
        f"{model.__name__}.{field.name}"
        for app in ("accounts", "billing")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.FloatField)
        or (isinstance(field, models.DecimalField) and not isinstance(field, AmountField))
    }

    assert found == set()


def test_no_column_is_a_float_and_every_amount_is_numeric_30_12(db: None) -> None:
    columns = rows(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped"
        "   AND (c.relname LIKE 'billing%%' OR c.relname LIKE 'accounts%%')"
    )

    assert [c for c in columns if c[2] in {"real", "double precision", "money"}] == []
    numbers = [c for c in columns if str(c[2]).startswith("numeric")]
    assert len(numbers) > 20
    assert [c for c in numbers if c[2] != "numeric(30,12)"] == []


def test_every_amount_is_guarded_against_nan(db: None) -> None:
    checks: dict[str, str] = {}
    for table, definition in rows(
        "SELECT c.relname, pg_get_constraintdef(k.oid) FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'c'"
    ):
        checks[str(table)] = f"{checks.get(str(table), '')} {definition}"
    unguarded = {
        (model._meta.db_table, field.column)
        for model in billing_models().values()
        for field in model._meta.concrete_fields
        if isinstance(field, AmountField)
        and not re.search(rf"\b{field.column} < \('1000000000000000000", checks.get(model._meta.db_table, ""))
    }

    assert unguarded == set(UNBOUNDED)


def test_what_the_role_may_not_change_is_what_triggers_guard(db: None) -> None:
    triggers = rows(
        "SELECT c.relname, t.tgenabled, t.tgtype::int, p.proname FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal"
        " AND p.proname NOT IN ('ante_check_tiers', 'ante_refuse_late_price', 'ante_refuse_late_tier')"
    )
    row, before, delete, update, truncate = 1, 2, 8, 16, 32
    guarded: dict[str, set[int]] = {}
    states: dict[str, int] = {}
    for table, enabled, kind, function in triggers:
        if enabled == "O" and function in GUARDS:
            states[str(table)] = int(str(kind))
            continue
        assert (enabled, function) == ("O", "ante_refuse_change"), table
        guarded.setdefault(str(table), set()).add(int(str(kind)))

    assert states == dict.fromkeys(STATE_MACHINES, row | before | delete | update)
    assert set(guarded) == set(APPEND_ONLY)
    assert set(map(frozenset, guarded.values())) == {frozenset({row | before | delete | update, before | truncate})}
    assert sorted(APPEND_ONLY) == APPEND_ONLY


def test_the_migrations_are_complete(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_append_only_migrations_have_a_way_back() -> None:
    for path in ROOT.glob("*/migrations/sql/*.sql"):
        if path.name.endswith(".reverse.sql"):
            continue
        back = path.with_name(path.name.replace(".sql", ".reverse.sql")).read_text(encoding="utf-8")
        for trigger in re.findall(r"CREATE TRIGGER (\w+)", path.read_text(encoding="utf-8")):
            assert f"DROP TRIGGER {trigger} " in back
