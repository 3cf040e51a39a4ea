"""The rights of the application's own database role, and the tables it may only add to."""

from typing import Any

from django.conf import settings
from django.db import connections
from psycopg import sql

APPEND_ONLY = [
    "accounts_auditevent",
    "billing_allowance",
    "billing_charge",
    "billing_correction",
    "billing_fairuse",
    "billing_invoice",
    "billing_invoiceline",
    "billing_invoicepayment",
    "billing_invoicetax",
    "billing_ledgerentry",
    "billing_ledgertransaction",
    "billing_manualmovement",
    "billing_meter",
    "billing_obligation",
    "billing_partneraccrual",
    "billing_partnerpayout",
    "billing_planversion",
    "billing_price",
    "billing_recognition",
    "billing_revenuetotal",
    "billing_seal",
    "billing_tier",
    "billing_usageevent",
]


def grant_application_role(*, using: str = "default", **_: Any) -> None:
    """Give DATABASE_APP_ROLE what the application needs and no more. Runs after every migration, as the owner.

    Select, insert, update and delete on all tables; on the append-only ones only select and insert; never truncate.
    Does nothing where no such role is configured.
    """
    role: str = settings.DATABASE_APP_ROLE
    connection = connections[using]
    if not role or connection.settings_dict.get("USER") == role:
        return
    existing = set(connection.introspection.table_names())
    guarded = [table for table in APPEND_ONLY if table in existing]
    with connection.cursor() as cursor:

        def run(statement: str, *tables: str) -> None:
            cursor.execute(
                sql.SQL(statement).format(
                    role=sql.Identifier(role), tables=sql.SQL(", ").join(map(sql.Identifier, tables))
                )
            )

        run("GRANT USAGE ON SCHEMA public TO {role}")
        run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        run("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
        run("REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role}")
        if guarded:
            run("REVOKE UPDATE, DELETE, TRUNCATE ON {tables} FROM {role}", *guarded)
