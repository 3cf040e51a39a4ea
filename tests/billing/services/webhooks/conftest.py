"""A shop whose messages go to a receiver next door."""

from collections.abc import Callable

import pytest

from accounts.services.audit import SYSTEM
from billing.gateways import webhooks as gateway
from billing.models import Customer, OutboxEvent, WebhookDelivery, WebhookEndpoint
from billing.services import outbox
from billing.services.webhooks import endpoints, feeding, sending
from billing.services.webhooks.reading import anything
from tests.receiver import Receiver

Name = Callable[..., WebhookEndpoint]


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Name:
    """Name the receiver as an endpoint: of a customer's, or the operator's. Customers reach it as if it were public."""
    monkeypatch.setattr(gateway, "_inner", lambda operators: ["127.0.0.0/8"])

    def made(customer: Customer | None = None, *events: str, url: str = "") -> WebhookEndpoint:
        endpoint, _ = endpoints.create(
            actor=SYSTEM, may=anything, customer=customer, url=url or receiver.url, events=list(events) or ["*"]
        )
        return endpoint

    return made


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "JITTER", 0.0)


def relay() -> None:
    """What the worker does with the outbox, but for the stream."""
    outbox.relay(feeding.feed)


def messages(type_: str) -> list[str]:
    """The ids of what happened, as receivers know them."""
    return [f"msg_{pk}" for pk in OutboxEvent.objects.filter(type=type_).order_by("id").values_list("pk", flat=True)]


def states() -> list[str]:
    return list(WebhookDelivery.objects.order_by("id").values_list("state", flat=True))
