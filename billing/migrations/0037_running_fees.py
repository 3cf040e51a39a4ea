from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0035_overdue_and_voiding"),
    ]

    operations = [
        migrations.AddIndex(model_name="fee", index=models.Index(fields=["end"], name="billing_fee_end")),
    ]
