"""What the settings lack, said before anybody pays or waits for a file."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info

from billing.engine.journals import FORMATS, PARQUET
from billing.gateways import parquet, stores
from billing.gateways.payments import Refused, provider


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
    if settings.TEST_MODE and "_live_" in key:
        hint = "Use the provider's test key here, or unset ANTE_TEST."
        found.append(
            Error("This is for trying out, and the payment key takes real money.", hint=hint, id="billing.E010")
        )
    return found


def payments_at_all(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Before going live: can anybody pay, and is it real money?"""
    try:
        found = provider()
    except Refused:
        hint = "Set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET; `manage.py up` starts a stand-in without them."
        return [Info("No payment provider is set up: nobody can pay.", hint=hint, id="billing.I001")]
    if not found.live:
        return [Info("The payment key is a test key: no money moves.", id="billing.I002")]
    return []


def demonstration(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Before going live: a demonstration's people have a code that everybody knows, and its links are shown."""
    if not (settings.DEMO and settings.HTTPS):
        return []
    return [Error("ANTE_DEMO is set on a real host.", hint="Unset it: it lets strangers in.", id="billing.E012")]


def overdue(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """A word that nobody knows would suspend nobody."""
    if settings.INVOICE_OVERDUE_ACTION in {"nothing", "remind", "suspend"} and settings.INVOICE_GRACE_DAYS >= 0:
        return []
    words = "INVOICE_OVERDUE_ACTION and INVOICE_GRACE_DAYS do not say what overdue invoices do."
    hint = "The first is nothing, remind or suspend, the second a number of days."
    return [Error(words, hint=hint, id="billing.E009")]


def default_alerts(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """What cannot be an alert would stop every new customer."""
    from billing.services.alerts import defaults  # When this module is read there are no models yet.

    wrong = defaults.wrong()
    hint = "Such as balance_below=0.5 0.2 0.1,grant_expiring=30 7 1; empty for none."
    return [Error(f"DEFAULT_ALERTS: {wrong}", hint=hint, id="billing.E011")] if wrong else []


def books(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """A share that cannot be would make revenue of nothing."""
    if 0 <= settings.BREAKAGE_EXPECTED < 1:
        return []
    return [Error("BREAKAGE_EXPECTED is no share.", hint="From 0 to below 1, such as 0.08.", id="billing.E008")]


def exports(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Can files be delivered where they are wanted, and made as they are?"""
    found: list[CheckMessage] = []
    if not settings.EXPORT_TO:
        return found
    if words := stores.wrong(settings.EXPORT_TO):
        found.append(Error("EXPORT_TO cannot be used.", hint=words, id="billing.E004"))
    if unknown := set(settings.EXPORT_JOURNALS) - {*FORMATS, PARQUET}:
        hint = f"There are {', '.join([*FORMATS, PARQUET])}."
        found.append(Error(f"EXPORT_JOURNALS: {', '.join(sorted(unknown))} is no form.", hint=hint, id="billing.E005"))
    if settings.EXPORT_WAREHOUSE not in {"", "jsonl", PARQUET}:
        hint = "There are jsonl and parquet."
        found.append(Error("EXPORT_WAREHOUSE names no form.", hint=hint, id="billing.E006"))
    if PARQUET in {*settings.EXPORT_JOURNALS, settings.EXPORT_WAREHOUSE} and not parquet.installed():
        found.append(Error("Parquet cannot be written.", hint=parquet.MISSING, id="billing.E007"))
    return found
