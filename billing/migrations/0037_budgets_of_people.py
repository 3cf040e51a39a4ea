"""A member's budget is the person's: it stays when the team lets them go."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FIELD = models.ForeignKey(
    blank=True,
    help_text="Usage of the user of that e-mail address, or reported with a key that they made.",
    null=True,
    on_delete=django.db.models.deletion.PROTECT,
    related_name="+",
    to=settings.AUTH_USER_MODEL,
)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_paused_keys"),
        ("billing", "0034_invoices"),
    ]

    operations = [
        migrations.AddField("budget", "person", FIELD),
        migrations.RunSQL(
            "UPDATE billing_budget b SET person_id = m.user_id FROM accounts_membership m WHERE m.id = b.member_id",
            "UPDATE billing_budget b SET member_id = m.id FROM billing_customer c, accounts_membership m"
            " WHERE c.id = b.customer_id AND m.organization_id = c.organization_id AND m.user_id = b.person_id",
        ),
        migrations.RemoveField("budget", "member"),
        migrations.RenameField("budget", "person", "member"),
    ]
