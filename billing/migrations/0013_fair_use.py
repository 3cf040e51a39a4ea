from pathlib import Path

import accounts.ids
import billing.models.fields
import django.db.models.deletion
from decimal import Decimal
from django.db import migrations, models


SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0012_webhook_format'),
    ]

    operations = [
        migrations.CreateModel(
            name='FairUse',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('limit', billing.models.fields.AmountField(db_column='limit_amount', help_text="The meter's quantity, or the amount of the asset.")),
                ('asset', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.asset')),
                ('meter', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.meter')),
                ('plan_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='fair_use', to='billing.planversion')),
            ],
            options={
                'verbose_name_plural': 'fair use',
                'ordering': ['plan_version', 'id'],
                'constraints': [models.UniqueConstraint(fields=('plan_version', 'meter'), name='billing_fairuse_meter_once'), models.UniqueConstraint(fields=('plan_version', 'asset'), name='billing_fairuse_asset_once'), models.CheckConstraint(condition=models.Q(('meter__isnull', True), ('asset__isnull', True), _connector='XOR'), name='billing_fairuse_counts'), models.CheckConstraint(condition=models.Q(('limit__gt', 0)), name='billing_fairuse_limit_positive'), models.CheckConstraint(condition=models.Q(('limit__lt', Decimal('1000000000000000000'))), name='billing_fairuse_numbers')],
            },
        ),
        migrations.CreateModel(
            name='FairUseCounter',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('period_start', models.DateTimeField()),
                ('period_end', models.DateTimeField()),
                ('used', billing.models.fields.AmountField()),
                ('asset', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.asset')),
                ('customer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer')),
                ('meter', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.meter')),
                ('subscription', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.subscription')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('customer', 'subscription', 'period_start', 'meter'), name='billing_fairusecounter_meter_once'), models.UniqueConstraint(fields=('customer', 'subscription', 'period_start', 'asset'), name='billing_fairusecounter_asset_once'), models.CheckConstraint(condition=models.Q(('meter__isnull', True), ('asset__isnull', True), _connector='XOR'), name='billing_fairusecounter_counts'), models.CheckConstraint(condition=models.Q(('used__lt', Decimal('1000000000000000000'))), name='billing_fairusecounter_numbers')],
            },
        ),
        migrations.RunSQL(
            (SQL / "fair_use.sql").read_text(encoding="utf-8"),
            (SQL / "fair_use.reverse.sql").read_text(encoding="utf-8"),
        ),
    ]
