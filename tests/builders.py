"""Customers, plans and usage for tests, made by the services themselves."""

import itertools
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts.models import Authenticator, Membership, Organization, User
from accounts.services import api_keys, factors
from accounts.services.audit import SYSTEM
from billing.models import Alert, Asset, Balance, Budget, Customer, Grant, Meter, PlanVersion, TaxRule
from billing.services import alerts, budgets, subscriptions, usage
from billing.services.catalog import assets, meters, plans
from billing.services.catalog.prices import PriceTerms
from billing.services.customer import customers
from billing.services.invoicing import taxes
from billing.services.wallet import grants

LLM = "llm.completion"


class Shop:
    """An operator's catalog, made as it is asked for: meters for LLM tokens, and the plan ``pro``.

    ``pro`` charges $2.50 for a million input tokens and $10 for a million output tokens.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    @property
    def usd(self) -> Asset:
        return Asset.objects.get(pk="usd")

    def asset(self, code: str, *, precision: int = 0, kind: str = "unit") -> Asset:
        found = Asset.objects.filter(pk=code).first()
        return found or assets.create(actor=SYSTEM, code=code, name=code.title(), kind=kind, precision=precision)

    def meter(self, code: str, value: str = "", *, event_type: str = LLM, **fields: Any) -> Meter:
        found = Meter.objects.filter(code=code).first()
        return found or meters.create(
            actor=SYSTEM,
            code=code,
            name=code.replace("_", " ").title(),
            event_type=event_type,
            aggregation=fields.pop("aggregation", "sum" if value else "count"),
            value=value,
            dimensions=fields.pop("dimensions", ["model", "user", "project", "feature", "session"]),
            **fields,
        )

    def price(self, meter: Meter, unit_amount: str, *, per: str = "1", asset: Asset | None = None, **match: Any) -> Any:
        return PriceTerms(
            meter=meter,
            asset=asset or self.usd,
            model="per_unit",
            unit_amount=Decimal(unit_amount),
            per=Decimal(per),
            match=match,
        )

    def plan(self, code: str = "pro", prices: Iterable[Any] = (), **terms: Any) -> PlanVersion:
        """The plan's latest version; made with these ``terms`` (``plans.Terms``) where there is none."""
        found = PlanVersion.objects.filter(plan__code=code).order_by("-number").first()
        if found is not None:
            return found
        prices = list(prices) or [
            self.price(self.meter("llm_input", "input_tokens"), "2.50", per="1000000"),
            self.price(self.meter("llm_output", "output_tokens"), "10", per="1000000"),
        ]
        terms = {"interval": "month"} | terms
        return plans.create(actor=SYSTEM, code=code, name=code.title(), currency=self.usd, prices=prices, **terms)

    def customer(
        self,
        external_id: str = "acme",
        *,
        plan: str | None = "pro",
        since: datetime | None = None,
        usd: str = "0",
        **fields: Any,
    ) -> Customer:
        """A customer on ``plan``, as in ``subscribe``, with ``usd`` dollars bought."""
        customer = customers.create(
            actor=SYSTEM,
            external_id=external_id,
            name=fields.pop("name", external_id.title()),
            currency=self.usd,
            **fields,
        )
        if plan is not None:
            self.subscribe(customer, plan, since=since)
        if Decimal(usd) > 0:
            self.fund(customer, usd)
        return customer

    def subscribe(self, customer: Customer, plan: str = "pro", *, since: datetime | None = None) -> None:
        """Put them on the plan, for 40 days if nothing else is said: every month since then is a period to open."""
        version = self.plan(plan)
        starts_at = since or timezone.now() - timedelta(days=40)
        subscriptions.start(actor=SYSTEM, customer=customer, plan=version.plan, starts_at=starts_at)

    def fund(
        self, customer: Customer, amount: str, *, asset: str = "usd", kind: str = "purchase", **fields: Any
    ) -> Grant:
        found = Asset.objects.get(pk=asset)
        if kind == "purchase" and asset == "usd":
            fields = {"paid_amount": Decimal(amount), "paid_currency": found} | fields
        return grants.create(actor=SYSTEM, customer=customer, asset=found, amount=Decimal(amount), kind=kind, **fields)

    def tax(self, country: str, rate: str, name: str = "VAT", **terms: Any) -> TaxRule:
        """A tax of that country since long ago."""
        terms = {"starts_on": date(2020, 1, 1)} | terms
        return taxes.add_rule(actor=SYSTEM, country=country, name=name, rate=Decimal(rate), **terms)

    def event(
        self,
        customer: Customer | str = "acme",
        *,
        id: str | None = None,
        data: Mapping[str, Any] | None = None,
        type: str = LLM,
        time: datetime | None = None,
        source: str = "tests",
        **fields: Any,
    ) -> usage.IncomingEvent:
        """A usage event. Further keywords are the fields of its data: ``input_tokens=1000``."""
        subject = customer if isinstance(customer, str) else customer.external_id
        return usage.IncomingEvent(
            id=id or f"event-{next(self._numbers)}",
            source=source,
            type=type,
            subject=subject,
            time=time,
            data=data if data is not None else fields,
        )

    def record(self, customer: Customer | str = "acme", **fields: Any) -> usage.Outcome:
        """Record one event, as in ``event``."""
        return usage.record([self.event(customer, **fields)])[0]

    def balance(self, customer: Customer, asset: str = "usd") -> Balance:
        return Balance.objects.get(customer=customer, asset_id=asset)

    def budget(self, customer: Customer, limit: str, *, period: str = "month", **terms: Any) -> Budget:
        """A hard budget in dollars, or, with ``counts="events"``, in events; other terms as in ``budgets.Terms``."""
        terms = {"name": "Budget", "scope": {}, "asset": None if "counts" in terms else self.usd} | terms
        set_by = terms.pop("set_by", "operator")
        wanted = budgets.Terms(limit=Decimal(limit), period=period, **terms)
        return budgets.create(actor=SYSTEM, customer=customer, terms=wanted, set_by=set_by)

    def alert(self, customer: Customer, *at: str, kind: str = "balance_below", of: str = "amount") -> Alert:
        return alerts.create(actor=SYSTEM, customer=customer, kind=kind, at=[Decimal(each) for each in at], of=of)

    def key(self, *scopes: str, organization: Organization | None = None) -> str:
        """The secret of a new API key, with all scopes if none are named."""
        default = sorted(api_keys.CUSTOMER_SCOPES) if organization else ["*"]
        return api_keys.issue(name="tests", scopes=scopes or default, organization=organization)[1]

    def member(self, customer: Customer, email: str = "owner@acme.test", role: str = "owner", **fields: Any) -> User:
        """A person of the customer's organization, whose password is ``correct horse battery``."""
        user = User.objects.create_user(email, "correct horse battery", **fields)
        Membership.objects.create(organization=customer.organization, user=user, role=role)
        return user


def browser_of(user: User, **options: Any) -> Client:
    """A browser in which this person has signed in and given their second factor just now; they get one if need be."""
    device = Authenticator.objects.filter(user=user, confirmed=True).first() or factors.begin(user, confirmed=True)
    client = Client(**options)
    client.force_login(user)
    session = client.session
    session["otp_device_id"] = device.persistent_id
    session["second_factor_at"] = session["seen_at"] = session["signed_in_at"] = int(time.time())
    session.save()
    return client
