from django.db import migrations, models

NAMED = "UPDATE accounts_session SET session_key = encode(sha256(convert_to(session_key, 'UTF8')), 'hex')"
"""Whoever is signed in stays so: the rows are named by the hash of the key that is in the cookie."""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_single_sign_on"),
    ]

    operations = [
        migrations.AlterField(
            model_name="session",
            name="session_key",
            field=models.CharField(
                help_text="The SHA-256 of the key, in hex.", max_length=64, primary_key=True, serialize=False
            ),
        ),
        migrations.RunSQL(NAMED, reverse_sql="DELETE FROM accounts_session"),
    ]
