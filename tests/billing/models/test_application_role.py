"""The application's own database role: it may add to the books, and no more."""

import pytest
from django.conf import settings
from django.db import connection

from billing.database import APPEND_ONLY
from tests.billing.models.going_around import refused_by
from tests.builders import Shop

NOT_ALLOWED = "42501"


def test_the_tests_run_in_the_applications_role(filled: Shop) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication"
            " FROM pg_roles WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (settings.DATABASE_APP_ROLE, False, False, False, False, False)
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_it_cannot_change_or_empty_what_is_append_only(filled: Shop, table: str) -> None:
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        assert refused_by(statement) == NOT_ALLOWED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_ledgerentry SET amount = amount + 1",
        "DELETE FROM billing_ledgerentry",
        "TRUNCATE billing_ledgerentry",
        "TRUNCATE billing_balance CASCADE",
        "DELETE FROM accounts_auditevent",
        "ALTER TABLE billing_ledgerentry DISABLE TRIGGER ALL",
        "DROP TRIGGER ledger_entry_append_only ON billing_ledgerentry",
        "CREATE OR REPLACE FUNCTION ante_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER TABLE billing_balance DROP CONSTRAINT billing_balance_floor",
        "DROP TABLE billing_ledgerentry CASCADE",
        "SET session_replication_role = replica",
        "ALTER TABLE billing_ledgerentry OWNER TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE TABLE public.mine (id int)",
        "CREATE TRIGGER mine BEFORE INSERT ON billing_ledgerentry FOR EACH ROW EXECUTE FUNCTION ante_refuse_change()",
        "CREATE RULE mine AS ON INSERT TO billing_ledgerentry DO INSTEAD NOTHING",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('billing', '9999', now())",
        "COPY billing_ledgerentry TO PROGRAM 'cat'",
        "COPY billing_ledgerentry TO '/tmp/entries'",
    ],
)
def test_postgresql_refuses_what_the_application_may_not(filled: Shop, statement: str) -> None:
    assert refused_by(statement) == NOT_ALLOWED


def test_it_cannot_give_itself_what_it_has_not(filled: Shop) -> None:
    with connection.cursor() as cursor:
        # PostgreSQL answers with a warning and grants nothing.
        cursor.execute("GRANT UPDATE, DELETE, TRUNCATE ON billing_ledgerentry TO CURRENT_USER")
        cursor.execute("SELECT has_table_privilege('billing_ledgerentry', 'UPDATE, DELETE, TRUNCATE')")
        assert cursor.fetchone() == (False,)


def test_it_cannot_become_the_owner(filled: Shop) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'billing_ledgerentry'")
        owner = cursor.fetchone()[0]

    assert refused_by(f'SET ROLE "{owner}"') == NOT_ALLOWED


def test_it_can_read_and_add(filled: Shop) -> None:
    with connection.cursor() as cursor:
        for table in APPEND_ONLY:
            cursor.execute(
                "SELECT has_table_privilege(%s, 'SELECT'), has_table_privilege(%s, 'INSERT')", [table, table]
            )
            assert cursor.fetchone() == (True, True)
