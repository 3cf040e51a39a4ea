"""Messages in the shape that a CRM takes: flat, with the account, how far beyond what is usual or allowed, and when."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from billing.engine.money import amount_string

STANDARD, SALESFORCE, HUBSPOT = "standard", "salesforce", "hubspot"
FORMATS = {STANDARD: "Standard", SALESFORCE: "Salesforce", HUBSPOT: "HubSpot"}


def shaped(form: str, *, message: str, type: str, timestamp: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a message: ``STANDARD``, or, in a CRM's shape, with texts alone.

    ``SALESFORCE`` names are those of custom fields, as a record or a platform event has them (``Percent__c``);
    ``HUBSPOT`` is an event of a company with its properties.
    """
    if form == STANDARD:
        return {"type": type, "timestamp": timestamp, "data": dict(data)}
    members = {name: _text(value) for name, value in data.items() if name != "customer"}
    known = {"percent": percent(data), "window": window(data, timestamp)}
    members = {name: text for name, text in (members | known).items() if text is not None}
    account = _text(data.get("customer"))
    if form == SALESFORCE:
        fields = {"signal": type, "account_external_id": account, "occurred_at": timestamp, "message_id": message}
        return {_field(name): text for name, text in (members | fields).items() if text is not None}
    properties = members if account is None else {"account": account, **members}
    event = type.replace(".", "_")
    return {
        **{"eventName": event, "objectType": "company", "occurredAt": timestamp, "uuid": message},
        "properties": properties,
    }


def percent(data: Mapping[str, Any]) -> str | None:
    """Of spending: how much above usual it is. Of a budget or a commitment: how much of it is used. Of a balance:
    what is left of the last top-up. None where the message tells nothing of the sort."""
    whole = data.get("usual") or data.get("limit") or data.get("committed")
    used = data.get("spent") or data.get("used")
    if isinstance(used, str) and isinstance(whole, str) and Decimal(whole) > 0:
        share = Decimal(used) / Decimal(whole) * 100
        return _rounded(share - 100 if "usual" in data else share)
    left = data.get("share")
    return _rounded(Decimal(left) * 100) if isinstance(left, str) else None


def window(data: Mapping[str, Any], timestamp: str) -> str:
    """What time the figures are for: the hour, the period of a budget or a commitment, or the moment itself."""
    if isinstance(data.get("hour"), str):
        return f"hour from {data['hour']}"
    if isinstance(data.get("period"), str):
        until = data.get("resets_at")
        return f"{data['period']} until {until}" if until else str(data["period"])
    return f"until {data['ends_at']}" if isinstance(data.get("ends_at"), str) else timestamp


def _rounded(share: Decimal) -> str:
    return amount_string(round(share, 1))


def _text(value: Any) -> str | None:
    """A plain value as text; of a mapping its members, such as ``feature search``; None for nothing, and for lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or None
    return str(value) if isinstance(value, str | int | Decimal) else None


def _field(name: str) -> str:
    return "_".join(part.capitalize() for part in name.split("_")) + "__c"
