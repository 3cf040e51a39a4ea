"""Endpoints: named, changed, given another secret, tested, switched on and off. What was sent can be sent again.

``may`` says what whoever asks may read: ``PermissionDenied`` where they would have more sent than that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.ids import uuid7
from accounts.services import audit
from billing.engine.crm import STANDARD
from billing.engine.webhook_scopes import named
from billing.engine.webhooks import EVERYTHING, TEST, TYPES, host_of
from billing.errors import InvalidRequest, InvalidState
from billing.gateways import webhooks as gateway
from billing.models import Customer, WebhookDelivery, WebhookEndpoint
from billing.services.webhooks import reading
from billing.services.webhooks.reading import May

ENDPOINTS_MAX = 20
"""For the operator, and for each customer."""
OVERLAP = timedelta(hours=24)
"""How long the secret before signs beside the new one."""
REPLAY_MAX = 10_000
State = WebhookDelivery.State


def create(
    *,
    actor: audit.Actor,
    may: May,
    customer: Customer | None,
    url: str,
    events: Sequence[str],
    description: str = "",
    format: str = STANDARD,
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, told in this ``format`` (``engine.crm``). Without a customer it is told of all of
    them. Raises ``InvalidRequest``."""
    _check_address(url, operators=customer is None)
    events = _types(events)
    reading.require(named(events, of_customer=customer is not None), may)
    with transaction.atomic():
        if of(customer).count() >= ENDPOINTS_MAX:
            raise InvalidState(f"There are {ENDPOINTS_MAX} endpoints already: remove one first.")
        secret = gateway.new_secret()
        endpoint = WebhookEndpoint.objects.create(
            customer=customer, url=url, events=events, description=description, format=format, secret=secret
        )
        _record(actor, "webhook_endpoint.created", endpoint, url=host_of(url), events=events, format=format)
    return endpoint, secret


def of(customer: Customer | None) -> QuerySet[WebhookEndpoint]:
    """The customer's endpoints; without one, the operator's own."""
    return WebhookEndpoint.objects.filter(customer=customer, deleted_at=None)


