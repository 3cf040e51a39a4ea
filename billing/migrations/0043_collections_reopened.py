from django.db import migrations, models
from django.db.models import Q


def forget(apps, schema_editor):
    """What has ended freezes no wallet any more."""
    apps.get_model("billing", "Collection").objects.filter(froze=True, closed_at__isnull=False).update(froze=False)


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0040_seal_answers"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="collection", name="billing_collection_closed"),
        migrations.AddConstraint(
            model_name="collection",
            constraint=models.CheckConstraint(
                condition=Q(state="voiding") | (Q(state="open") ^ Q(closed_at__isnull=False)),
                name="billing_collection_closed",
            ),
        ),
        migrations.AlterField(
            model_name="collection",
            name="froze",
            field=models.BooleanField(default=False, help_text="The wallet is frozen because of it."),
        ),
        migrations.RunPython(forget, migrations.RunPython.noop),
    ]
