"""What a key changes is in the trail: what it was, by whom, from where, in which request; and what no field takes is
refused. A new route is asked too."""

import pytest

from accounts.models import ApiKey, AuditEvent
from tests.billing.api.conftest import Api
from tests.billing.api.test_access import CALLS, Keys, body, call, made, path, world
from tests.builders import Shop

__all__ = ["made", "world"]

BOOKS = "is in the books: the event or the entries say which key, and what it was is never changed"
NOTHING = "changes nothing"
UNSEEN: dict[str, str] = {
    "events": BOOKS,
    "otlp/v1/traces": BOOKS,
    "authorizations": BOOKS,
    "authorizations/<uuid:authorization_id>/capture": BOOKS,
    "authorizations/<uuid:authorization_id>/void": BOOKS,
    "estimates": NOTHING,
    "subscriptions/<uuid:subscription_id>/preview-change": NOTHING,
    "customers/<str:external_id>/embeds": NOTHING,
    "customers/<str:external_id>/payment-methods": "opens a page of the provider's, who reports what was kept there",
    "webhook-endpoints/<uuid:endpoint_id>/test": "sends a message, which is listed itself",
}
WRITES = [(route, method) for route, method, _ in CALLS if method != "GET"]


BEYOND = dict.fromkeys(
    [
        *("Amont", "customer_id", "created_at", "state", "id", "remaining", "held", "drawn", "expired", "voided"),
        *("posted", "open", "balance_id", "organization", "organization_id", "seq", "lifetime_granted", "erased_at"),
    ],
    "1",
)
"""No route has such a field: one is misspelt, the others are what we decide."""
OF_OTHERS = {"events", "otlp/v1/traces"}
"""Whose format is another standard's, and lets senders add what they like."""


@pytest.mark.parametrize(("route", "method"), WRITES)
def test_what_a_key_changes_is_in_the_trail_and_what_no_field_takes_is_refused(
    world: Shop, as_key: Keys, route: str, method: str
) -> None:
    api: Api = as_key(world.key())
    key = ApiKey.objects.latest("created_at")
    if method != "DELETE" and route not in OF_OTHERS:
        refused = api.send(method, path(route), {**(body(route, customer="acme") or {}), **BEYOND})
        assert refused.status_code == 400, refused.content
        assert {error["field"] for error in refused.json()["errors"]} >= BEYOND.keys()
        assert not AuditEvent.objects.filter(actor_id=key.pk).exists()

    answer = call(api, route, method)

    assert answer.status_code < 300, answer.content
    lines = AuditEvent.objects.filter(actor_id=key.pk)
    if route in UNSEEN:
        assert not lines.exists()
        return
    line = lines.latest("id")
    assert (line.actor_kind, line.request_id, line.ip_address) == ("api_key", answer["X-Request-Id"], "127.0.0.1")
    assert line.object_id
    if method in {"PATCH", "PUT"}:
        assert line.before
        assert line.after
