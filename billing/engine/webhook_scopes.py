"""Which scope reads by the API what a type of message tells: who has an endpoint told of it needs the same."""

from collections.abc import Collection
from fnmatch import fnmatchcase

from billing.engine.webhooks import EVERYTHING, TYPES

# scope: the types that tell what it reads
READ_WITH: dict[str, tuple[str, ...]] = {
    "wallets:read": (
        *("grant.*", "wallet.*", "top_up.*", "auto_top_up.*", "budget.*", "commitment.*"),
        *("usage.spike", "usage.anomaly_detected"),
    ),
    "events:read": ("usage.recorded", "usage.reversed", "usage.refunded"),
    "invoices:read": ("invoice.*",),
    "disputes:read": ("dispute.*", "charge_dispute.*"),
    "webhooks:read": ("webhook_endpoint.*",),
    "customers:read": ("customer.*",),
    "revenue:read": ("revenue_export.*", "books.*", "export.*"),
}
OPERATORS = frozenset({"customers:read", "revenue:read"})
"""Scopes of the operator's alone: the endpoints of one customer are never told of these."""


def _scope(name: str) -> str:
    (found,) = (scope for scope, kinds in READ_WITH.items() if any(fnmatchcase(name, kind) for kind in kinds))
    return found


SCOPE_OF: dict[str, str] = {name: _scope(name) for name in TYPES}


def named(events: Collection[str], *, of_customer: bool) -> list[str]:
    """The types that an endpoint for ``events`` is told of: those named, and what ``*`` stands for."""

    def everything(name: str) -> bool:
        return not TYPES[name].named_only and not (of_customer and SCOPE_OF[name] in OPERATORS)

    return [name for name in TYPES if name in events or (EVERYTHING in events and everything(name))]
