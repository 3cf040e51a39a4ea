"""Why staff gave a grant goes from its metadata, which the customer reads, to the trail; who did is there already."""

from django.db import migrations

TO_THE_TRAIL = """
UPDATE accounts_auditdetail detail
   SET after = COALESCE(detail.after, '{}') || jsonb_build_object('reason', given.metadata -> 'reason')
  FROM accounts_auditevent line, billing_grant given
 WHERE line.id = detail.line_id AND line.object_type = 'grant' AND line.action = 'grant.created'
   AND line.object_id = given.id::text AND given.metadata ?& ARRAY['reason', 'granted_by'];
UPDATE billing_grant SET metadata = metadata - 'reason' - 'granted_by' WHERE metadata ?& ARRAY['reason', 'granted_by']
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_session_names"),
        ("billing", "0071_included_tax"),
    ]

    operations = [
        migrations.RunSQL(TO_THE_TRAIL, migrations.RunSQL.noop),
    ]
