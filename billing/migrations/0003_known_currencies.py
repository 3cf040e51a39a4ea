from django.db import migrations


def add_currencies(apps, schema_editor):
    Asset = apps.get_model("billing", "Asset")
    for code, name in [("usd", "US dollar"), ("eur", "Euro")]:
        Asset.objects.get_or_create(code=code, defaults={"name": name, "kind": "currency", "precision": 12})


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_guards")]

    operations = [migrations.RunPython(add_currencies, migrations.RunPython.noop)]
