from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """The newest notices of one person are found without looking at everybody's."""

    dependencies = [("billing", "0037_running_fees")]

    operations = [
        migrations.AddIndex(
            model_name="noticedelivery",
            index=models.Index(
                fields=["user", "customer", "-notice"], name="billing_delivery_inbox", condition=Q(channel="inbox")
            ),
        ),
    ]
