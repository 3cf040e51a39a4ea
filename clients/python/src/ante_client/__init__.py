"""The application's side of Ante: ask the wallet before a model call, report usage after it, lose nothing.

``Ante`` and ``AsyncAnte`` are the clients. Amounts are ``Decimal``.
"""

from ante_client.aio import AsyncAnte
from ante_client.calls import Exact, new_id
from ante_client.client import Ante
from ante_client.context import billed, paid_by
from ante_client.decorators import charged
from ante_client.errors import (
    AnteError,
    Conflict,
    InvalidRequest,
    NotFound,
    PaymentRequired,
    PermissionDenied,
    Refused,
    SpoolError,
    SpoolFull,
    SpoolUnwritable,
    Throttled,
    Unauthenticated,
    UnpricedUsage,
    Unreachable,
)
from ante_client.exchange import Retry
from ante_client.guard import Unseen
from ante_client.shapes import Authorization, Balance, Budget, Estimate, Identity, Pace, Receipt, Summary
from ante_client.spool import Spool

__all__ = [
    "Ante",
    "AnteError",
    "AsyncAnte",
    "Authorization",
    "Balance",
    "Budget",
    "Conflict",
    "Estimate",
    "Exact",
    "Identity",
    "InvalidRequest",
    "NotFound",
    "Pace",
    "PaymentRequired",
    "PermissionDenied",
    "Receipt",
    "Refused",
    "Retry",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "SpoolUnwritable",
    "Summary",
    "Throttled",
    "Unauthenticated",
    "UnpricedUsage",
    "Unreachable",
    "Unseen",
    "billed",
    "charged",
    "new_id",
    "paid_by",
]
