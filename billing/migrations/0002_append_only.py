from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_append_only"), ("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(
            (SQL / "append_only.sql").read_text(encoding="utf-8"),
            (SQL / "append_only.reverse.sql").read_text(encoding="utf-8"),
        )
    ]
