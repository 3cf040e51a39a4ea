import django.core.serializers.json
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import accounts.ids

JSON = {"blank": True, "encoder": django.core.serializers.json.DjangoJSONEncoder, "null": True}


class Migration(migrations.Migration):
    """What of the trail is about people lies beside it from now on; the sealed columns keep their names."""

    dependencies = [("accounts", "0003_user_timezone")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField("auditevent", "actor_label", "sealed_label"),
                migrations.RenameField("auditevent", "before", "sealed_before"),
                migrations.RenameField("auditevent", "after", "sealed_after"),
                migrations.RenameField("auditevent", "ip_address", "sealed_address"),
                migrations.AlterField(
                    "auditevent",
                    "sealed_label",
                    models.CharField(blank=True, db_column="actor_label", help_text="Of the system.", max_length=200),
                ),
                migrations.AlterField("auditevent", "sealed_before", models.JSONField(db_column="before", **JSON)),
                migrations.AlterField("auditevent", "sealed_after", models.JSONField(db_column="after", **JSON)),
                migrations.AlterField(
                    "auditevent",
                    "sealed_address",
                    models.GenericIPAddressField(
                        blank=True,
                        db_column="ip_address",
                        help_text="Of lines that were written before there were details.",
                        null=True,
                    ),
                ),
                migrations.AlterModelOptions("auditevent", {"base_manager_name": "objects", "ordering": ["-id"]}),
            ]
        ),
        migrations.CreateModel(
            name="AuditDetail",
            fields=[
                (
                    "line",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="detail",
                        serialize=False,
                        to="accounts.auditevent",
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True, db_index=True, help_text="The person's address at the time.", max_length=200
                    ),
                ),
                ("ip_address", models.GenericIPAddressField(blank=True, null=True)),
                ("before", models.JSONField(**JSON)),
                ("after", models.JSONField(**JSON)),
            ],
        ),
        migrations.CreateModel(
            name="Consent",
            fields=[
                (
                    "id",
                    models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("version", models.CharField(max_length=64)),
                ("url", models.CharField(blank=True, max_length=500, verbose_name="address of the text")),
                ("given_at", models.DateTimeField(auto_now_add=True)),
                ("ip_address", models.GenericIPAddressField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="consents",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-given_at"],
                "constraints": [models.UniqueConstraint(fields=("user", "version"), name="accounts_consent_once")],
            },
        ),
    ]
