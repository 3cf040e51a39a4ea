import accounts.models.fields
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0038_subscription_spend_cap'),
    ]

    operations = [
        migrations.AddField(
            model_name='idempotencyrecord',
            name='secret',
            field=accounts.models.fields.SealedField(editable=False, help_text='What ``secret`` says in the body, which has null there.', null=True),
        ),
    ]
