"""Thirty days of a shop, with every kind of movement of the ledger, drawn by a seed."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from random import Random

from accounts.services.audit import SYSTEM
from billing.engine.prices.terms import TierTerms
from billing.errors import BillingError
from billing.models import Asset, Customer, Grant, Plan, Subscription, UsageEvent
from billing.services import authorizations, subscriptions
from billing.services.authorizations import Opened
from billing.services.catalog.prices import PriceTerms
from billing.services.wallet import corrections, grants, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop

RUN = "agent.run"
D = Decimal


class Story:
    """Customers that buy, use, hold, owe, get back, change plans and let things expire. ``step`` is one of it."""

    def __init__(self, shop: Shop, clock: Clock, seed: int) -> None:
        self.shop, self.clock, self.random = shop, clock, Random(seed)
        self.eur = Asset.objects.get(pk="eur")
        images = shop.asset("images")
        work, talk = shop.meter("work", "work", event_type=RUN), shop.meter("talk", "talk", event_type=RUN)
        pictures = shop.meter("pictures", "pictures", event_type=RUN)
        shop.plan(
            "runs",
            [
                shop.price(work, "0.37", per="3"),
                PriceTerms(
                    meter=talk,
                    asset=shop.usd,
                    model="volume",
                    per=D(1),
                    tiers=(TierTerms(up_to=D(40), unit_amount=D("0.5")), TierTerms(unit_amount=D("0.3"))),
                ),
                shop.price(pictures, "1", asset=images),
            ],
        )
        self.fees = [make_plan(shop, "small", fee="10"), make_plan(shop, "large", fee="31")]
        self.customers = [shop.customer(name, plan="runs") for name in ("acme", "bolt", "cole")]
        for customer in self.customers[1:]:
            Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
            wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=D(60))
            wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=images, limit=D(20))
        self.opened: list[Opened] = []
        self._number = 0

    def day(self, steps: int = 12) -> None:
        """One day's worth, then the worker."""
        for _ in range(steps):
            self.clock.forward(minutes=self.random.randint(1, 70))
            self.step()
        subscriptions.renew_due()
        subscriptions.collect_due()
        subscriptions.settle_due()
        authorizations.expire_due()
        grants.settle_due()

    def step(self) -> None:
        does = self.random.choice(
            [self.buy, self.buy, self.use, self.use, self.use, self.use, self.use, self.give, self.hold, self.end,
             self.take_back, self.take_back, self.void, self.adjust, self.subscribe, self.change]
        )  # fmt: skip
        # Too little in the wallet, or nothing there to do it to.
        with suppress(BillingError):
            does(self.random.choice(self.customers))

    def buy(self, customer: Customer) -> None:
        days = self.random.choice([None, 1, 3, 8])
        terms = {"expires_at": self.clock.now() + timedelta(days=days)} if days else {}
        asset, amount, paid, currency = self.random.choice(
            [("usd", "20", "20", "usd"), ("usd", "21", "20", "usd"), ("usd", "10", "7", "eur"),
             ("images", "7", "10", "usd"), ("images", "13", "9.99", "eur"), ("usd", "9", "9.1", "usd")]
        )  # fmt: skip
        self.shop.fund(
            customer, amount, asset=asset, paid_amount=D(paid), paid_currency=Asset.objects.get(pk=currency), **terms
        )

    def give(self, customer: Customer) -> None:
        kind = self.random.choice(["promotional", "promotional", "allowance", "adjustment"])
        self.shop.fund(customer, "3", kind=kind, expires_at=self.clock.now() + timedelta(days=4))

    def use(self, customer: Customer, *, late: bool = False) -> None:
        self._number += 1
        what = self.random.choice(["work", "work", "talk", "pictures"])
        time = self.clock.now() - timedelta(days=self.random.randint(1, 9)) if late else None
        data = {what: D(self.random.randint(1, 20))}
        self.shop.record(customer, id=f"event-{self._number}", type=RUN, data=data, time=time)

    def hold(self, customer: Customer) -> None:
        asset = self.shop.asset(self.random.choice(["usd", "usd", "images"]))
        self.opened.append(
            authorizations.open_amount(customer=customer, asset=asset, amount=D(4), life=timedelta(days=1))
        )

    def end(self, customer: Customer) -> None:
        if self.opened:
            found = self.opened.pop(self.random.randrange(len(self.opened))).authorization
            found.refresh_from_db()
            if self.random.random() < 0.6:
                authorizations.capture_amount(authorization=found, amount=D("2.25" if found.asset_id == "usd" else 2))
            else:
                authorizations.void(authorization=found)

    def take_back(self, customer: Customer) -> None:
        events = list(UsageEvent.objects.filter(customer=customer, status="charged").order_by("id"))
        if not events:
            return
        event = self.random.choice(events)
        if self.random.random() < 0.6:
            corrections.reverse(actor=SYSTEM, event=event, reason="Wrong")
        else:
            corrections.refund(actor=SYSTEM, event=event, asset=self.shop.usd, amount=D("0.111"), reason="Slow")

    def void(self, customer: Customer) -> None:
        found = list(Grant.objects.filter(customer=customer, open=True).order_by("id"))
        if found and self.random.random() < 0.3:
            grants.void(actor=SYSTEM, grant=self.random.choice(found), reason="By mistake")

    def adjust(self, customer: Customer) -> None:
        amount = D(self.random.choice(["-1.5", "-3", "2"]))
        corrections.adjust(
            actor=SYSTEM, customer=customer, asset=self.shop.usd, amount=amount, reason="x", allow_debt=True
        )

    def subscribe(self, customer: Customer) -> None:
        if not Subscription.objects.filter(customer=customer, plan__code__in=["small", "large"]).exists():
            start(customer, self.random.choice(self.fees))

    def change(self, customer: Customer) -> None:
        found = Subscription.objects.filter(customer=customer, plan__code__in=["small", "large"]).first()
        if found is not None:
            other = Plan.objects.get(code="large" if found.plan.code == "small" else "small")
            subscriptions.change(actor=SYSTEM, subscription=found, wanted=subscriptions.Wanted(other))
