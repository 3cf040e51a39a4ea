"""Sending what is due: claimed before the network is touched, settled after it: at least once, whatever is killed.

What is about one customer goes to an endpoint in order: an older message that has failed only a few times holds back
the later ones; one that goes on failing is overtaken. An endpoint that fails whatever it is sent rests, and is then
tried with one message; after three days it is switched off, and its owners are told. However much waits for one
customer, and however slowly they answer, they have a share of what is sent at once, and others have the rest.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts import roles
from accounts.ids import first_id
from accounts.models import Membership, User
from accounts.services import audit, mail
from billing.engine import crm
from billing.engine.webhooks import IN_ORDER, delay_after, host_of
from billing.gateways import webhooks as gateway
from billing.gateways.webhooks import Answer
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services import outbox
from billing.services.webhooks.endpoints import secrets_of

WORK_SECONDS = 60.0
"""After so long the next call goes on."""
AT_ONCE = 32
AT_ONCE_TO_ONE = 8
"""To the endpoints of one customer together, and to each of the operator's."""
LEASE = timedelta(seconds=60)
"""How long a sender that died keeps its messages from others; longer than any attempt takes."""
REST_AFTER = 3
REST_MAX_SECONDS = 300
GIVE_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=30)
KEPT_ATTEMPTS = 20
SAID_LENGTH_MAX = 300
JITTER = 0.1
State = WebhookDelivery.State
_encode = DjangoJSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
logger = logging.getLogger(__name__)


def send_due() -> int:
    """Send what is due until nothing is, for a minute at most. Returns how many attempts were made."""
    _forget_old()
    until, attempts = time.monotonic() + WORK_SECONDS, 0
    under_way: dict[Future[Answer], WebhookDelivery] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            if time.monotonic() < until:
                under_way |= {pool.submit(_send, delivery): delivery for delivery in _claim(under_way.values())}
            if not under_way:
                return attempts
            # Whoever has answered makes room at once: nobody waits for the slowest.
            for sending in wait(under_way, return_when=FIRST_COMPLETED).done:
                _settle(under_way.pop(sending), sending.result())
                attempts += 1


def body(delivery: WebhookDelivery) -> bytes:
    """What is sent, in the endpoint's format: the same bytes at every attempt."""
    happened_at = delivery.happened_at.isoformat().replace("+00:00", "Z")
    told = crm.shaped(
        delivery.endpoint.format,
        message=f"msg_{delivery.message}",
        type=delivery.type,
        timestamp=happened_at,
        data=delivery.data,
    )
    return _encode(told).encode()


def _claim(under_way: Collection[WebhookDelivery]) -> list[WebhookDelivery]:
    """Take what is due, as far as there is room beside what is under way, and keep it from others for a while."""
    room = AT_ONCE - len(under_way)
    if not room:
        return []
    now = timezone.now()
    chosen = _chosen(now, under_way, room)
    with transaction.atomic():
        rows = WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",)).select_related("endpoint")
        claimed = list(rows.filter(pk__in=chosen, state=State.PENDING, due_at__lte=now))
        WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in claimed]).update(due_at=now + LEASE)
    return claimed


def _chosen(now: datetime, under_way: Collection[WebhookDelivery], room: int) -> list[UUID]:
    """What goes next: of whoever has the least under way, and of those what has waited longest."""
    waiting = _waiting(now)
    busy: Counter[UUID] = Counter()
    for delivery in under_way:
        busy.update(_shares(delivery.endpoint))
    chosen: list[UUID] = []
    while len(chosen) < room and (able := [one for one in waiting if waiting[one] and _may_have_more(one, busy)]):
        endpoint = min(able, key=lambda one: (busy[_owner(one)], waiting[one][0]))
        chosen.append(waiting[endpoint].pop(0))
        busy.update(_shares(endpoint))
    return chosen


def _waiting(now: datetime) -> dict[WebhookEndpoint, list[UUID]]:
    """The endpoints for which something is due, each with the first of that."""
    older = WebhookDelivery.objects.filter(
        endpoint=OuterRef("endpoint"),
        lane=OuterRef("lane"),
        pk__lt=OuterRef("pk"),
        state=State.PENDING,
        attempts__lt=IN_ORDER,
    )
    due = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), state=State.PENDING, due_at__lte=now)
    # What was never tried goes first: so a message that is refused for itself keeps no endpoint resting.
    first = due.exclude(Exists(older)).order_by("attempts", "pk").values("pk")[:AT_ONCE_TO_ONE]
    rested = Q(rests_until=None) | Q(rests_until__lte=now)
    endpoints = WebhookEndpoint.objects.filter(rested, Exists(due), enabled=True).annotate(first=ArraySubquery(first))
    return {endpoint: endpoint.first for endpoint in endpoints}


