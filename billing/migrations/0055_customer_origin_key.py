"""A key for each customer, to hash with whose address reported usage. A default that differs from row to row would have
the table written anew under its lock, so the column comes without, and the next migration fills the rows."""

import uuid

import django.contrib.postgres.functions
from django.db import migrations, models

_HELP = "What the addresses that report usage are hashed with; none any more of who was erased."


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0054_agreed_discounts"),
    ]

    operations = [
        migrations.AddField("customer", "origin_key", models.UUIDField(editable=False, help_text=_HELP, null=True)),
        migrations.AlterField(
            "customer",
            "origin_key",
            models.UUIDField(
                db_default=django.contrib.postgres.functions.RandomUUID(),
                default=uuid.uuid4,
                editable=False,
                help_text=_HELP,
                null=True,
            ),
        ),
    ]
