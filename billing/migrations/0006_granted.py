from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0005_forget_tried")]

    operations = [
        AddIndexConcurrently(
            model_name="ledgerentry",
            index=models.Index(
                fields=["id"],
                name="billing_entry_granted",
                condition=models.Q(debit__in=["cash_clearing", "promotional_expense"], credit="wallet_available"),
            ),
        ),
    ]
