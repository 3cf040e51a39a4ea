from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"

GUARDS = [
    "append_only",
    "prices",
    "published_whole",
    "subscriptions",
    "seals",
    "corrections",
    "approvals",
    "funding",
    "disputes",
    "charge_disputes",
    "revenue",
    "invoices",
    "invoice_taxes",
    "invoice_payments",
    "partners",
    "fair_use",
]


class Migration(migrations.Migration):
    """What the database itself refuses, by subject; each with its way back."""

    dependencies = [("accounts", "0002_append_only"), ("billing", "0001_tables")]

    operations = [
        migrations.RunSQL(
            (SQL / f"{guard}.sql").read_text(encoding="utf-8"),
            (SQL / f"{guard}.reverse.sql").read_text(encoding="utf-8"),
        )
        for guard in GUARDS
    ]
