from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_dispute_amounts")]

    operations = [
        migrations.AddField(
            model_name="paymentprofile",
            name="forget_tried_at",
            field=models.DateTimeField(help_text="When it was last asked to.", null=True),
        ),
    ]
