"""What a provider reports bears no provider's name, and says in our words what it is about."""

from django.db import migrations, models
from django.db.models import Q

_WORDS = {
    "checkout.session": "session",
    "payment_intent": "payment",
    "setup_intent": "method",
    "payment_method": "method",
}
_KEPT = ["session", "payment", "charge", "refund", "dispute", "method"]


def _say(apps, schema_editor):
    events = apps.get_model("billing", "ProviderEvent").objects
    for theirs, ours in _WORDS.items():
        events.filter(about=theirs).update(about=ours)
    events.exclude(about__in=_KEPT).update(about="")


def _say_as_stripe_does(apps, schema_editor):
    events = apps.get_model("billing", "ProviderEvent").objects
    for theirs, ours in _WORDS.items():
        events.filter(about=ours).update(about=theirs)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0049_usage_days"),
    ]

    operations = [
        migrations.RenameModel("StripeEvent", "ProviderEvent"),
        migrations.RenameField("ProviderEvent", "object_type", "about"),
        migrations.AlterField(
            "ProviderEvent",
            "about",
            models.CharField(blank=True, help_text="What kind of object; empty for what is not needed.", max_length=64),
        ),
        migrations.RenameIndex(
            "ProviderEvent", new_name="billing_provider_event_due", old_name="billing_stripe_event_due"
        ),
        migrations.RemoveConstraint("ProviderEvent", "billing_stripe_event_state"),
        migrations.AddConstraint(
            "ProviderEvent",
            models.CheckConstraint(
                condition=Q(state__in=["new", "done", "parked"]), name="billing_provider_event_state"
            ),
        ),
        migrations.RunPython(_say, _say_as_stripe_does),
    ]
