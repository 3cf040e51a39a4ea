from decimal import Decimal

import billing.models.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0032_authorization_used'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='subscription',
            name='billing_subscription_at_least_0',
        ),
        migrations.AddField(
            model_name='subscription',
            name='spend_cap',
            field=billing.models.fields.AmountField(blank=True, help_text="What usage of a period may come to, as agreed instead of the plan's own.", null=True),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.CheckConstraint(condition=models.Q(('discount__lt', Decimal('1000000000000000000')), ('discount__gte', 0), ('minimum_commitment__lt', Decimal('1000000000000000000')), ('minimum_commitment__gte', 0), ('spend_cap__lt', Decimal('1000000000000000000')), ('spend_cap__gte', 0)), name='billing_subscription_at_least_0'),
        ),
    ]
