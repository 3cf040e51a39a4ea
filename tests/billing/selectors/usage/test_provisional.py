"""Usage is seen at once and is provisional; the books of closed days are definitive, and both come to the same."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from billing.models import Recognition, RevenueDay
from billing.selectors.revenue import revenue_days
from billing.services import revenue
from tests.billing.api.conftest import Api
from tests.billing.services.conftest import Clock
from tests.billing.services.revenue.test_closing import MORNING
from tests.builders import Shop

MILLION = 1_000_000
MIDNIGHT = datetime(2026, 11, 3, tzinfo=UTC)
WINDOW = "from=2026-11-02T00:00:00Z&to=2026-11-05T00:00:00Z"


def recognised() -> Decimal | None:
    """What the books of all closed days hold of usage."""
    return Recognition.objects.filter(product="llm_input").aggregate(sum=Sum("amount"))["sum"]


def seen(api: Api) -> tuple[Decimal, str | None]:
    """What usage comes to, and from when on it is provisional."""
    answer = api.get(f"/usage?customer=acme&{WINDOW}").json()
    return sum((Decimal(row["amount"]) for row in answer["data"]), Decimal(0)), answer["provisional_from"]


def test_what_was_used_is_provisional_until_its_day_is_closed(committed_db: None, shop: Shop, clock: Clock) -> None:
    clock.stop(MORNING)
    acme, api = shop.customer(usd="100"), Api(shop.key())
    shop.record(acme, input_tokens=MILLION)
    assert revenue_days.closed_until() is None
    assert seen(api) == (Decimal("2.5"), "2026-11-02T00:00:00Z")

    clock.forward(days=1)
    revenue.close_due()

    assert revenue_days.closed_until() == MIDNIGHT
    assert seen(api) == (recognised(), "2026-11-03T00:00:00Z")
    csv = api.get(f"/usage?customer=acme&{WINDOW}", accept="text/csv")
    assert csv["X-Provisional-From"] == "2026-11-03T00:00:00Z"
    assert (
        api.get("/usage?customer=acme&from=2026-11-01T00:00:00Z&to=2026-11-03T00:00:00Z").json()["provisional_from"]
        is None
    )


def test_what_is_reported_late_changes_no_closed_day_and_is_in_the_next(
    committed_db: None, shop: Shop, clock: Clock
) -> None:
    clock.stop(MORNING)
    acme, api = shop.customer(usd="100"), Api(shop.key())
    shop.record(acme, input_tokens=MILLION)
    clock.forward(days=1)
    revenue.close_due()
    closed = RevenueDay.objects.get(state="closed").sha256

    shop.record(acme, input_tokens=MILLION, time=MORNING + timedelta(hours=1))
    assert (seen(api)[0], recognised()) == (5, Decimal("2.5"))
    clock.forward(days=1)
    revenue.close_due()

    assert seen(api) == (recognised(), "2026-11-04T00:00:00Z")
    assert RevenueDay.objects.filter(state="closed", sha256=closed).count() == 1
