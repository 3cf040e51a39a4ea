"""Finding rows by what people have in hand, along the indexes that exist.

The theme's own search would ask ten million rows whether any of their columns contains a word. Here a word is read as
what it can be: an id, a customer, a usage event.
"""

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.backoffice import row
from billing.models import Customer

__all__ = ["as_uuid", "customers", "events", "narrow", "row"]

CUSTOMERS_MAX = 200

# Events are unique within (customer, source): the customers' few sources are found by skipping through that index.
_EVENTS = """
SELECT u.id FROM billing_customer c
CROSS JOIN LATERAL (
    WITH RECURSIVE sources AS (
        (SELECT source FROM billing_usageevent WHERE customer_id = c.id ORDER BY source LIMIT 1)
        UNION ALL
        SELECT (SELECT n.source FROM billing_usageevent n
                 WHERE n.customer_id = c.id AND n.source > s.source ORDER BY n.source LIMIT 1)
          FROM sources s WHERE s.source IS NOT NULL
    )
    SELECT source FROM sources WHERE source IS NOT NULL
) s
JOIN billing_usageevent u ON u.customer_id = c.id AND u.source = s.source AND u.event_id = %s::text
LIMIT 100
"""


def as_uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def customers(term: str) -> list[UUID]:
    """Customers whose external id begins with the term, or whose name or e-mail contains it."""
    found = Customer.objects.filter(
        Q(external_id__istartswith=term) | Q(name__icontains=term) | Q(email__icontains=term)
    )
    return list(found.values_list("id", flat=True)[:CUSTOMERS_MAX])


def events(term: str) -> list[UUID]:
    """Usage events with this id of the sender's, whichever customer they are of."""
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [term])
        return [row[0] for row in cursor.fetchall()]


def narrow(rows: QuerySet[Any], term: str, *, by_id: tuple[str, ...], by_event: str | None = None) -> QuerySet[Any]:
    """``rows`` that the term means: one of the ids ``by_id``, the event in ``by_event``, or those of a customer."""
    term = term.strip()
    if not term:
        return rows
    wanted = as_uuid(term)
    if wanted is not None:
        condition = Q(customer_id=wanted)
        for field in by_id:
            condition |= Q(**{field: wanted})
        return rows.filter(condition)
    if by_event is not None:
        found = events(term)
        if found:
            return rows.filter(**{f"{by_event}__in": found})
    return rows.filter(customer_id__in=customers(term))
