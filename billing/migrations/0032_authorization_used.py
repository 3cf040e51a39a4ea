from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0034_inbox_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='authorization',
            name='used',
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, help_text='What partial captures have charged of each meter, by its id.'),
        ),
    ]
