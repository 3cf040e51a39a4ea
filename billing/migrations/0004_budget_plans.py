import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_append_only'),
        ('billing', '0003_known_currencies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='budget',
            name='billing_budget_at_cap',
        ),
        migrations.AddField(
            model_name='budget',
            name='plan',
            field=models.ForeignKey(blank=True, help_text='That the customer moves to.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.plan'),
        ),
        migrations.AddField(
            model_name='budget',
            name='plan_failed_at',
            field=models.DateTimeField(blank=True, help_text='When they could not be moved to it.', null=True),
        ),
        migrations.AddField(
            model_name='budget',
            name='plan_failure',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AlterField(
            model_name='budget',
            name='at_cap',
            field=models.CharField(choices=[('refuse', 'Refuse it'), ('throttle', 'Ask to come again later'), ('pause_key', 'Refuse it and pause the API key'), ('change_plan', 'Move to another plan')], default='refuse', max_length=16),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(('at_cap', 'refuse'), models.Q(('hard', True), models.Q(('at_cap__in', ['pause_key', 'change_plan']), models.Q(('period', 'total'), _negated=True), _connector='OR')), _connector='OR'), name='billing_budget_at_cap'),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(('at_cap', 'change_plan'), ('plan', None), _connector='XOR'), name='billing_budget_plan'),
        ),
    ]
