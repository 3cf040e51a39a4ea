from pathlib import Path

from django.db import migrations

import accounts.models.fields

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0033_recognition_entries")]

    operations = [
        migrations.AddField("planversion", "written_in", accounts.models.fields.WrittenInField()),
        migrations.RunSQL(
            (SQL / "published_whole.sql").read_text(encoding="utf-8"),
            (SQL / "published_whole.reverse.sql").read_text(encoding="utf-8"),
        ),
    ]
