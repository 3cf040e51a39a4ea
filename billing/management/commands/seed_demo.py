"""``manage.py seed_demo``: sample customers with a month of usage, made the first time and left alone afterwards.

What they bought and used is booked when it happened, by a clock that runs behind: their wallets have a past.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import groupby
from random import Random
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from accounts.demo import DEMO_CODE, DEMO_PASSWORD, DEMO_SIGN_INS
from accounts.models import Membership, User
from accounts.services import factors, staff
from accounts.services.audit import SYSTEM
from billing.demo import catalog, traffic
from billing.demo.customers import CUSTOMERS, RUNWAY, Gift, Purchase, SampleCustomer
from billing.gateways import anchors
from billing.management import keyfiles, past
from billing.models import Asset, Balance, Customer, Meter, Plan
from billing.services import alerts, budgets, subscriptions, usage
from billing.services.catalog import assets, costs, meters, plans
from billing.services.catalog.prices import PriceTerms
from billing.services.customer import customers
from billing.services.funding import packs
from billing.services.ledger import seals
from billing.services.wallet import grants

SENT_EVERY = timedelta(hours=6)
"""How often the sample gateway sends what was used: that is booked so much later at most."""
SAID_EVERY = 1000
"""After how many events the seed says how far it is."""
SUBSCRIBED = timedelta(days=traffic.DAYS + 5)
"""How long ago the sample customers came."""
KEY_FILE = "demo-api-key"
KEY_SCOPES = ("customers:read", "wallets:read", "grants:write", "events:write", "events:read")
CUSTOMER_KEY_FILE = "demo-customer-key"
CUSTOMER_KEY_SCOPES = ("wallets:read", "events:read", "authorizations:write")
"""For the gateway, and to look at the wallet by hand."""
_SEED = 20260101
_AUDIO_PER_SECOND = Decimal("0.0001")
_AUDIO_SECONDS_MAX = 3600 * 4


class Command(BaseCommand):
    help = "Fill an empty installation with sample customers and a month of usage. Only where ANTE_DEMO is set."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("This is not a demonstration: set ANTE_DEMO=1.")
        if not Customer.objects.filter(external_id=CUSTOMERS[0].external_id).exists():
            started = time.monotonic()
            # All or nothing: a seed that was interrupted leaves nothing behind, and the next start makes it whole.
            with transaction.atomic():
                recorded = Seed(timezone.now(), say=self._progress).run()
            self._progress(f"Recorded {recorded:,} sample events in {time.monotonic() - started:.0f} s.")
            subscriptions.settle_due()
            if (head := seals.seal()) is not None:  # What is said to be weeks old and in no seal is found wrong.
                anchors.note(head)
        keyfiles.keep(settings.DATA_DIR / KEY_FILE, name="Demonstration traffic", scopes=KEY_SCOPES)
        organization = Customer.objects.get(external_id=CUSTOMERS[0].external_id).organization
        developer = Membership.objects.filter(organization=organization, role="developer").first()
        keyfiles.keep(
            settings.DATA_DIR / CUSTOMER_KEY_FILE,
            name="Gateway",
            scopes=CUSTOMER_KEY_SCOPES,
            organization=organization,
            created_by=None if developer is None else developer.user,
        )
        self._show_sign_ins()

    def _progress(self, line: str) -> None:
        self.stderr.write(line)

    def _show_sign_ins(self) -> None:
        width = max(len(person.email) for person in DEMO_SIGN_INS)
        self.stdout.write(
            f"Demonstration sign-ins, all with the password {DEMO_PASSWORD} and then the code {DEMO_CODE}:"
        )
        for person in DEMO_SIGN_INS:
            self.stdout.write(f"  {person.email:<{width}}   {person.title}")
        self.stdout.write(
            f"A key of {CUSTOMERS[0].name} for the gateway is in {settings.DATA_DIR / CUSTOMER_KEY_FILE}."
        )


class Seed:
    """One run: catalog, customers and people, then purchases and usage as time went by, until ``now``."""

    def __init__(self, now: datetime, *, say: Any) -> None:
        self.now = now
        self.say = say
        self.clock = past.Clock()
        self.random = Random(_SEED)  # noqa: S311 - the same sample data for everyone; nothing secret.
        self.assets: dict[str, Asset] = {}
        self.customers: dict[str, Customer] = {}

    def run(self) -> int:
        # Beside books that were begun nothing can be said to be older: then all of it is booked today.
        with self.clock.kept() if past.can_be_made() else nullcontext():
            recorded = self._past()
        for sample in CUSTOMERS:
            recorded += self._spend_down(sample)
            for gift in sample.gifts:
                self._give(sample, gift)
            self._limit(sample)
        return recorded

    def _past(self) -> int:
        self.clock.begin(self.now - SUBSCRIBED)
        self._costs()
        self._catalog()
        for sample in CUSTOMERS:
            self._customer(sample)
        self._people()
        return self._month()

    def _limit(self, sample: SampleCustomer) -> None:
        """Its budgets, made when the month has gone by, and what its people want to be told."""
        customer = self.customers[sample.external_id]
        for spec in sample.budgets:
            terms = budgets.Terms(
                name=spec.name,
                limit=spec.limit,
                period=spec.period,
                scope=spec.scope,
                asset=None if spec.events else self.assets["usd"],
                counts="events" if spec.events else "spend",
                hard=spec.hard,
                alert_at=[Decimal("0.5"), Decimal("0.8"), Decimal(1)],
            )
            budgets.create(actor=SYSTEM, customer=customer, terms=terms, set_by=spec.set_by)
        if sample.alerts:
            alerts.create(actor=SYSTEM, customer=customer, kind="runway_below", of="days", at=[RUNWAY])

    def _costs(self) -> None:
        """The list of what models cost, and what this operator has agreed instead."""
        call_command("import_model_costs", shipped=True, stdout=StringIO())
        since = self.now - SUBSCRIBED
        for spec in catalog.COSTS:
            costs.create(
                actor=SYSTEM,
                provider=spec.provider,
                model=spec.model,
                unit=spec.unit,
                unit_cost=spec.amount,
                per=spec.per,
                effective_from=since,
            )
        costs.set_overhead(
            actor=SYSTEM,
            share=catalog.OVERHEAD_SHARE,
            fixed_amount=catalog.OVERHEAD_FIXED,
            effective_from=since,
        )

    def _catalog(self) -> None:
        assets.create(actor=SYSTEM, code=catalog.IMAGE_CREDITS, name="Image credits", kind=Asset.Kind.UNIT, precision=0)
        self.assets = {asset.code: asset for asset in Asset.objects.all()}
        for pieces, price in ((1000, 45), (2000, 80)):
            packs.create(
                actor=SYSTEM,
                code=f"images-{pieces}",
                name=f"Image pack {pieces:,}",
                asset=self.assets[catalog.IMAGE_CREDITS],
                amount=Decimal(pieces),
                price=Decimal(price),
                currency=self.assets["usd"],
            )
        made: dict[str, Meter] = {}
        for spec in catalog.METERS:
            made[spec.code] = meters.create(
                actor=SYSTEM,
                code=spec.code,
                name=spec.name,
                event_type=spec.event_type,
                aggregation=Meter.Aggregation.SUM,
                value=spec.value,
                dimensions=spec.dimensions,
                unit=spec.unit,
            )
        for plan in catalog.PLANS:
            terms = [
                PriceTerms(
                    meter=made[price.meter],
                    asset=self.assets[price.asset],
                    model="per_unit",
                    unit_amount=price.amount,
                    per=price.per,
                    match=price.match,
                )
                for price in plan.prices
            ]
            version = plans.create(
                actor=SYSTEM,
                code=plan.code,
                name=plan.name,
                currency=self.assets["usd"],
                interval="month",
                prices=terms,
                base_fee=plan.base_fee,
                allowances=[
                    plans.AllowanceTerms(self.assets[asset], amount) for asset, amount in plan.allowances.items()
                ],
            )
            plans.offer(actor=SYSTEM, plan=version.plan, offered=plan.offered)

    def _customer(self, sample: SampleCustomer) -> None:
        customer = customers.create(
            actor=SYSTEM,
            external_id=sample.external_id,
            name=sample.name,
            currency=self.assets["usd"],
            email=sample.email,
            country=sample.country,
            timezone=sample.timezone,
            metadata={"sample": True},
        )
        self.customers[sample.external_id] = customer
        for purchase in sample.purchases:
            if not purchase.share:
                self._buy(sample, purchase)
        for code in sample.plans:
            subscriptions.start(
                actor=SYSTEM,
                customer=customer,
                plan=Plan.objects.get(code=code),
                starts_at=self.now - SUBSCRIBED,
            )

    def _people(self) -> None:
        for person in DEMO_SIGN_INS:
            if User.objects.filter(email__iexact=person.email).exists():
                continue
            user = User.objects.create_user(person.email, DEMO_PASSWORD, name=person.title)
            factors.begin(user, confirmed=True)
            if person.organization is None:
                staff.join(user, person.role)
                continue
            organization = self.customers[person.organization].organization
            Membership.objects.create(organization=organization, user=user, role=person.role)

    def _month(self) -> int:
        """Everything in the order in which it happened: purchases just before the usage that they pay for."""
        calls = [
            made
            for sample in CUSTOMERS
            if sample.events
            for made in traffic.month(sample, now=self.now, random=self.random)
        ]
        calls.sort(key=lambda made: made.time)
        begin = self.now - timedelta(days=traffic.DAYS)
        purchases = sorted(
            (
                (begin + timedelta(days=traffic.DAYS * purchase.share), sample, purchase)
                for sample in CUSTOMERS
                for purchase in sample.purchases
                if purchase.share
            ),
            key=lambda bought: bought[0],
        )
        done = 0
        for sent_at, batch in groupby(calls, key=lambda made: _sent_at(made.time)):
            while purchases and purchases[0][0] <= sent_at:
                bought_at, sample, purchase = purchases.pop(0)
                self.clock.go_to(bought_at)
                self._buy(sample, purchase)
            self.clock.go_to(min(sent_at, self.now))
            before, done = done, done + self._record(list(batch))
            if done // SAID_EVERY > before // SAID_EVERY:
                self.say(f"Recording a month of sample usage: {done:,} of {len(calls):,} events")
        for _, sample, purchase in purchases:
            self._buy(sample, purchase)
        return done

    def _record(self, calls: Sequence[traffic.TimedCall]) -> int:
        return len(usage.record([_event(made) for made in calls]))

    def _buy(self, sample: SampleCustomer, purchase: Purchase) -> None:
        grants.create(
            actor=SYSTEM,
            customer=self.customers[sample.external_id],
            asset=self.assets[purchase.asset],
            amount=purchase.amount,
            kind="purchase",
            paid_amount=purchase.paid,
            paid_currency=self.assets["usd"],
            name=purchase.name,
        )

    def _give(self, sample: SampleCustomer, gift: Gift) -> None:
        grants.create(
            actor=SYSTEM,
            customer=self.customers[sample.external_id],
            asset=self.assets[gift.asset],
            amount=gift.amount,
            kind="promotional",
            expires_at=self.now + timedelta(days=gift.days),
            applies_to={"meters": list(gift.meters)} if gift.meters else None,
            name=gift.name,
        )

    def _spend_down(self, sample: SampleCustomer) -> int:
        """A back-log of recordings is transcribed, until about ``left`` dollars remain."""
        if sample.left is None:
            return 0
        balance = Balance.objects.get(customer=self.customers[sample.external_id], asset_id="usd")
        seconds = int((balance.available - sample.left) / _AUDIO_PER_SECOND)
        calls = []
        while seconds > 0:
            length = min(seconds, self.random.randrange(3600, _AUDIO_SECONDS_MAX))
            data = {"model": "gpt-4o-transcribe", "seconds": length, "feature": "archive-import", "user": "u_01"}
            moment = self.now - timedelta(hours=self.random.uniform(2, 96))
            call = traffic.Call("audio.transcription", data)
            calls.append(traffic.TimedCall(sample, traffic.event_id(self.random), moment, call))
            seconds -= length
        return self._record(sorted(calls, key=lambda made: made.time))


def _sent_at(moment: datetime) -> datetime:
    """When the sample gateway sends what was used at ``moment``."""
    return moment + SENT_EVERY - (moment - datetime.min.replace(tzinfo=UTC)) % SENT_EVERY


def _event(made: traffic.TimedCall) -> usage.IncomingEvent:
    return usage.IncomingEvent(
        id=made.id,
        source=traffic.SOURCE,
        type=made.call.type,
        subject=made.customer.external_id,
        time=made.time.astimezone(UTC),
        data=made.call.data,
    )
