"""A subscription keeps the discount that was agreed; what its plan has for the commitment is no agreement."""

from decimal import Decimal

from django.db import migrations

import billing.models.fields


def _forget_published(apps, schema_editor):
    subscriptions = apps.get_model("billing", "Subscription").objects
    discounted = subscriptions.filter(discount__gt=0).select_related("plan_version", "next_version")
    for subscription in discounted.iterator(chunk_size=500):
        version = subscription.next_version or subscription.plan_version
        steps = [(Decimal(row["from"]), Decimal(row["discount"])) for row in version.commitment_discounts]
        reached = [discount for start, discount in steps if start <= version.minimum_commitment]
        if reached and subscription.discount == reached[-1]:
            subscriptions.filter(pk=subscription.pk).update(discount=0)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0051_event_origin"),
    ]

    operations = [
        migrations.AlterField(
            "Subscription",
            "discount",
            billing.models.fields.AmountField(
                default=0,
                help_text="What was agreed, and goes along to another plan. 0: what the plan has for the commitment.",
            ),
        ),
        # Nothing to undo: who went back takes the published discount anew with the next change.
        migrations.RunPython(_forget_published, migrations.RunPython.noop, elidable=True),
    ]
