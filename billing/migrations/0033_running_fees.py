from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0031_invoice_voids"),
    ]

    operations = [
        migrations.AddIndex(model_name="fee", index=models.Index(fields=["end"], name="billing_fee_end")),
    ]
