from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0011_notice_targets'),
    ]

    operations = [
        migrations.AddField(
            model_name='webhookendpoint',
            name='format',
            field=models.CharField(choices=[('standard', 'Standard'), ('salesforce', 'Salesforce'), ('hubspot', 'HubSpot')], db_default='standard', default='standard', help_text='What is sent.', max_length=16),
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.CheckConstraint(condition=models.Q(('format__in', ['standard', 'salesforce', 'hubspot'])), name='billing_webhookendpoint_format'),
        ),
    ]
