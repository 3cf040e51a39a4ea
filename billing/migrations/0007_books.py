import accounts.ids
import billing.models.fields
import django.core.serializers.json
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0006_exports'),
    ]

    operations = [
        migrations.CreateModel(
            name='BookCheck',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('full', models.BooleanField(help_text='Every row, and not only what is stored as sums.')),
                ('state', models.CharField(choices=[('running', 'Running'), ('right', 'Right'), ('wrong', 'Wrong'), ('failed', 'Did not end')], default='running', max_length=16)),
                ('wrong', models.PositiveSmallIntegerField(default=0, help_text='How many of the checks found something.')),
                ('results', models.JSONField(default=list, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='obligation',
            name='billing_obligation_numbers',
        ),
        migrations.RemoveConstraint(
            model_name='recognition',
            name='billing_recognition_movement',
        ),
        migrations.AddField(
            model_name='obligation',
            name='ahead',
            field=billing.models.fields.AmountField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='obligation',
            name='used',
            field=billing.models.fields.AmountField(db_default=0, default=0),
        ),
        migrations.AddConstraint(
            model_name='obligation',
            constraint=models.CheckConstraint(condition=models.Q(('value__lt', Decimal('1000000000000000000')), ('total__lt', Decimal('1000000000000000000')), ('done__lt', Decimal('1000000000000000000')), ('booked__lt', Decimal('1000000000000000000')), ('used__lt', Decimal('1000000000000000000')), ('ahead__lt', Decimal('1000000000000000000'))), name='billing_obligation_numbers'),
        ),
        migrations.AddConstraint(
            model_name='recognition',
            constraint=models.CheckConstraint(condition=models.Q(('movement__in', ['billed', 'fee_billed', 'recognised', 'fee_recognised', 'recognised_owed', 'breakage', 'breakage_expected', 'refunded', 'settled', 'conceded', 'exchanged', 'adjusted', 'adjusted_owed', 'disputed', 'fee_deferred', 'passed', 'promotional', 'included'])), name='billing_recognition_movement'),
        ),
        migrations.AddConstraint(
            model_name='bookcheck',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state', 'running')), models.Q(('finished_at__isnull', False), ('state', 'right'), ('wrong', 0)), models.Q(('finished_at__isnull', False), ('state', 'wrong'), ('wrong__gt', 0)), models.Q(('finished_at__isnull', False), ('state', 'failed')), _connector='OR'), name='billing_bookcheck_state'),
        ),
    ]
