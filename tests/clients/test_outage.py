"""An hour without the product: the server that customers get is stopped and started, and nothing is lost or doubled."""

import subprocess
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db.models import Count, Sum
from django.utils import timezone

from accounts.services.audit import SYSTEM
from ante_client import Ante
from billing.models import Charge, UsageEvent
from billing.services import subscriptions
from tests.browser.server import serving
from tests.builders import Shop
from tests.clients.elsewhere import FORWARDING, elsewhere, is_ready, kill
from tests.clients.standin import eventually

pytestmark = pytest.mark.slow

EVENTS = 5000
"""Of each of two processes."""
STEP = timedelta(hours=1) / EVENTS

RECORDING = """
    from datetime import datetime, timedelta

    class Clock(datetime):
        moment = datetime.fromisoformat(sys.argv[5])

        @classmethod
        def now(cls, tz=None):
            return cls.moment

    calls.datetime = Clock
    ante = Ante(sys.argv[1], sys.argv[2], spool=sys.argv[3])
    for number in range(5000):
        Clock.moment += timedelta(hours=1) / 5000
        ante.usage.record("acme", "gpt_tokens", 1, id=f"{sys.argv[4]}-{number}")
        if number == int(sys.argv[6]):
            print("ready", flush=True)
            sys.stdin.readline()
    print("ready", flush=True)
    time.sleep(600)
"""
"""Records an event every 0.72 s by a clock of its own. Its arguments: the address, the key, the spool's directory, its
name, when it begins, and after which event it waits to be told that the server has gone."""


def test_ten_thousand_of_ten_thousand_once_and_each_at_its_own_time(
    committed_db: None, shop: Shop, tmp_path: Path
) -> None:
    """The price doubles in the middle of the hour. Both processes that record, and one that forwards, are killed."""
    began = timezone.now() - timedelta(hours=1)
    doubled = began + timedelta(minutes=30)
    tokens = shop.meter("gpt_tokens", "quantity", event_type="gpt_tokens")
    shop.plan("before", [shop.price(tokens, "0.001")])
    after = shop.plan("after", [shop.price(tokens, "0.002")])
    acme = shop.customer("acme", plan="before", usd="100")
    subscriptions.start(actor=SYSTEM, customer=acme, plan=after.plan, starts_at=doubled)
    key, spool = shop.key("events:write"), tmp_path / "spool"

    def recording(address: str, name: str, waits_after: int) -> "subprocess.Popen[bytes]":
        return elsewhere(RECORDING, address, key, spool, name, began.isoformat(), waits_after)

    with serving(tmp_path, static_files=False) as server:
        first = recording(server.address, "first", 99)
        assert is_ready(first)
        assert eventually(lambda: UsageEvent.objects.count() == 100)
        gone = server.address
    # It is away, and nobody notices.
    assert first.stdin is not None
    first.stdin.write(b"go on\n")
    first.stdin.flush()
    kill(first)
    kill(recording(gone, "second", -1))
    assert UsageEvent.objects.count() == 100

    with serving(tmp_path, static_files=False) as server:
        kill(elsewhere(FORWARDING, server.address, key, spool))
        assert 100 < UsageEvent.objects.count() < 2 * EVENTS
        with Ante(server.address, key, spool=spool) as ante:
            assert ante.flush(90.0)

    assert list(spool.iterdir()) == []
    arrived = dict(UsageEvent.objects.values_list("event_id", "occurred_at"))
    assert arrived == {
        f"{name}-{number}": began + (number + 1) * STEP for name in ("first", "second") for number in range(EVENTS)
    }
    assert _charged(occurred_at__lt=doubled) == _charged(plan_version__plan__code="before")
    assert _charged(plan_version__plan__code="before") == (EVENTS - 2, Decimal("0.001") * (EVENTS - 2))
    assert _charged(occurred_at__gte=doubled) == (EVENTS + 2, Decimal("0.002") * (EVENTS + 2))
    assert shop.balance(acme).available == 100 - Decimal("0.001") * (EVENTS - 2) - Decimal("0.002") * (EVENTS + 2)


def _charged(**which: datetime | str) -> tuple[int, Decimal]:
    """How many charges, and what they come to."""
    found = Charge.objects.filter(**which).aggregate(count=Count("id"), amount=Sum("amount"))
    return found["count"], found["amount"]
