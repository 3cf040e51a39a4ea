from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Published allowances are append-only, and subscriptions from before get their one phase."""

    dependencies = [("billing", "0011_subscriptions")]

    operations = [
        migrations.RunSQL(
            (SQL / "subscriptions.sql").read_text(encoding="utf-8"),
            (SQL / "subscriptions.reverse.sql").read_text(encoding="utf-8"),
        )
    ]
