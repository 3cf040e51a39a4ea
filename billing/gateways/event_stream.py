"""The stream in Redis that the outbox is relayed to, for whatever listens next to the application.

Bounded: a listener that stays away too long misses the oldest messages there, never in the database.
"""

from collections.abc import Sequence

import redis
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder

from billing.models import OutboxEvent

STREAM = "ante:events"
LENGTH_MAX = 100_000
TIMEOUT_SECONDS = 5
UNREACHABLE = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.OutOfMemoryError)
"""What ``append`` raises where the server is away or full."""

_encode = DjangoJSONEncoder(separators=(",", ":")).encode


def append(messages: Sequence[OutboxEvent]) -> None:
    """Add the messages to the stream, in order. Raises one of ``UNREACHABLE``, or another ``redis.RedisError``."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
    with client, client.pipeline(transaction=False) as pipeline:
        for message in messages:
            pipeline.xadd(
                STREAM,
                {
                    "id": str(message.pk),
                    "type": message.type,
                    "customer": str(message.customer_id or ""),
                    "created_at": message.created_at.isoformat(),
                    "payload": _encode(message.payload),
                },
                maxlen=LENGTH_MAX,
                approximate=True,
            )
        pipeline.execute()
