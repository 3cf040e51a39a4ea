"""Sending what is due: claimed before the network is touched, settled after it: at least once, whatever is killed.

What is about one customer goes to an endpoint in order: an older message that has failed only a few times holds back
the later ones; one that goes on failing is overtaken. An endpoint that fails whatever it is sent rests, and is then
tried with one message; after three days it is switched off, and its owners are told.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts import roles
from accounts.ids import first_id
from accounts.models import Membership, User
from accounts.services import audit, mail
from billing.engine import crm
from billing.engine.webhooks import IN_ORDER, delay_after
from billing.gateways import webhooks as gateway
from billing.gateways.webhooks import Answer
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services import outbox
from billing.services.webhooks.endpoints import secrets_of

WORK_SECONDS = 60.0
"""After so long the next call goes on."""
AT_ONCE = 32
AT_ONCE_TO_ONE = 8
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
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while time.monotonic() < until and (claimed := _claim()):
            sendings = {pool.submit(_send, delivery): delivery for delivery in claimed}
            for sending in as_completed(sendings):
                _settle(sendings[sending], sending.result())
            attempts += len(claimed)
    return attempts


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


def _claim() -> list[WebhookDelivery]:
    """Take what is due, by its age, and keep it from others for a while."""
    now = timezone.now()
    older = WebhookDelivery.objects.filter(
        endpoint=OuterRef("endpoint"),
        lane=OuterRef("lane"),
        pk__lt=OuterRef("pk"),
        state=State.PENDING,
        attempts__lt=IN_ORDER,
    )
    rested = Q(endpoint__rests_until=None) | Q(endpoint__rests_until__lte=now)
    with transaction.atomic():
        due = (
            WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("endpoint")
            .filter(rested, state=State.PENDING, due_at__lte=now, endpoint__enabled=True)
            .exclude(Exists(older))
            # What was never tried goes first: so a message that is refused for itself keeps no endpoint resting.
            .order_by("attempts", "pk")
        )
        taken: Counter[object] = Counter()
        claimed: list[WebhookDelivery] = []
        for delivery in due[: AT_ONCE * 4]:
            most = 1 if delivery.endpoint.failures >= REST_AFTER else AT_ONCE_TO_ONE
            if taken[delivery.endpoint_id] < most and len(claimed) < AT_ONCE:
                taken[delivery.endpoint_id] += 1
                claimed.append(delivery)
        WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in claimed]).update(due_at=now + LEASE)
    return claimed


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
    facts = {"endpoint": str(endpoint.pk), "url": endpoint.url, "reason": reason}
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
