import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_reading"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="auditevent", name="accounts_audit_object"),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["object_id", "object_type"], name="accounts_audit_object_id"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["actor_id", "-id"], name="accounts_audit_actor"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                fields=["action", "-id"], name="accounts_audit_action", opclasses=["varchar_pattern_ops", "uuid_ops"]
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["request_id"],
                name="accounts_audit_request",
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=django.contrib.postgres.indexes.BrinIndex(fields=["created_at"], name="accounts_audit_created"),
        ),
    ]
