"""Who may have what sent: nobody is told by an endpoint of more than they may read themselves."""

from collections.abc import Callable, Collection

from billing.engine.webhook_scopes import SCOPE_OF, named
from billing.errors import FieldError, PermissionDenied
from billing.models import WebhookDelivery, WebhookEndpoint

May = Callable[[str], bool]
"""Whether whoever asks has a scope: that of a key, or of a member's role."""


def anything(scope: str) -> bool:
    """Staff, who see everything, and the system itself."""
    return True


def told(endpoint: WebhookEndpoint) -> list[str]:
    """The types that it is told of."""
    return named(endpoint.events, of_customer=endpoint.customer_id is not None)


def waiting(endpoint: WebhookEndpoint) -> list[str]:
    """The types of what is still to be sent to it, which it may be told of no more."""
    rows = endpoint.deliveries.filter(state=WebhookDelivery.State.PENDING)
    return list(rows.order_by().values_list("type", flat=True).distinct())


def unread(types: Collection[str], may: May) -> dict[str, list[str]]:
    """Which of the types may not be read, by the scope that is missing. A test message tells nothing."""
    found: dict[str, list[str]] = {}
    for name, scope in SCOPE_OF.items():
        if name in types and not may(scope):
            found.setdefault(scope, []).append(name)
    return found


def require(types: Collection[str], may: May) -> None:
    """Raises ``PermissionDenied``, with the scopes and types, where one of the types may not be read."""
    found = unread(types, may)
    if not found:
        return
    listed = {scope: ", ".join(names) for scope, names in found.items()}
    raise PermissionDenied(
        f"This takes scopes that are missing: {'; '.join(f'{scope} ({names})' for scope, names in listed.items())}.",
        errors=[
            FieldError("events", "insufficient_scope", f"{scope} is needed for {names}")
            for scope, names in listed.items()
        ],
        scopes=list(found),
        types=[name for names in found.values() for name in names],
    )
