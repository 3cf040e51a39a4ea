import accounts.ids
import accounts.models.fields
import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    # The steps by which databases from before the first release came to these tables.
    replaces = [
        ('accounts', '0003_user_timezone'),
        ('accounts', '0004_privacy'),
        ('accounts', '0007_reading'),
        ('accounts', '0008_looking_up_the_trail'),
        ('accounts', '0010_single_sign_on'),
        ('accounts', '0011_session_names'),
        ('accounts', '0012_no_admin_log'),
    ]

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('email', models.EmailField(max_length=254, unique=True, verbose_name='e-mail')),
                ('name', models.CharField(blank=True, max_length=200)),
                ('timezone', models.CharField(blank=True, default='', help_text='In which they read; empty: that of whoever they act for.', max_length=64)),
                ('language', models.CharField(blank=True, default='', help_text='In which they read; empty: what their browser asks for.', max_length=8)),
                ('number_style', models.CharField(blank=True, choices=[('comma_point', '1,234.56'), ('point_comma', '1.234,56'), ('space_comma', '1\u202f234,56'), ('mark_point', '1’234.56')], default='', help_text='Empty: what is usual in the language.', max_length=16)),
                ('date_style', models.CharField(blank=True, choices=[('month_first', 'Nov 21, 2026'), ('day_first', '21 Nov 2026'), ('dotted', '21.11.2026'), ('iso', '2026-11-21')], default='', help_text='Empty: what is usual in the language.', max_length=16)),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('is_staff', models.BooleanField(default=False, help_text='May enter the back office.', verbose_name='staff')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('security_epoch', models.PositiveIntegerField(default=0, editable=False, help_text='Grows when factors or roles change; sessions of an earlier one end.')),
                ('failed_codes', models.PositiveIntegerField(default=0, editable=False, help_text='Second factors that failed since the last one that did not.')),
                ('last_failed_code_at', models.DateTimeField(editable=False, null=True)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower('email'))), name='accounts_user_email_lower')],
            },
        ),
        migrations.CreateModel(
            name='Organization',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('allowed_networks', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), blank=True, default=list, help_text='CIDR blocks; empty means from everywhere.', size=None)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='accounts.organization')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('developer', 'Developer'), ('billing', 'Billing'), ('viewer', 'Viewer')], default='viewer', max_length=16)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'user'), name='accounts_membership_once'), models.CheckConstraint(condition=models.Q(('role__in', ['owner', 'admin', 'developer', 'billing', 'viewer'])), name='accounts_membership_role')],
            },
        ),
        migrations.CreateModel(
            name='Invitation',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='invitations', to='accounts.organization')),
                ('email', models.EmailField(max_length=254)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('developer', 'Developer'), ('billing', 'Billing'), ('viewer', 'Viewer')], max_length=16)),
                ('token_hash', models.BinaryField(max_length=32, unique=True)),
                ('invited_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField()),
                ('accepted_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-created_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('accepted_at', None), ('revoked_at', None)), fields=('organization', 'email'), name='accounts_invitation_open_once'), models.CheckConstraint(condition=models.Q(('role__in', ['owner', 'admin', 'developer', 'billing', 'viewer'])), name='accounts_invitation_role')],
            },
        ),
        migrations.CreateModel(
            name='TrustedDevice',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='trusted_devices', to=settings.AUTH_USER_MODEL)),
                ('token_hash', models.BinaryField(max_length=32, unique=True)),
                ('bound_to', models.CharField(editable=False, help_text='What sessions of that time were bound to.', max_length=64)),
                ('name', models.CharField(max_length=200)),
                ('ip_address', models.GenericIPAddressField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('expires_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('session_data', models.TextField(verbose_name='session data')),
                ('expire_date', models.DateTimeField(db_index=True, verbose_name='expire date')),
                ('session_key', models.CharField(help_text='The SHA-256 of the key, in hex.', max_length=64, primary_key=True, serialize=False)),
                ('user_id', models.UUIDField(db_index=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('seen_at', models.DateTimeField(auto_now=True)),
                ('ip_address', models.GenericIPAddressField(null=True)),
                ('agent', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='OutgoingMail',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('recipient', models.EmailField(max_length=254)),
                ('subject', models.CharField(max_length=200)),
                ('text', accounts.models.fields.SealedField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('last_error', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'ordering': ['created_at'],
            },
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('operator', 'Operator'), ('customer', 'Customer')], max_length=16)),
                ('organization', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to='accounts.organization')),
                ('name', models.CharField(max_length=100)),
                ('prefix', models.CharField(help_text='The first characters of the key, to tell keys apart.', max_length=24)),
                ('secret_hash', models.BinaryField(max_length=32, unique=True)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), default=list, size=None)),
                ('allowed_networks', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), blank=True, default=list, help_text='CIDR blocks; empty means from everywhere.', size=None)),
                ('renews', models.OneToOneField(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='renewed_by', to='accounts.apikey')),
                ('live', models.BooleanField(default=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('paused_at', models.DateTimeField(blank=True, null=True)),
                ('paused_because', models.CharField(blank=True, max_length=200)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'API key',
                'ordering': ['-created_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('kind', 'operator'), ('organization__isnull', True)), models.Q(('kind', 'customer'), ('organization__isnull', False)), _connector='OR'), name='accounts_apikey_customer_has_organization')],
            },
        ),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='when')),
                ('actor_kind', models.CharField(choices=[('user', 'Person'), ('api_key', 'API key'), ('system', 'System')], max_length=16, verbose_name='who is')),
                ('actor_id', models.UUIDField(blank=True, null=True, verbose_name='their id')),
                ('sealed_label', models.CharField(blank=True, db_column='actor_label', help_text='Of the system.', max_length=200)),
                ('organization_id', models.UUIDField(blank=True, null=True, verbose_name='organization')),
                ('action', models.CharField(help_text='A stored code such as customer.created.', max_length=64, verbose_name='what')),
                ('object_type', models.CharField(max_length=64, verbose_name='of what')),
                ('object_id', models.CharField(max_length=255, verbose_name='its id')),
                ('sealed_before', models.JSONField(blank=True, db_column='before', encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('sealed_after', models.JSONField(blank=True, db_column='after', encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('sealed_address', models.GenericIPAddressField(blank=True, db_column='ip_address', help_text='Of lines that were written before there were details.', null=True)),
                ('request_id', models.CharField(blank=True, max_length=64, verbose_name='request')),
                ('written_in', accounts.models.fields.WrittenInField()),
            ],
            options={
                'ordering': ['-id'],
                'base_manager_name': 'objects',
                'indexes': [models.Index(fields=['object_id', 'object_type'], name='accounts_audit_object_id'), models.Index(fields=['actor_id', '-id'], name='accounts_audit_actor'), models.Index(fields=['action', '-id'], name='accounts_audit_action', opclasses=['varchar_pattern_ops', 'uuid_ops']), models.Index(condition=models.Q(('request_id', ''), _negated=True), fields=['request_id'], name='accounts_audit_request'), models.Index(fields=['organization_id', '-id'], name='accounts_audit_organization'), django.contrib.postgres.indexes.BrinIndex(fields=['created_at'], name='accounts_audit_created'), django.contrib.postgres.indexes.BrinIndex(fields=['written_in'], name='accounts_audit_written_in')],
            },
        ),
        migrations.CreateModel(
            name='AuditDetail',
            fields=[
                ('line', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='detail', serialize=False, to='accounts.auditevent')),
                ('label', models.CharField(blank=True, db_index=True, help_text="The person's address at the time.", max_length=200)),
                ('ip_address', models.GenericIPAddressField(blank=True, null=True)),
                ('before', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ('after', models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Consent',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='consents', to=settings.AUTH_USER_MODEL)),
                ('version', models.CharField(max_length=64)),
                ('url', models.CharField(blank=True, max_length=500, verbose_name='address of the text')),
                ('given_at', models.DateTimeField(auto_now_add=True)),
                ('ip_address', models.GenericIPAddressField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-given_at'],
                'constraints': [models.UniqueConstraint(fields=('user', 'version'), name='accounts_consent_once')],
            },
        ),
        migrations.CreateModel(
            name='Authenticator',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user', models.ForeignKey(help_text='The user that this device belongs to.', on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ('name', models.CharField(help_text='The human-readable name of this device.', max_length=64)),
                ('confirmed', models.BooleanField(default=True, help_text='Is this device ready for use?')),
                ('secret', accounts.models.fields.SealedField(help_text='Base32, as the app was given it.')),
                ('last_step', models.BigIntegerField(default=-1, help_text='The newest half minute whose code was accepted.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('user', 'name'), name='accounts_authenticator_name')],
            },
        ),
        migrations.CreateModel(
            name='RecoverySet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user', models.ForeignKey(help_text='The user that this device belongs to.', on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ('name', models.CharField(help_text='The human-readable name of this device.', max_length=64)),
                ('confirmed', models.BooleanField(default=True, help_text='Is this device ready for use?')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('user',), name='accounts_recoveryset_user')],
            },
        ),
        migrations.CreateModel(
            name='RecoveryCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('recovery_set', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='codes', to='accounts.recoveryset')),
                ('label', models.CharField(max_length=2)),
                ('code_hash', models.CharField(max_length=255)),
                ('used_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('recovery_set', 'label'), name='accounts_recoverycode_label')],
            },
        ),
        migrations.CreateModel(
            name='IdentityProvider',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('organization', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='identity_provider', to='accounts.organization')),
                ('short_name', models.SlugField(help_text='What people type to be sent there.', max_length=40, unique=True)),
                ('issuer', models.CharField(max_length=300)),
                ('client_id', models.CharField(max_length=255)),
                ('client_secret', accounts.models.fields.SealedField()),
                ('required', models.BooleanField(default=False, help_text='Whether members get in by it alone. Owners do without.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Identity',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='identities', to=settings.AUTH_USER_MODEL)),
                ('provider', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='identities', to='accounts.identityprovider')),
                ('membership', models.ForeignKey(help_text='It ends with it. None for staff.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.membership')),
                ('issuer', models.CharField(max_length=300)),
                ('subject', models.CharField(max_length=255)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'identities',
                'constraints': [models.UniqueConstraint(fields=('provider', 'issuer', 'subject'), name='accounts_identity_subject', nulls_distinct=False), models.UniqueConstraint(fields=('provider', 'user'), name='accounts_identity_one_each', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('membership', None), ('provider', None)), models.Q(('membership__isnull', False), ('provider__isnull', False)), _connector='OR'), name='accounts_identity_of_member_or_staff')],
            },
        ),
        migrations.AddField(
            model_name='organization',
            name='members',
            field=models.ManyToManyField(related_name='organizations', through='accounts.Membership', to=settings.AUTH_USER_MODEL),
        ),
    ]
