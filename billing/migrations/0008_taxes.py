from decimal import Decimal
from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import accounts.ids
import billing.models.fields

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0007_books'),
    ]

    operations = [
        migrations.CreateModel(
            name='Collection',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('open', 'Open'), ('paid', 'Paid'), ('uncollectible', 'Uncollectible')], default='open', max_length=16)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('next_try_at', models.DateTimeField(blank=True, null=True)),
                ('reminders', models.PositiveSmallIntegerField(default=0)),
                ('froze', models.BooleanField(default=False, help_text='The wallet was frozen because of it.')),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='InvoicePayment',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('money', 'Paid outside of the payment provider'), ('write_off', 'Written off')], max_length=16)),
                ('amount', billing.models.fields.AmountField()),
                ('tax', billing.models.fields.AmountField(default=0)),
                ('reference', models.CharField(max_length=100)),
                ('grant_id', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='InvoiceTax',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveIntegerField()),
                ('name', models.CharField(max_length=40)),
                ('rate', billing.models.fields.AmountField()),
                ('amount', billing.models.fields.AmountField()),
            ],
            options={
                'verbose_name_plural': 'invoice taxes',
                'ordering': ['invoice', 'position'],
            },
        ),
        migrations.CreateModel(
            name='TaxProfile',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tax_id', models.CharField(blank=True, max_length=20, verbose_name='tax number')),
                ('region', models.CharField(blank=True, max_length=10)),
                ('exempt_reason', models.CharField(blank=True, help_text='Where the customer pays no tax: why.', max_length=200)),
                ('address', models.JSONField(blank=True, default=list, help_text='Lines of the address on invoices.')),
                ('changed_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='TaxRule',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('country', models.CharField(help_text='ISO 3166-1 alpha-2.', max_length=2)),
                ('region', models.CharField(blank=True, help_text='As ISO 3166-2 has it, such as QC. Empty: all.', max_length=10)),
                ('name', models.CharField(help_text='As it stands on the invoice: VAT, GST.', max_length=40)),
                ('rate', billing.models.fields.AmountField(help_text='0.19 is 19 %.')),
                ('reverse_charge', models.BooleanField(default=False, help_text='A business abroad that has a tax number accounts for it itself.')),
                ('included', models.BooleanField(default=False, help_text='What a payer chooses to pay has the tax in it: it is taken out of that.')),
                ('starts_on', models.DateField()),
                ('ends_on', models.DateField(blank=True, help_text='The last day.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['country', 'region', 'name', '-starts_on'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='invoice',
            name='billing_invoice_numbers',
        ),
        migrations.RemoveConstraint(
            model_name='paymentattempt',
            name='billing_attempt_one_at_a_time',
        ),
        migrations.RemoveConstraint(
            model_name='paymentattempt',
            name='billing_attempt_purpose',
        ),
        migrations.RemoveConstraint(
            model_name='topup',
            name='billing_top_up_at_least_0',
        ),
        migrations.AddField(
            model_name='invoice',
            name='tax',
            field=billing.models.fields.AmountField(db_default=0, default=0, help_text='On top of what is due.'),
        ),
        migrations.AddField(
            model_name='invoice',
            name='tax_base',
            field=billing.models.fields.AmountField(db_default=0, default=0, help_text='What it is on: of what is due, what was not paid when it was issued.'),
        ),
        migrations.AddField(
            model_name='invoice',
            name='tax_given',
            field=billing.models.fields.AmountField(db_default=0, default=0, help_text='Of the tax of a credit note: what had been paid, and went into the wallet.'),
        ),
        migrations.AddField(
            model_name='invoice',
            name='tax_treatment',
            field=models.CharField(db_default='none', default='none', max_length=16),
        ),
        migrations.AddField(
            model_name='topup',
            name='invoice',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.invoice'),
        ),
        migrations.AddField(
            model_name='topup',
            name='invoiced_tax',
            field=billing.models.fields.AmountField(db_default=0, default=0, help_text='Of its tax: what was owed by invoice, and is on its way to the office.'),
        ),
        migrations.AlterField(
            model_name='paymentattempt',
            name='purpose',
            field=models.CharField(choices=[('top_up', 'Top-up'), ('auto_top_up', 'Automatic top-up'), ('scheduled', 'Scheduled top-up'), ('invoice', 'Invoice')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='invoice',
            constraint=models.CheckConstraint(condition=models.Q(('total__lt', Decimal('1000000000000000000')), ('prepaid__lt', Decimal('1000000000000000000')), ('due__lt', Decimal('1000000000000000000')), ('due_before__lt', Decimal('1000000000000000000')), ('owed_after__lt', Decimal('1000000000000000000')), ('tax__lt', Decimal('1000000000000000000')), ('tax_base__lt', Decimal('1000000000000000000'))), name='billing_invoice_numbers'),
        ),
        migrations.AddConstraint(
            model_name='invoice',
            constraint=models.CheckConstraint(condition=models.Q(('tax_given__lt', Decimal('1000000000000000000')), ('tax_given__gte', 0)), name='billing_invoice_at_least_0'),
        ),
        migrations.AddConstraint(
            model_name='invoice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'invoice'), ('tax__gte', 0), ('tax_base__gte', 0), ('tax_base__lte', models.F('due'))), models.Q(('kind', 'credit_note'), ('tax__lte', 0), ('tax_base__lte', 0)), _connector='OR'), name='billing_invoice_tax'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['created', 'sent', 'unknown', 'requires_action']), models.Q(('purpose__in', ['auto_top_up', 'scheduled', 'invoice']), ('status', 'processing')), _connector='OR'), fields=('customer', 'purpose'), name='billing_attempt_one_at_a_time'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.CheckConstraint(condition=models.Q(('purpose__in', ['top_up', 'auto_top_up', 'scheduled', 'invoice'])), name='billing_attempt_purpose'),
        ),
        migrations.AddConstraint(
            model_name='topup',
            constraint=models.CheckConstraint(condition=models.Q(('fee__lt', Decimal('1000000000000000000')), ('fee__gte', 0), ('tax__lt', Decimal('1000000000000000000')), ('tax__gte', 0), ('bonus__lt', Decimal('1000000000000000000')), ('bonus__gte', 0), ('refunded__lt', Decimal('1000000000000000000')), ('refunded__gte', 0), ('tax_refunded__lt', Decimal('1000000000000000000')), ('tax_refunded__gte', 0), ('invoiced_tax__lt', Decimal('1000000000000000000')), ('invoiced_tax__gte', 0)), name='billing_top_up_at_least_0'),
        ),
        migrations.AddConstraint(
            model_name='topup',
            constraint=models.CheckConstraint(condition=models.Q(('invoiced_tax__lte', models.F('tax'))), name='billing_top_up_invoiced_tax'),
        ),
        migrations.AddField(
            model_name='collection',
            name='customer',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer'),
        ),
        migrations.AddField(
            model_name='collection',
            name='invoice',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='collection', to='billing.invoice'),
        ),
        migrations.AddField(
            model_name='invoicepayment',
            name='customer',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer'),
        ),
        migrations.AddField(
            model_name='invoicepayment',
            name='invoice',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payments', to='billing.invoice'),
        ),
        migrations.AddField(
            model_name='invoicetax',
            name='customer',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer'),
        ),
        migrations.AddField(
            model_name='invoicetax',
            name='invoice',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='taxes', to='billing.invoice'),
        ),
        migrations.AddField(
            model_name='taxprofile',
            name='customer',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='tax_profile', to='billing.customer'),
        ),
        migrations.AddConstraint(
            model_name='taxrule',
            constraint=models.UniqueConstraint(fields=('country', 'region', 'name', 'starts_on'), name='billing_taxrule_once'),
        ),
        migrations.AddConstraint(
            model_name='taxrule',
            constraint=models.CheckConstraint(condition=models.Q(('rate__lt', Decimal('1000000000000000000')), ('rate__gte', 0)), name='billing_taxrule_at_least_0'),
        ),
        migrations.AddConstraint(
            model_name='taxrule',
            constraint=models.CheckConstraint(condition=models.Q(('rate__lt', 1)), name='billing_taxrule_rate'),
        ),
        migrations.AddConstraint(
            model_name='taxrule',
            constraint=models.CheckConstraint(condition=models.Q(('country__regex', '^[A-Z]{2}$')), name='billing_taxrule_country'),
        ),
        migrations.AddConstraint(
            model_name='taxrule',
            constraint=models.CheckConstraint(condition=models.Q(('ends_on__isnull', True), ('ends_on__gte', models.F('starts_on')), _connector='OR'), name='billing_taxrule_days'),
        ),
        migrations.AddIndex(
            model_name='collection',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['id'], name='billing_collection_open'),
        ),
        migrations.AddConstraint(
            model_name='collection',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'paid', 'uncollectible'])), name='billing_collection_state'),
        ),
        migrations.AddConstraint(
            model_name='collection',
            constraint=models.CheckConstraint(condition=models.Q(('state', 'open'), ('closed_at__isnull', False), _connector='XOR'), name='billing_collection_closed'),
        ),
        migrations.AddConstraint(
            model_name='invoicepayment',
            constraint=models.UniqueConstraint(fields=('invoice', 'reference'), name='billing_invoicepayment_once'),
        ),
        migrations.AddConstraint(
            model_name='invoicepayment',
            constraint=models.CheckConstraint(condition=models.Q(('amount__lt', Decimal('1000000000000000000')), ('amount__gte', 0), ('tax__lt', Decimal('1000000000000000000')), ('tax__gte', 0)), name='billing_invoicepayment_at_least_0'),
        ),
        migrations.AddConstraint(
            model_name='invoicepayment',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('tax__gt', 0), _connector='OR'), name='billing_invoicepayment_some'),
        ),
        migrations.AddConstraint(
            model_name='invoicepayment',
            constraint=models.CheckConstraint(condition=models.Q(('amount', 0), ('grant_id__isnull', False), _connector='XOR'), name='billing_invoicepayment_grant'),
        ),
        migrations.AddConstraint(
            model_name='invoicepayment',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['money', 'write_off'])), name='billing_invoicepayment_kind'),
        ),
        migrations.AddConstraint(
            model_name='invoicetax',
            constraint=models.UniqueConstraint(fields=('invoice', 'position'), name='billing_invoicetax_once'),
        ),
        migrations.AddConstraint(
            model_name='invoicetax',
            constraint=models.CheckConstraint(condition=models.Q(('rate__lt', Decimal('1000000000000000000')), ('amount__lt', Decimal('1000000000000000000'))), name='billing_invoicetax_numbers'),
        ),
        migrations.RunSQL(
            (SQL / "invoice_taxes.sql").read_text(encoding="utf-8"),
            (SQL / "invoice_taxes.reverse.sql").read_text(encoding="utf-8"),
        ),
        migrations.RunSQL(
            (SQL / "invoice_payments.sql").read_text(encoding="utf-8"),
            (SQL / "invoice_payments.reverse.sql").read_text(encoding="utf-8"),
        ),
    ]
