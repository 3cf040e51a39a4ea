from decimal import Decimal
from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import accounts.ids
import billing.models.fields

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0008_taxes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Partner',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('code', models.SlugField(max_length=64, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('base', models.CharField(choices=[('revenue', 'Recognised revenue: usage and fees'), ('usage', 'Recognised revenue of metered charges alone'), ('payments', 'Money that came in for grants')], help_text='What the share is of.', max_length=16)),
                ('mode', models.CharField(choices=[('volume', 'All of the month at the rate that it reaches'), ('graduated', 'Each part of the month at its own rate')], default='volume', max_length=16)),
                ('steps', models.JSONField(help_text='From which volume of a month on which rate holds, as texts of exact numbers.')),
                ('starts_on', models.DateField(help_text='The first day that counts.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['code'],
            },
        ),
        migrations.CreateModel(
            name='PartnerAccrual',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('date', models.DateField()),
                ('base', billing.models.fields.AmountField()),
                ('amount', billing.models.fields.AmountField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-date', '-id'],
            },
        ),
        migrations.CreateModel(
            name='PartnerCustomer',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='PartnerPayout',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('upto', models.DateField(help_text='The last day that it is for.')),
                ('amount', billing.models.fields.AmountField(help_text='In coins; the rest of a coin is for the next one.')),
                ('reference', models.CharField(help_text="The bank's.", max_length=100)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='invoiceline',
            name='billing_invoiceline_kind',
        ),
        migrations.RemoveConstraint(
            model_name='ledgerentry',
            name='billing_entry_accounts',
        ),
        migrations.AddField(
            model_name='invoiceline',
            name='metadata',
            field=models.JSONField(default=dict, help_text='Of the events, as far as invoices have it.'),
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='credit',
            field=models.CharField(choices=[('wallet_available', 'Wallet: available'), ('wallet_held', 'Wallet: held'), ('receivable', 'Receivable from customers'), ('cash_clearing', 'Cash clearing'), ('promotional_expense', 'Promotional expense'), ('allowances', 'Allowances given with a plan'), ('adjustment', 'Adjustments'), ('usage', 'Usage'), ('fees', 'Fees of plans'), ('breakage', 'Breakage'), ('refunds', 'Refunds'), ('disputed', 'Disputed'), ('tax_payable', 'Tax payable'), ('partner_payable', 'Partner payable'), ('partner_expense', 'Share of partners'), ('payment_fees', 'Payment fees'), ('fx', 'Foreign exchange')], max_length=24),
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='debit',
            field=models.CharField(choices=[('wallet_available', 'Wallet: available'), ('wallet_held', 'Wallet: held'), ('receivable', 'Receivable from customers'), ('cash_clearing', 'Cash clearing'), ('promotional_expense', 'Promotional expense'), ('allowances', 'Allowances given with a plan'), ('adjustment', 'Adjustments'), ('usage', 'Usage'), ('fees', 'Fees of plans'), ('breakage', 'Breakage'), ('refunds', 'Refunds'), ('disputed', 'Disputed'), ('tax_payable', 'Tax payable'), ('partner_payable', 'Partner payable'), ('partner_expense', 'Share of partners'), ('payment_fees', 'Payment fees'), ('fx', 'Foreign exchange')], max_length=24),
        ),
        migrations.AddConstraint(
            model_name='invoiceline',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['usage', 'fee', 'discount', 'adjustment', 'chargeback'])), name='billing_invoiceline_kind'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('debit__in', ['wallet_available', 'wallet_held', 'receivable', 'cash_clearing', 'promotional_expense', 'allowances', 'adjustment', 'usage', 'fees', 'breakage', 'refunds', 'disputed', 'tax_payable', 'partner_payable', 'partner_expense', 'payment_fees', 'fx']), ('credit__in', ['wallet_available', 'wallet_held', 'receivable', 'cash_clearing', 'promotional_expense', 'allowances', 'adjustment', 'usage', 'fees', 'breakage', 'refunds', 'disputed', 'tax_payable', 'partner_payable', 'partner_expense', 'payment_fees', 'fx'])), name='billing_entry_accounts'),
        ),
        migrations.AddField(
            model_name='partner',
            name='currency',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.asset'),
        ),
        migrations.AddField(
            model_name='partneraccrual',
            name='customer',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer'),
        ),
        migrations.AddField(
            model_name='partneraccrual',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='accruals', to='billing.partner'),
        ),
        migrations.AddField(
            model_name='partnercustomer',
            name='customer',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='brought_by', to='billing.customer'),
        ),
        migrations.AddField(
            model_name='partnercustomer',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='customers', to='billing.partner'),
        ),
        migrations.AddField(
            model_name='partnerpayout',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='billing.partner'),
        ),
        migrations.AddConstraint(
            model_name='partner',
            constraint=models.CheckConstraint(condition=models.Q(('base__in', ['revenue', 'usage', 'payments'])), name='billing_partner_base'),
        ),
        migrations.AddConstraint(
            model_name='partner',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['volume', 'graduated'])), name='billing_partner_mode'),
        ),
        migrations.AddConstraint(
            model_name='partneraccrual',
            constraint=models.UniqueConstraint(fields=('partner', 'customer', 'date'), name='billing_partneraccrual_once'),
        ),
        migrations.AddConstraint(
            model_name='partneraccrual',
            constraint=models.CheckConstraint(condition=models.Q(('base__lt', Decimal('1000000000000000000')), ('amount__lt', Decimal('1000000000000000000'))), name='billing_partneraccrual_numbers'),
        ),
        migrations.AddConstraint(
            model_name='partnerpayout',
            constraint=models.UniqueConstraint(fields=('partner', 'upto'), name='billing_partnerpayout_once'),
        ),
        migrations.AddConstraint(
            model_name='partnerpayout',
            constraint=models.CheckConstraint(condition=models.Q(('amount__lt', Decimal('1000000000000000000')), ('amount__gte', 0)), name='billing_partnerpayout_at_least_0'),
        ),
        migrations.RunSQL(
            (SQL / "partners.sql").read_text(encoding="utf-8"),
            (SQL / "partners.reverse.sql").read_text(encoding="utf-8"),
        ),
    ]
