"""Customers from before there was one get their key; apart from the column, so that nobody waits who reads them."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0055_customer_origin_key"),
    ]

    operations = [
        migrations.RunSQL(
            "UPDATE billing_customer SET origin_key = gen_random_uuid() WHERE origin_key IS NULL AND erased_at IS NULL",
            migrations.RunSQL.noop,
        ),
    ]
