"""From the outbox to deliveries: what is public becomes a message for every endpoint that wants it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Sum

from billing.engine.money import EXACT, amount_string, exact_sum
from billing.engine.webhooks import TYPES, Wish
from billing.models import Charge, Customer, OutboxEvent, UsageEvent, WebhookDelivery, WebhookEndpoint

TOKENS = ("input_tokens", "output_tokens")


def feed(messages: Sequence[OutboxEvent]) -> int:
    """Make the deliveries of these messages, once, however often they come. Returns how many were new.

    An endpoint is told of what happened since it was made. One that is off is not told; what waits for it stays.
    """
    public = [message for message in messages if message.type in TYPES]
    endpoints = list(WebhookEndpoint.objects.filter(enabled=True, deleted_at=None)) if public else []
    wanted = [
        (message, endpoint)
        for message in public
        for endpoint in endpoints
        if Wish(endpoint.events).wants(message.type)
        and endpoint.customer_id in (None, message.customer_id)
        and endpoint.created_at <= message.created_at
    ]
    if not wanted:
        return 0
    told = _told({message.pk: message for message, _ in wanted}.values())
    rows = [
        WebhookDelivery(
            endpoint=endpoint,
            customer_id=message.customer_id,
            lane=message.customer_id or endpoint.pk,
            message=message.pk,
            type=message.type,
            data=told[message.pk],
            happened_at=message.created_at,
            due_at=message.created_at,
        )
        for message, endpoint in wanted
    ]
    before = WebhookDelivery.objects.filter(message__in=told).count()
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows) - before


def _told(messages: Any) -> dict[UUID, dict[str, Any]]:
    """What each message says, by its id: what it was written with, and the operator's id of the customer."""
    rows = list(messages)
    names = dict(Customer.objects.filter(pk__in={row.customer_id for row in rows}).values_list("pk", "external_id"))
    told = {}
    for row in rows:
        says = _usage(row.payload["events"]) if row.type == "usage.recorded" else dict(row.payload)
        customer = {"customer": names[row.customer_id]} if row.customer_id in names else {}
        told[row.pk] = {**customer, **says}
    return told


def _usage(ids: Sequence[str]) -> dict[str, Any]:
    events = {str(event.pk): event for event in UsageEvent.objects.filter(pk__in=ids)}
    costs: dict[str, dict[str, str]] = {}
    charges = Charge.objects.filter(event__in=[UUID(pk) for pk in ids], correction=None)
    for row in charges.order_by().values("event_id", "asset_id").annotate(total=Sum("amount")):
        costs.setdefault(str(row["event_id"]), {})[row["asset_id"]] = amount_string(row["total"])
    return {"events": [_event(events[pk], costs.get(pk, {})) for pk in ids if pk in events]}


def _event(event: UsageEvent, cost: Mapping[str, str]) -> dict[str, Any]:
    counts = [EXACT.create_decimal(count) for field in TOKENS if isinstance(count := event.data.get(field), int)]
    model = event.data.get("model")
    return {
        "id": event.event_id,
        "source": event.source,
        "type": event.type,
        "status": event.status,
        "time": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "model": model if isinstance(model, str) else None,
        "tokens": amount_string(exact_sum(counts)) if counts else None,
        "cost": dict(cost),
    }
