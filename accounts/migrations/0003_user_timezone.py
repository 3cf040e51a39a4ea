from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_append_only")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="timezone",
            field=models.CharField(
                blank=True, default="", help_text="In which they read; empty: that of whoever they act for.", max_length=64
            ),
        ),
    ]
