import accounts.ids
import accounts.models.fields
import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0010_privacy'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='NoticeTarget',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('channel', models.CharField(choices=[('inbox', 'Inbox'), ('email', 'E-mail'), ('sms', 'SMS'), ('slack', 'Slack'), ('teams', 'Teams'), ('discord', 'Discord'), ('operator', 'To the operator')], max_length=16)),
                ('address', accounts.models.fields.SealedField(editable=False)),
                ('shown', models.CharField(help_text='Enough of it to be recognised.', max_length=32, verbose_name='address')),
                ('topics', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), default=list, size=None)),
                ('code', accounts.models.fields.SealedField(editable=False)),
                ('code_sent_at', models.DateTimeField(blank=True, null=True)),
                ('tries', models.PositiveSmallIntegerField(default=0, help_text='How many codes were entered.')),
                ('confirmed_at', models.DateTimeField(blank=True, null=True)),
                ('last_error', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='noticedelivery',
            name='billing_delivery_channel',
        ),
        migrations.AlterField(
            model_name='noticedelivery',
            name='channel',
            field=models.CharField(choices=[('inbox', 'Inbox'), ('email', 'E-mail'), ('sms', 'SMS'), ('slack', 'Slack'), ('teams', 'Teams'), ('discord', 'Discord'), ('operator', 'To the operator')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='noticedelivery',
            constraint=models.CheckConstraint(condition=models.Q(('channel__in', ['inbox', 'email', 'sms', 'slack', 'teams', 'discord', 'operator'])), name='billing_delivery_channel'),
        ),
        migrations.AddField(
            model_name='noticetarget',
            name='customer',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='billing.customer'),
        ),
        migrations.AddField(
            model_name='noticetarget',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='noticetarget',
            index=models.Index(condition=models.Q(('code_sent_at', None)), fields=['id'], name='billing_noticetarget_new'),
        ),
        migrations.AddConstraint(
            model_name='noticetarget',
            constraint=models.UniqueConstraint(fields=('customer', 'user', 'channel'), name='billing_noticetarget_once'),
        ),
        migrations.AddConstraint(
            model_name='noticetarget',
            constraint=models.CheckConstraint(condition=models.Q(('channel__in', ['sms', 'slack', 'teams', 'discord'])), name='billing_noticetarget_channel'),
        ),
    ]
