"""Django's log of the back office goes: it keeps names for ever, and the trail says who changed what."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_session_names"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [
        migrations.RunSQL("DELETE FROM django_admin_log", migrations.RunSQL.noop),
    ]