def change(
    *,
    actor: audit.Actor,
    may: May,
    endpoint: WebhookEndpoint,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    format: str | None = None,
    enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change what is given. Switched on again, it is sent at once whatever waits. Raises ``InvalidRequest``.

    Who adds types must be able to read those; who names another address, all that goes there from now on.
    """
    operators = endpoint.customer_id is None
    if url is not None:
        _check_address(url, operators=operators)
    if events is not None:
        events = _types(events)
    now = timezone.now()
    with transaction.atomic():
        before = WebhookEndpoint.objects.select_for_update(no_key=True).select_related(None).get(pk=endpoint.pk)
        events = before.events if events is None else events
        url = before.url if url is None else url
        wanted = named(events, of_customer=not operators)
        if url != before.url:
            reading.require([*wanted, *reading.waiting(before)], may)
        reading.require(set(wanted) - set(reading.told(before)), may)
        asked = {"url": url, "events": events, "description": description, "format": format, "enabled": enabled}
        former, after = audit.differing(before, {name: value for name, value in asked.items() if value is not None})
        changes = dict(after)
        if enabled is not None:
            changes["disabled_because"] = "" if enabled else "It was switched off."
        if enabled and not before.enabled:
            changes |= {"failures": 0, "failing_since": None, "rests_until": None}
            endpoint.deliveries.filter(state=State.PENDING).update(due_at=now, attempts=0)
        if changes:
            WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**changes)
        if after:
            _record(actor, "webhook_endpoint.changed", endpoint, before=_shown(former), **_shown(after))
    endpoint.refresh_from_db()
    return endpoint


def rotate(*, actor: audit.Actor, may: May, endpoint: WebhookEndpoint) -> str:
    """A new secret. For a day the one before signs as well, so that the receiver can change over in peace."""
    reading.require(reading.told(endpoint), may)
    with transaction.atomic():
        secret = gateway.new_secret()
        endpoint.previous_secret, endpoint.secret = endpoint.secret, secret
        endpoint.previous_until = timezone.now() + OVERLAP
        endpoint.save(update_fields=["secret", "previous_secret", "previous_until"])
        _record(actor, "webhook_endpoint.secret_renewed", endpoint)
    return secret


def remove(*, actor: audit.Actor, endpoint: WebhookEndpoint) -> None:
    """Nothing is sent there any more. What was sent stays on record for a while."""
    with transaction.atomic():
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            deleted_at=timezone.now(), enabled=False, disabled_because="It was removed.", previous_secret=None
        )
        endpoint.deliveries.filter(state=State.PENDING).update(state=State.FAILED)
        _record(actor, "webhook_endpoint.removed", endpoint, url=host_of(endpoint.url))


def test(endpoint: WebhookEndpoint, *, may: May) -> WebhookDelivery:
    """Have a message of type ``webhook.test`` sent. ``InvalidState`` where one waits, or the endpoint is off."""
    reading.require(reading.told(endpoint), may)
    if not endpoint.enabled:
        raise InvalidState("This endpoint is switched off: switch it on first.")
    if endpoint.deliveries.filter(state=State.PENDING, type=TEST).exists():
        raise InvalidState("A test message is about to be sent already.")
    now = timezone.now()
    data: dict[str, Any] = {"endpoint": str(endpoint.pk), "text": "This is a test."}
    if endpoint.customer is not None:
        data = {"customer": endpoint.customer.external_id, **data}
    return WebhookDelivery.objects.create(
        endpoint=endpoint,
        customer_id=endpoint.customer_id,
        lane=uuid7(),
        message=uuid7(),
        type=TEST,
        data=data,
        happened_at=now,
        due_at=now,
    )


def replay(*, actor: audit.Actor, may: May, delivery: WebhookDelivery) -> WebhookDelivery:
    """Send this one again, under the same id. ``InvalidState`` where it waits to be sent, or the endpoint is off."""
    reading.require([delivery.type], may)
    if not delivery.endpoint.enabled:
        raise InvalidState("This endpoint is switched off: switch it on first.")
    with transaction.atomic():
        rows = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=State.PENDING)
        if not rows.update(state=State.PENDING, attempts=0, due_at=timezone.now(), delivered_at=None):
            raise InvalidState("This message is about to be sent already.")
        _record(actor, "webhook_endpoint.replayed", delivery.endpoint, delivery=str(delivery.pk))
    delivery.refresh_from_db()
    return delivery


def replay_all(
    *,
    actor: audit.Actor,
    may: May,
    endpoint: WebhookEndpoint,
    since: datetime,
    until: datetime | None = None,
    failed: bool = True,
) -> int:
    """Send again what happened in [``since``, ``until``): what was given up, or all. Returns how many."""
    if not endpoint.enabled:
        raise InvalidState("This endpoint is switched off: switch it on first.")
    rows = endpoint.deliveries.filter(happened_at__gte=since).exclude(state=State.PENDING)
    if until is not None:
        rows = rows.filter(happened_at__lt=until)
    if failed:
        rows = rows.filter(state=State.FAILED)
    with transaction.atomic():
        chosen = dict(rows.order_by("id").values_list("pk", "type")[:REPLAY_MAX])
        reading.require(set(chosen.values()), may)
        count = WebhookDelivery.objects.filter(pk__in=chosen).update(
            state=State.PENDING, attempts=0, due_at=timezone.now(), delivered_at=None
        )
        _record(actor, "webhook_endpoint.replayed", endpoint, since=since.isoformat(), count=count)
    return count


def secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """The secrets that sign: the endpoint's, and for a while the one before."""
    found = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_until and now < endpoint.previous_until:
        found.append(endpoint.previous_secret)
    return found


def _check_address(url: str, *, operators: bool) -> None:
    try:
        gateway.check(url, operators=operators)
    except gateway.Refused as refusal:
        raise InvalidRequest.field("url", str(refusal)) from None


def _types(events: Sequence[str]) -> list[str]:
    """Each once. Raises ``InvalidRequest`` for none, or one that there is not."""
    known = {EVERYTHING, *TYPES}
    if not events:
        raise InvalidRequest.field("events", "names no type")
    if unknown := [name for name in events if name not in known]:
        raise InvalidRequest.field("events", f"there is no type {unknown[0][:64]}")
    return list(dict.fromkeys(events))


def _shown(facts: dict[str, Any]) -> dict[str, Any]:
    """The same with the host in place of the address: what follows it may be a secret."""
    return facts | {"url": host_of(facts["url"])} if "url" in facts else facts


def _record(
    actor: audit.Actor,
    action: str,
    endpoint: WebhookEndpoint,
    *,
    before: Mapping[str, Any] | None = None,
    **after: Any,
) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="webhook_endpoint",
        object_id=str(endpoint.pk),
        organization_id=endpoint.customer.organization_id if endpoint.customer else None,
        before=before,
        after=after,
    )
