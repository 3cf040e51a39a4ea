"""What becomes a message: what is public, once for every endpoint that wants it and may know."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine.webhooks import TYPES, Wish
from billing.models import OutboxEvent, WebhookDelivery
from billing.services import alerts, outbox
from billing.services.ledger import seals
from billing.services.wallet import corrections
from billing.services.webhooks import endpoints, feeding
from billing.services.webhooks.reading import anything
from tests.architecture.sources import ROOT
from tests.billing.services.conftest import Clock
from tests.billing.services.webhooks.conftest import Name, relay
from tests.builders import Shop

KINDS = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}


def validate(schema: dict[str, Any], message: Any) -> None:
    """As far as the catalogue's schemas go: constants, kinds, members that must be there, and members of members."""
    assert schema.get("const", message) == message
    kinds = schema.get("type", "string")
    assert isinstance(message, tuple(KINDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)))
    if isinstance(message, dict):
        assert set(schema.get("required", ())) <= set(message)
        for name, member in schema.get("properties", {}).items():
            validate(member, message[name])


def told(type_: str) -> list[dict[str, Any]]:
    return [row.data for row in WebhookDelivery.objects.filter(type=type_).order_by("id")]


def test_what_is_public_goes_out_and_nothing_else(shop: Shop, name: Name) -> None:
    name()
    shop.customer("acme", usd="5")
    seals.seal()
    relay()

    assert told("customer.created") == [{"customer": "acme"}]
    (grant,) = told("grant.created")
    assert (grant["customer"], grant["asset"], grant["amount"], grant["kind"]) == ("acme", "usd", "5", "purchase")
    types = set(WebhookDelivery.objects.values_list("type", flat=True))
    assert types <= set(TYPES)
    assert set(OutboxEvent.objects.values_list("type", flat=True)) > types
    assert not OutboxEvent.objects.exclude(state="relayed").exists()


def test_a_customers_endpoint_is_told_of_that_customer_alone(shop: Shop, name: Name) -> None:
    acme, globex = shop.customer("acme"), shop.customer("globex")
    own, everybodys = name(acme), name()
    shop.fund(acme, "5")
    shop.fund(globex, "7")
    relay()

    assert [row.data["customer"] for row in own.deliveries.filter(type="grant.created")] == ["acme"]
    assert {row.data["customer"] for row in everybodys.deliveries.all()} == {"acme", "globex"}


def test_a_message_that_comes_twice_is_one_delivery(shop: Shop, name: Name) -> None:
    name()
    shop.customer("acme", usd="5")
    relay()
    rows = WebhookDelivery.objects.count()

    assert feeding.feed(list(OutboxEvent.objects.order_by("id"))) == 0
    assert WebhookDelivery.objects.count() == rows


def test_an_endpoint_is_not_told_of_what_happened_before_it_was_there_or_while_it_was_off(
    shop: Shop, name: Name
) -> None:
    acme = shop.customer("acme", usd="5")
    endpoint = name()
    relay()
    assert endpoint.deliveries.count() == 0
    endpoints.change(actor=SYSTEM, may=anything, endpoint=endpoint, enabled=False)
    shop.fund(acme, "1")
    relay()
    endpoints.change(actor=SYSTEM, may=anything, endpoint=endpoint, enabled=True)
    shop.fund(acme, "2")
    relay()

    assert [grant["amount"] for grant in told("grant.created")] == ["2"]


def test_usage_says_tokens_model_type_and_cost_to_whoever_asks_for_it_by_name(shop: Shop, name: Name) -> None:
    acme = shop.customer("acme", usd="5")
    everything, usage = name(acme), name(acme, "usage.recorded")
    shop.record(acme, id="inf-1", model="gpt-4o", input_tokens=1000, output_tokens=450)
    shop.record(acme, id="inf-2", output_tokens=10_000_000)
    relay()

    assert not everything.deliveries.filter(type="usage.recorded").exists()
    first, second = (row.data["events"][0] for row in usage.deliveries.order_by("id"))
    assert first | {"time": ""} == {
        **{"id": "inf-1", "source": "tests", "type": "llm.completion", "status": "charged", "time": ""},
        **{"model": "gpt-4o", "tokens": "1450", "cost": {"usd": "0.007"}},
    }
    assert (second["status"], second["cost"], second["model"]) == ("rejected", {}, None)


def test_what_was_taken_back_and_what_has_lapsed_is_told(shop: Shop, name: Name, clock: Clock) -> None:
    name()
    acme = shop.customer("acme", usd="5")
    shop.fund(acme, "3", kind="promotional", expires_at=timezone.now() + timedelta(hours=1))
    clock.forward(hours=2)
    shop.record(acme, id="inf-1", output_tokens=1000)
    corrections.adjust(actor=SYSTEM, customer=acme, asset=shop.usd, amount=Decimal(-1), reason="x")
    relay()

    assert [grant["amount"] for grant in told("grant.expired")] == ["3"]
    assert [one["amount"] for one in told("wallet.adjusted")] == ["-1"]


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_has_a_schema_that_its_example_keeps_and_a_place_in_the_docs(type_: str) -> None:
    found = TYPES[type_]

    validate(found.schema(), found.body())
    page = Path(ROOT, "docs/webhooks.md").read_text(encoding="utf-8")
    assert f"| `{type_}` |" in page
    assert json.dumps(found.body()) in page


def test_real_messages_keep_the_schemas(shop: Shop, name: Name, clock: Clock) -> None:
    name(None, "*", "usage.recorded")
    acme = shop.customer("acme", usd="5")
    shop.fund(acme, "3", kind="promotional", expires_at=timezone.now() + timedelta(hours=1))
    clock.forward(hours=2)
    shop.record(acme, id="inf-1", output_tokens=1000)
    corrections.adjust(actor=SYSTEM, customer=acme, asset=shop.usd, amount=Decimal(-1), reason="x")
    shop.budget(acme, "0.02", period="total", alert_at=[Decimal(1)])
    shop.alert(acme, "5")
    shop.alert(acme, "365", kind="runway_below", of="days")
    shop.record(acme, id="inf-2", output_tokens=2000)
    shop.record(acme, id="inf-3", output_tokens=100)
    alerts.watch_balances()
    alerts.watch_runways()
    shop.fund(acme, "1000")
    alerts.watch_balances()
    alerts.watch_runways()
    relay()

    rows = list(WebhookDelivery.objects.all())
    assert len({row.type for row in rows}) >= 9
    for row in rows:
        message = {"type": row.type, "timestamp": "2026-11-21T10:00:00Z", "data": row.data}
        validate(TYPES[row.type].schema(), message)


def test_wishes() -> None:
    assert Wish(["*"]).wants("grant.created")
    assert not Wish(["*"]).wants("usage.recorded")
    assert not Wish(["*"]).wants("ledger.sealed")
    assert Wish(["usage.recorded"]).wants("usage.recorded")
    assert not Wish(["usage.recorded"]).wants("grant.created")


def test_what_was_rolled_back_is_told_to_nobody(shop: Shop, name: Name) -> None:
    from django.db import transaction

    name()
    acme = shop.customer("acme")
    with transaction.atomic():
        shop.fund(acme, "5")
        transaction.set_rollback(True)
    relay()

    assert told("grant.created") == []
    assert outbox.relay(feeding.feed) == 0