def _may_have_more(endpoint: WebhookEndpoint, busy: Counter[UUID]) -> bool:
    """One that fails whatever it is sent is tried with a single message."""
    return busy[_owner(endpoint)] < AT_ONCE_TO_ONE and (endpoint.failures < REST_AFTER or not busy[endpoint.pk])


def _shares(endpoint: WebhookEndpoint) -> set[UUID]:
    return {endpoint.pk, _owner(endpoint)}


def _owner(endpoint: WebhookEndpoint) -> UUID:
    """Whose share it has: its customer's; the operator's endpoints have one each."""
    return endpoint.customer_id or endpoint.pk


def _send(delivery: WebhookDelivery) -> Answer:
    """In a thread of its own, where the database is not to be touched."""
    now = timezone.now()
    return gateway.send(
        delivery.endpoint.url,
        operators=delivery.endpoint.customer_id is None,
        body=body(delivery),
        message=f"msg_{delivery.message}",
        secrets=secrets_of(delivery.endpoint, now),
        now=now,
    )


def _settle(delivery: WebhookDelivery, answer: Answer) -> None:
    """Note what became of an attempt, and when there is to be another one."""
    now = timezone.now()
    attempt = {
        "at": now.isoformat(),
        "status": answer.status,
        "said": answer.said[:SAID_LENGTH_MAX],
        "ms": round(answer.seconds * 1000),
    }
    changes = {"log": [*delivery.log, attempt][-KEPT_ATTEMPTS:], "attempts": delivery.attempts + 1}
    with transaction.atomic():
        if answer.accepted:
            changes |= {"state": State.DELIVERED, "delivered_at": now}
            WebhookEndpoint.objects.filter(pk=delivery.endpoint_id, failures__gt=0).update(
                failures=0, failing_since=None, rests_until=None
            )
        else:
            delay = delay_after(delivery.attempts + 1)
            if delay is None:
                changes["state"] = State.FAILED
            else:
                changes["due_at"] = now + delay * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - no secret
            _note_failure(delivery.endpoint_id, answer, now)
        # Whoever removed the endpoint meanwhile has given it up.
        WebhookDelivery.objects.filter(pk=delivery.pk, state=State.PENDING).update(**changes)


def _note_failure(endpoint_id: UUID, answer: Answer, now: datetime) -> None:
    """The endpoint failed once more: it rests, or is switched off."""
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).select_related(None).get(pk=endpoint_id)
    endpoint.failures += 1
    endpoint.failing_since = endpoint.failing_since or now
    if endpoint.failures >= REST_AFTER:
        rest = min(2.0 ** min(endpoint.failures, 30), REST_MAX_SECONDS)
        endpoint.rests_until = now + timedelta(seconds=rest)
    endpoint.save(update_fields=["failures", "failing_since", "rests_until"])
    if answer.status == 410:
        _disable(endpoint, "It said that it is gone (410).", now)
    elif now - endpoint.failing_since >= GIVE_UP_AFTER:
        _disable(endpoint, "It has failed for three days.", now)


def _disable(endpoint: WebhookEndpoint, reason: str, now: datetime) -> None:
    """Switch it off, and tell its owners. What waits for it stays until it is switched on again."""
    if not endpoint.enabled:
        return
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(enabled=False, disabled_because=reason)
    facts = {"endpoint": str(endpoint.pk), "url": host_of(endpoint.url), "reason": reason}
    outbox.publish([outbox.Message("webhook_endpoint.disabled", endpoint.customer_id, facts)], now=now)
    audit.record(
        actor=audit.SYSTEM,
        action="webhook_endpoint.disabled",
        object_type="webhook_endpoint",
        object_id=str(endpoint.pk),
        organization_id=endpoint.customer.organization_id if endpoint.customer else None,
        after=facts,
    )
    for address in _owners(endpoint):
        mail.queue(
            address,
            "A webhook endpoint was switched off",
            f"Nothing is sent to {endpoint.url} any more. {reason}\n\nWhat waits for it is kept. Put it right, and "
            "switch it on again.",
        )


def _owners(endpoint: WebhookEndpoint) -> Sequence[str]:
    """The people who look after it: of a customer's those who may change it, of the operator's the administrators."""
    if endpoint.customer is None:
        return list(User.objects.filter(is_superuser=True, is_active=True).values_list("email", flat=True))
    members = Membership.objects.filter(organization=endpoint.customer.organization_id, user__is_active=True)
    return [member.user.email for member in members.select_related("user") if roles.may(member.role, "webhooks:write")]


def _forget_old() -> None:
    """Remove some of what was done with long ago."""
    old = WebhookDelivery.objects.filter(pk__lt=first_id(timezone.now() - KEPT)).exclude(state=State.PENDING)
    found = list(old.order_by("pk").values_list("pk", flat=True)[:1000])
    WebhookDelivery.objects.filter(pk__in=found).delete()
