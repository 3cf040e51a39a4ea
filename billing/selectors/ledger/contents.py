"""Are usage events what they were when they came in? Their content is made into its fingerprint again."""

from collections.abc import Callable, Iterator
from datetime import UTC
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection

from billing.engine.fingerprints import fingerprint
from billing.models import UsageEvent
from billing.selectors.ledger.differences import Difference

NAME = "event-content"
STATEMENT = "A usage event says what it said when it came in: its content gives its fingerprint."
BATCH = 2000

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_EVENTS = """
SELECT id, customer_id, type, occurred_at, received_at, data::text, extensions::text, fingerprint
  FROM billing_usageevent
"""


def count() -> int:
    """How many events there are to look at."""
    return UsageEvent.objects.count()


def differences(*, done: Callable[[int], None] = lambda count: None) -> Iterator[Difference]:
    """The first event whose content is not what it was, if there is one. ``done`` is told of each batch. To be asked
    in a transaction; memory does not grow with the number of events."""
    connection.ensure_connection()
    with connection.connection.cursor(name="contents") as cursor:
        cursor.itersize = BATCH
        cursor.execute(_EVENTS)
        while rows := cursor.fetchmany(BATCH):
            for row in rows:
                if not _as_it_came(row):
                    yield Difference(NAME, STATEMENT, {"event": row[0], "customer": row[1]})
                    return
            done(len(rows))


def _as_it_came(row: tuple[Any, ...]) -> bool:
    _, _, type_, occurred_at, received_at, data, extensions, expected = row
    said = _decode(data), _decode(extensions) if extensions else {}
    times = [occurred_at.astimezone(UTC)]
    if occurred_at == received_at:
        # The sender may have left it out.
        times.insert(0, None)
    return any(fingerprint(type_, time, *said) == bytes(expected) for time in times)
