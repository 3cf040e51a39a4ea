from pathlib import Path

import accounts.ids
import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_budget_plans")]

    operations = [
        migrations.CreateModel(
            name='ChargeDispute',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('open', 'Open'), ('accepted', 'Accepted'), ('declined', 'Declined'), ('withdrawn', 'Withdrawn')], default='open', max_length=16)),
                ('reason', models.CharField(help_text="The customer's words.", max_length=1000)),
                ('answer', models.CharField(blank=True, help_text='What the customer is told.', max_length=1000)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('customer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='charge_disputes', to='billing.customer')),
            ],
            options={
                'verbose_name': 'disputed charge',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['customer', '-id'], name='billing_chargedispute_customer')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ['open', 'accepted', 'declined', 'withdrawn'])), name='billing_chargedispute_status'), models.CheckConstraint(condition=models.Q(('status', 'open'), ('closed_at__isnull', False), _connector='XOR'), name='billing_chargedispute_closed'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['accepted', 'declined']), _negated=True), models.Q(('answer', ''), _negated=True), _connector='OR'), name='billing_chargedispute_answered')],
            },
        ),
        migrations.CreateModel(
            name='DisputedEvent',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('open', models.BooleanField(default=True, help_text='The case is.')),
                ('customer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer')),
                ('dispute', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='billing.chargedispute')),
                ('event', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='disputed', to='billing.usageevent')),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(fields=('dispute', 'event'), name='billing_disputedevent_in_case_once'), models.UniqueConstraint(condition=models.Q(('open', True)), fields=('customer', 'event'), name='billing_disputedevent_open_once')],
            },
        ),
        migrations.RunSQL(
            (SQL / "charge_disputes.sql").read_text(encoding="utf-8"),
            (SQL / "charge_disputes.reverse.sql").read_text(encoding="utf-8"),
        ),
    ]
