"""Whatever is done in whatever order: the figures follow, and reversing all of it leaves nothing spent."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.services.audit import SYSTEM
from billing.engine.money import EXACT, exact_sum
from billing.errors import BillingError
from billing.models import Balance, Customer, Grant, UsageCounter, UsageEvent
from billing.selectors.ledger import books
from billing.selectors.ledger import corrections as selector
from billing.selectors.usage import events
from billing.services.wallet import corrections, grants, wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop

RUN = "agent.run"
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "use", "grant", "grant", "reverse", "reverse", "refund", "debit", "later"]),
        st.integers(1, 9),
    ),
    min_size=8,
    max_size=30,
)
_names = count()


class Story:
    """One customer with an overdraft of five, and what the books should say of it."""

    def __init__(self, shop: Shop, clock: Clock) -> None:
        self.shop, self.clock = shop, clock
        self.acme: Customer = shop.customer(f"acme-{next(_names)}", plan="runs")
        wallets.set_overdraft_limit(actor=SYSTEM, customer=self.acme, asset=shop.usd, limit=Decimal(5))
        self.granted = self.debited = Decimal(0)
        self.quantities: dict[str, Decimal] = {}

    def step(self, name: str, number: int) -> None:
        with suppress(BillingError):
            getattr(self, name)(number)
        self.check()

    def use(self, number: int) -> None:
        id = f"{self.acme.external_id}-{next(_names)}"
        outcome = self.shop.record(self.acme, id=id, type=RUN, thirds=number, work=number % 3)
        if outcome.status == "charged":
            self.quantities[id] = Decimal(number)

    def grant(self, number: int) -> None:
        ends = self.clock.now() + timedelta(days=number) if number % 2 else None
        meters = {"meters": ["thirds"]} if number % 3 == 0 else None
        self.shop.fund(self.acme, str(number), kind="promotional", expires_at=ends, applies_to=meters)
        self.granted += number

    def reverse(self, number: int) -> None:
        event = self._event(number)
        corrections.reverse(actor=SYSTEM, event=event, reason="x")
        del self.quantities[event.event_id]

    def refund(self, number: int) -> None:
        amount = Decimal(number) / 4
        corrections.refund(actor=SYSTEM, event=self._event(number), asset=self.shop.usd, amount=amount, reason="x")

    def debit(self, number: int) -> None:
        amount = Decimal(-number) / 2
        corrections.adjust(
            actor=SYSTEM, customer=self.acme, asset=self.shop.usd, amount=amount, reason="x", allow_debt=number % 2 == 0
        )
        self.debited -= amount

    def later(self, number: int) -> None:
        self.clock.forward(days=number / 2)

    def _event(self, number: int) -> UsageEvent:
        found = list(self._standing())
        if not found:
            raise BillingError("nothing to put right")
        return found[number % len(found)]

    def _standing(self) -> Iterator[UsageEvent]:
        yield from events.having_status(UsageEvent.objects.filter(customer=self.acme), "charged").order_by("id")

    def check(self) -> None:
        grants.settle_due()
        balance = Balance.objects.get(customer=self.acme, asset=self.shop.usd)
        left = (selector.standing(event).left["usd"] for event in self._standing())
        expired = Grant.objects.filter(customer=self.acme).values_list("expired", flat=True)
        assert balance.lifetime_spent == exact_sum(left)
        assert balance.lifetime_granted == self.granted
        lost = exact_sum(expired, self.debited)
        assert balance.available == EXACT.subtract(EXACT.subtract(self.granted, balance.lifetime_spent), lost)
        counted = UsageCounter.objects.filter(customer=self.acme).values_list("quantity", flat=True)
        if counted:
            assert sum(counted) == sum(self.quantities.values())


@settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_the_figures_follow_and_nothing_stays_spent(shop: Shop, clock: Clock, steps: list[tuple[str, int]]) -> None:
    clock.stop(clock.now().replace(day=2))
    prices = [("thirds", "3"), ("work", "1")]
    shop.plan("runs", [shop.price(shop.meter(name, name, event_type=RUN), "1", per=per) for name, per in prices])
    story = Story(shop, clock)

    for step in steps:
        story.step(*step)
    for event in list(story._standing()):
        corrections.reverse(actor=SYSTEM, event=event, reason="x")
    story.quantities.clear()

    story.check()
    balance = Balance.objects.get(customer=story.acme, asset=shop.usd)
    assert balance.lifetime_spent == 0
    assert balance.owed <= story.debited
    assert list(books.differences()) == []
