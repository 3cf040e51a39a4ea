"""Recording usage: rated, debited and answered in one transaction.

One path for a single event and for a batch of a thousand: a single event is a batch of one.
"""

from billing.services.usage.events import IncomingEvent, Outcome
from billing.services.usage.origin import NOWHERE, Origin, address_hash
from billing.services.usage.rating import PRICING_SCOPE
from billing.services.usage.recording import record, record_unlocked

__all__ = [
    "NOWHERE",
    "PRICING_SCOPE",
    "IncomingEvent",
    "Origin",
    "Outcome",
    "address_hash",
    "record",
    "record_unlocked",
]
