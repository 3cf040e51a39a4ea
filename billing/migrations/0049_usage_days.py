import billing.models.fields
import django.db.models.deletion
from decimal import Decimal
from django.db import migrations, models


DAYS_OF_THE_HOURS = """
INSERT INTO billing_usageday (customer_id, start, until, made)
SELECT DISTINCT r.customer_id, date_trunc('day', r.hour, z.zone),
       (date_trunc('day', r.hour AT TIME ZONE z.zone) + interval '1 day') AT TIME ZONE z.zone, FALSE
  FROM billing_usagerollup r JOIN billing_customer k ON k.id = r.customer_id
 CROSS JOIN LATERAL (
       SELECT CASE WHEN to_char('2026-01-01 00:00Z'::timestamptz AT TIME ZONE k.timezone, 'MI')
                     || to_char('2026-07-01 00:00Z'::timestamptz AT TIME ZONE k.timezone, 'MI') = '0000'
                   THEN k.timezone ELSE 'UTC' END AS zone) z
 WHERE r.grain = 'model'
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0048_commitment_discounts'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageDay',
            fields=[
                ('pk', models.CompositePrimaryKey('customer_id', 'start', blank=True, editable=False, primary_key=True, serialize=False)),
                ('start', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('made', models.BooleanField(default=False)),
                ('customer', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('made', False)), fields=['until'], name='billing_usageday_unmade')],
                'constraints': [models.CheckConstraint(condition=models.Q(('start__lt', models.F('until'))), name='billing_usageday_time')],
            },
        ),
        migrations.CreateModel(
            name='UsageDaySum',
            fields=[
                ('shape', models.UUIDField(help_text='Of the lines that each of the events has.')),
                ('line', models.UUIDField(help_text='Of meter, asset, dimensions and API key.')),
                ('dimensions', models.JSONField(default=dict)),
                ('api_key_id', models.UUIDField(null=True)),
                ('quantity', billing.models.fields.AmountField()),
                ('amount', billing.models.fields.AmountField()),
                ('events', models.BigIntegerField(help_text='How many events have this shape, less those that were reversed.')),
                ('pk', models.CompositePrimaryKey('customer_id', 'grain', 'start', 'shape', 'line', blank=True, editable=False, primary_key=True, serialize=False)),
                ('grain', models.CharField(choices=[('model', 'By model'), ('user', 'By user'), ('project', 'By project'), ('feature', 'By feature'), ('api_key', 'By API key'), ('work', 'By all of these')], max_length=8)),
                ('start', models.DateTimeField(help_text='Of the day.')),
                ('asset', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.asset')),
                ('customer', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer')),
                ('meter', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.meter')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('quantity__lt', Decimal('1000000000000000000')), ('amount__lt', Decimal('1000000000000000000'))), name='billing_usagedaysum_numbers'), models.CheckConstraint(condition=models.Q(('grain__in', ['model', 'user', 'project', 'feature', 'api_key', 'work'])), name='billing_usagedaysum_grain')],
            },
        ),
        migrations.RunSQL(DAYS_OF_THE_HOURS, migrations.RunSQL.noop),
    ]
