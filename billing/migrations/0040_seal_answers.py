from django.db import migrations


def seal(apps, schema_editor):
    """Answers that were kept with a webhook secret in the clear."""
    records = apps.get_model("billing", "IdempotencyRecord").objects.filter(secret__isnull=True, body__has_key="secret")
    for record in records:
        if isinstance(record.body, dict) and isinstance(secret := record.body["secret"], str):
            record.body, record.secret = {**record.body, "secret": None}, secret
            record.save(update_fields=["body", "secret"])


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0039_answers_secret"),
    ]

    operations = [migrations.RunPython(seal, migrations.RunPython.noop)]
