"""What may still happen when days are closed: each a thing about something that is past, drawn by a seed."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random

from accounts.services.audit import SYSTEM
from billing.errors import BillingError
from billing.models import Customer, Dispute, Plan, Refund, TopUp, UsageEvent
from billing.services import subscriptions
from billing.services.catalog import plans
from billing.services.funding import disputes, refunds
from tests.billing.services.revenue.story import D, Story
from tests.payments import Bank, Payer

LOST_OR_WON = ("lost", "lost", "won")


class Disturbances:
    """``one`` does one of them and counts it in ``done``."""

    def __init__(self, story: Story, bank: Bank, seed: int) -> None:
        self.story, self.bank, self.random = story, bank, Random(seed)
        self.payers = [Payer(story.shop, bank, customer) for customer in story.customers]
        self.done: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[Customer], bool]] = {
            "late event": self.late_event,
            "reversal or refund of usage": self.take_back,
            "refund of a payment": self.refund,
            "dispute": self.dispute,
            "decision of a dispute": self.decide,
            "change of a price": self.change_price,
            "change of a plan": self.change_plan,
            "expiry": self.expire,
            "grant taken back": self.take_grant_back,
            "money in for a debt": self.pay,
        }

    def one(self) -> None:
        """One of them, each kind as often as any other, where there is something to do it to."""
        done = False
        while not done:
            name = self.random.choice(list(self._kinds))
            try:
                done = self._kinds[name](self.random.choice(self.story.customers))
            except BillingError:
                # Nothing is left to give back, or a dispute is open about it.
                continue
        self.done[name] += 1

    def late_event(self, customer: Customer) -> bool:
        self.story.use(customer, late=True)
        return True

    def take_back(self, customer: Customer) -> bool:
        before = UsageEvent.objects.filter(customer=customer, corrections__isnull=False).count()
        self.story.take_back(customer)
        return UsageEvent.objects.filter(customer=customer, corrections__isnull=False).count() > before

    def pay(self, customer: Customer) -> bool:
        self.payer(customer).paid(self.random.choice(["10", "25", "40"]))
        return True

    def refund(self, customer: Customer) -> bool:
        top_up = self._top_up(customer)
        made = refunds.create(actor=SYSTEM, top_up=top_up, amount=D(self.random.choice(["0.07", "3", "9.99"])))
        refunds.start(made.pk)
        return Refund.objects.filter(pk=made.pk, status="succeeded").exists()

    def dispute(self, customer: Customer) -> bool:
        top_up = self._top_up(customer)
        if Dispute.objects.filter(top_up=top_up).exists():
            return False
        disputes.look_up(self.bank.dispute(top_up))
        return True

    def decide(self, customer: Customer) -> bool:
        found = Dispute.objects.filter(customer=customer, status="open").order_by("id").first()
        if found is None:
            return False
        self.bank.decide(found.provider_id, self.random.choice(LOST_OR_WON))
        disputes.look_up(found.provider_id)
        return True

    def change_price(self, customer: Customer) -> bool:
        """A next version of the plan for usage, and everybody on it from now on."""
        plan, shop = Plan.objects.get(code="runs"), self.story.shop
        prices = [
            shop.price(shop.meter("work"), self.random.choice(["0.11", "0.41", "1.03"]), per="3"),
            shop.price(shop.meter("talk"), self.random.choice(["0.2", "0.6"])),
            shop.price(shop.meter("pictures"), "1", asset=shop.asset("images")),
        ]
        plans.publish_version(actor=SYSTEM, plan=plan, interval="month", prices=prices)
        moved = list(subscriptions.move(actor=SYSTEM, plan=plan, when="now"))
        return any(each.refusal is None for each in moved)

    def change_plan(self, customer: Customer) -> bool:
        self.story.subscribe(customer)
        self.story.change(customer)
        return True

    def expire(self, customer: Customer) -> bool:
        self.story.shop.fund(
            customer, "2", paid_amount=D("1.99"), expires_at=self.story.clock.now() + timedelta(minutes=5)
        )
        return True

    def take_grant_back(self, customer: Customer) -> bool:
        self.story.void(customer)
        return True

    def payer(self, customer: Customer) -> Payer:
        return next(payer for payer in self.payers if payer.customer.pk == customer.pk)

    def _top_up(self, customer: Customer) -> TopUp:
        """A payment of some time ago; a new one where there is none."""
        found = list(TopUp.objects.filter(customer=customer, status="succeeded").order_by("id"))
        return self.random.choice(found) if found else self.payer(customer).paid("25")
