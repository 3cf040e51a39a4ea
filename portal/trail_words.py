"""Lines of the audit log in words: their stored codes, and what they say of before and after, as people read them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import reading
from accounts.models import Role
from billing.models import Alert, Budget, Grant

THINGS = {
    "alert": _("Alert"),
    "api_key": _("API key"),
    "authorization": _("Hold"),
    "auto_top_up": _("Automatic top-up"),
    "budget": _("Budget"),
    "charge_dispute": _("Disputed charge"),
    "customer": _("Customer"),
    "device": _("Trusted browser"),
    "dispute": _("Dispute"),
    "grant": _("Grant"),
    "invitation": _("Invitation"),
    "invoice": _("Invoice"),
    "membership": _("Member"),
    "notice_delivery": _("Notice"),
    "notice_target": _("Telephone or chat"),
    "organization": _("Organization"),
    "payment_method": _("Payment method"),
    "recovery_codes": _("Recovery codes"),
    "recurring_grant": _("Recurring grant"),
    "second_factor": _("Second factor"),
    "single_sign_on": _("Single sign-on"),
    "spend_watch": _("Watch over spending"),
    "subscription": _("Plan"),
    "tax_profile": _("Tax details"),
    "terms": _("Terms"),
    "top_up": _("Top-up"),
    "usage": _("Usage"),
    "user": _("Account"),
    "wallet": _("Wallet"),
    "webhook_endpoint": _("Webhook endpoint"),
}
DONE = {
    "added": _("added"),
    "adjusted": _("adjusted"),
    "agreed": _("agreed to"),
    "answered": _("answered"),
    "canceled": _("canceled"),
    "changed": _("changed"),
    "closed": _("closed"),
    "collected": _("collected"),
    "confirmed": _("confirmed"),
    "connected": _("connected"),
    "created": _("created"),
    "deleted": _("removed"),
    "disabled": _("switched off"),
    "disconnected": _("disconnected"),
    "erased": _("erased"),
    "exported": _("taken along"),
    "extended": _("extended"),
    "finalized": _("issued"),
    "frozen": _("frozen"),
    "issued": _("created"),
    "networks_changed": _("allowed addresses changed"),
    "opened": _("opened"),
    "optional": _("no longer required"),
    "overdraft_limit_changed": _("overdraft limit changed"),
    "past_due": _("overdue"),
    "paused": _("paused"),
    "payment_recorded": _("payment recorded"),
    "password_reset": _("password reset"),
    "password_set": _("password changed"),
    "profile_changed": _("profile changed"),
    "reactivated": _("reactivated"),
    "recovered": _("in order again"),
    "refunded": _("refunded"),
    "removed": _("removed"),
    "renewed": _("renewed"),
    "replayed": _("sent again"),
    "required": _("required"),
    "reset": _("reset"),
    "resumed": _("resumed"),
    "retried": _("tried again"),
    "reversed": _("reversed"),
    "revoked": _("revoked"),
    "rotated": _("renewed"),
    "secret_renewed": _("new secret"),
    "sent": _("sent"),
    "set_up": _("set up"),
    "started": _("started"),
    "suspended": _("stopped"),
    "taxed": _("taxed"),
    "trusted": _("trusted"),
    "unfrozen": _("released"),
    "used": _("used"),
    "void_asked": _("asked to void"),
    "void_refused": _("not voided"),
    "voided": _("voided"),
    "withdrawn": _("withdrawn"),
    "written_off": _("written off"),
}
FIELDS = {
    "alert_at": _("tells at"),
    "allowed_networks": _("only from"),
    "amount": _("amount"),
    "asset": _("asset"),
    "at": _("at"),
    "at_cap": _("at the limit"),
    "channel": _("by"),
    "client_id": _("client ID"),
    "country": _("country"),
    "currency": _("currency"),
    "customer": _("customer"),
    "email": _("e-mail"),
    "enabled": _("on"),
    "events": _("events"),
    "expires_at": _("ends"),
    "hard": _("hard limit"),
    "interval": _("each"),
    "issuer": _("issuer"),
    "kind": _("kind"),
    "limit": _("limit"),
    "metadata": _("metadata"),
    "mode": _("mode"),
    "name": _("name"),
    "of": _("of"),
    "overdraft_limit": _("overdraft limit"),
    "period": _("period"),
    "plan": _("plan"),
    "prefix": _("begins with"),
    "reason": _("reason"),
    "required": _("required"),
    "role": _("role"),
    "scope": _("covers"),
    "scopes": _("may"),
    "short_name": _("short name"),
    "state": _("state"),
    "status": _("state"),
    "times": _("times"),
    "timezone": _("time zone"),
    "topics": _("topics"),
    "unit": _("unit"),
    "url": _("address"),
    "version": _("version"),
}
_CHOICES = {
    "at_cap": dict(Budget.AtCap.choices),
    "interval": {
        "day": _("day"),
        "week": _("week"),
        "month": _("month"),
        "quarter": _("quarter"),
        "year": _("year"),
    },
    "kind": dict(chain(Grant.Kind.choices, Alert.Kind.choices)),
    "period": dict(Budget.Period.choices),
    "role": dict(Role.choices),
}


def action(code: str) -> str:
    """``api_key.issued`` as "API key: created"; a code that only the operator's lines have as it stands."""
    thing, _point, done = code.partition(".")
    if thing not in THINGS or done not in DONE:
        return code
    return gettext("{thing}: {done}").format(thing=THINGS[thing], done=DONE[done])


def facts(said: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Names and values; what is empty says nothing."""
    for field, value in (said or {}).items():
        if value not in (None, "", [], {}):
            name = FIELDS.get(field) or field.replace("_", " ")
            yield str(name), str(_CHOICES.get(field, {}).get(str(value)) or _value(value))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(_value(each) for each in value)
    moment = _moment(value) if isinstance(value, str) else None
    return f"{reading.day(moment)} {timezone.localtime(moment):%H:%M}" if moment else str(value)


def _moment(value: str) -> datetime | None:
    try:
        found = parse_datetime(value)
    except ValueError:
        return None
    return found if found and timezone.is_aware(found) else None
