from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_append_only"), ("billing", "0016_funding")]

    operations = [
        migrations.RunSQL(
            (SQL / "funding.sql").read_text(encoding="utf-8"),
            (SQL / "funding.reverse.sql").read_text(encoding="utf-8"),
        )
    ]
