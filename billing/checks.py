"""What the settings for payments lack, said before anybody pays."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info


def payments(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """A key without a webhook secret would take money and never learn of it."""
    key, base = settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE
    found: list[CheckMessage] = []
    if key and not key.startswith(("sk_", "rk_")):
        found.append(Error("STRIPE_SECRET_KEY is no secret key.", hint="It begins with sk_ or rk_.", id="billing.E001"))
    if key and not settings.STRIPE_WEBHOOK_SECRETS:
        hint = "It begins with whsec_ and belongs to the endpoint …/api/v1/webhooks/stripe."
        words = "STRIPE_WEBHOOK_SECRET is not set: payments would not be noticed."
        found.append(Error(words, hint=hint, id="billing.E002"))
    if base and "_live_" in key:
        hint = "Unset STRIPE_API_BASE: it is for a stand-in."
        found.append(Error("A live key, and STRIPE_API_BASE names another server.", hint=hint, id="billing.E003"))
    return found


def payments_at_all(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Before going live: can anybody pay, and is it real money?"""
    key = settings.STRIPE_SECRET_KEY
    if not key:
        hint = "Set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET; `manage.py up` starts a stand-in without them."
        return [Info("No payment provider is set up: nobody can pay.", hint=hint, id="billing.I001")]
    if "_live_" not in key:
        return [Info("The payment key is a test key: no money moves.", id="billing.I002")]
    return []
