import accounts.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0005_charge_disputes'),
    ]

    operations = [
        migrations.CreateModel(
            name='ExportFile',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('journal', 'Journal of a day'), ('events', 'Usage events'), ('charges', 'Charges'), ('entries', 'Ledger entries')], max_length=16)),
                ('format', models.CharField(max_length=16)),
                ('name', models.CharField(help_text='Its path below EXPORT_TO.', max_length=200, unique=True)),
                ('since', models.BigIntegerField(null=True)),
                ('until', models.BigIntegerField(null=True)),
                ('cluster', models.CharField(blank=True, help_text='The PostgreSQL cluster that numbered what writes.', max_length=20)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('delivered', 'Delivered')], default='waiting', max_length=16)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('due_at', models.DateTimeField(help_text='Not to be tried before.')),
                ('last_error', models.CharField(blank=True, max_length=300)),
                ('rows', models.BigIntegerField(null=True)),
                ('bytes', models.BigIntegerField(null=True)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('created_at', models.DateTimeField()),
                ('delivered_at', models.DateTimeField(null=True)),
                ('day', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='exports', to='billing.revenueday')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('state', 'waiting')), fields=['due_at'], name='billing_exportfile_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('delivered_at__isnull', True), ('sha256', ''), ('state', 'waiting')), models.Q(('delivered_at__isnull', False), ('state', 'delivered'), models.Q(('sha256', ''), _negated=True)), _connector='OR'), name='billing_exportfile_state'), models.CheckConstraint(condition=models.Q(models.Q(('day__isnull', False), ('kind', 'journal'), ('until__isnull', True)), models.Q(('day__isnull', True), ('kind__in', ['events', 'charges', 'entries']), ('until__isnull', False)), _connector='OR'), name='billing_exportfile_of_one')],
            },
        ),
    ]
