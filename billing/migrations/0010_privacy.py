from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0009_partners_and_invoice_lines'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='approval',
            name='billing_approval_kind',
        ),
        migrations.AddField(
            model_name='customer',
            name='erased_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='Since when nothing here says who it was.', null=True),
        ),
        migrations.AddField(
            model_name='paymentprofile',
            name='forget_asked_at',
            field=models.DateTimeField(help_text='Since when the provider is to forget the customer.', null=True),
        ),
        migrations.AddField(
            model_name='paymentprofile',
            name='forgotten_at',
            field=models.DateTimeField(help_text='When it said that it did.', null=True),
        ),
        migrations.AlterField(
            model_name='approval',
            name='kind',
            field=models.CharField(choices=[('grant', 'Credit'), ('adjustment', 'Adjustment'), ('refund', 'Refund of a top-up'), ('reversal', 'Reversal of a charge'), ('charge_refund', 'Refund of a charge'), ('overdraft_limit', 'Overdraft limit'), ('plan', 'Publication of a plan'), ('void', 'Grant taken back'), ('cancellation', 'Cancellation with refund'), ('erasure', 'Erasure of personal data'), ('plan_move', 'Move of a whole plan'), ('agreed_terms', 'Agreed terms')], max_length=16),
        ),
        migrations.AlterField(
            model_name='manualmovement',
            name='kind',
            field=models.CharField(choices=[('grant', 'Credit'), ('adjustment', 'Adjustment'), ('refund', 'Refund of a top-up'), ('reversal', 'Reversal of a charge'), ('charge_refund', 'Refund of a charge'), ('overdraft_limit', 'Overdraft limit'), ('plan', 'Publication of a plan'), ('void', 'Grant taken back'), ('cancellation', 'Cancellation with refund'), ('erasure', 'Erasure of personal data'), ('plan_move', 'Move of a whole plan'), ('agreed_terms', 'Agreed terms')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['grant', 'adjustment', 'refund', 'reversal', 'charge_refund', 'overdraft_limit', 'plan', 'void', 'cancellation', 'erasure', 'plan_move', 'agreed_terms'])), name='billing_approval_kind'),
        ),
    ]
