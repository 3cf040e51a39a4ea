"""Going around the services: rows in every table, and statements that should be refused."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import Membership, User
from accounts.services.audit import SYSTEM, Actor
from billing.engine.prices import TierTerms
from billing.models import (
    Customer,
    Grant,
    IdempotencyRecord,
    Obligation,
    Recognition,
    RevenueDay,
    RevenueTotal,
    Seal,
    UsageEvent,
)
from billing.services.catalog import plans
from billing.services.catalog.prices import PriceTerms
from billing.services.invoicing import invoice_payments, invoices
from billing.services.revenue import partners
from billing.services.wallet import corrections, recurring, wallets
from tests.builders import Shop


def fill(shop: Shop) -> None:
    """Put a row into every table of the books."""
    tokens, seconds = shop.meter("tokens", "tokens"), shop.meter("seconds", "seconds")
    included = plans.AllowanceTerms(shop.asset("images"), Decimal(1))
    steps = PriceTerms(
        meter=shop.meter("steps", "steps"), asset=shop.usd, model="volume", tiers=(TierTerms(unit_amount=Decimal(1)),)
    )
    prices = [shop.price(tokens, "1"), shop.price(seconds, "1", per="3"), steps]
    limits = [plans.FairUseTerms(Decimal(100), meter=tokens)]
    shop.plan("pro", prices, allowances=[included], base_fee=Decimal("0.01"), fair_use=limits)
    acme = shop.customer(usd="10")
    limit = shop.fund(acme, "5").amount
    user = User.objects.create_user("owner@acme.test")
    by = Actor.of_user(user, ip_address=None, request_id="")
    wallets.set_overdraft_limit(actor=by, customer=acme, asset=shop.usd, limit=limit)
    monthly = recurring.Terms(asset=shop.usd, amount=Decimal(1), interval="month")
    recurring.create(actor=SYSTEM, customer=acme, terms=monthly)
    shop.record(acme, id="one", tokens=1, seconds=1)
    shop.record(acme, id="gone", tokens=0)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="gone"), reason="By mistake")
    Membership.objects.create(organization=acme.organization, user=user, role="owner")
    shop.key(organization=acme.organization)
    shop.key()
    Seal.objects.create(
        number=1,
        previous_hash=b"",
        hash=b"",
        form=1,
        covers="charge",
        rows=1,
        first_id=user.pk,
        last_id=user.pk,
        digest=b"",
        row_ids=[user.pk],
        checks=b"",
        cluster="1",
        written_before=1,
        made_at=timezone.now(),
    )
    owing = shop.customer("owing")
    Customer.objects.filter(pk=owing.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=owing, asset=shop.usd, limit=Decimal(9))
    shop.record(owing, id="owed", tokens=1)
    Customer.objects.filter(pk=owing.pk).update(country="DE")
    shop.tax("DE", "0.19")
    invoice = invoices.issue(shop.balance(owing), end=timezone.now() + timedelta(days=1))
    assert invoice is not None
    invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=invoice.payable, reference="SEPA 1")
    IdempotencyRecord.objects.create(principal="operator", key="k", fingerprint=b"f", status=200)
    _close_a_day(shop)


def _close_a_day(shop: Shop) -> None:
    """What only the close of a day writes, which would wait for this transaction: the rows themselves."""
    now = timezone.now()
    day = RevenueDay.objects.create(
        date=now.date(),
        state="closed",
        zone="UTC",
        start=now,
        end=now + timedelta(days=1),
        cut_at=now,
        written_before=1,
        sha256="0" * 64,
        closed_at=now,
    )
    grant = Grant.objects.filter(paid_amount__gt=0).earliest("id")
    kind = {
        "day": day,
        "number": 1,
        "movement": "billed",
        "debit": "cash_clearing",
        "credit": "deferred_revenue",
        "currency": shop.usd,
        "amount": grant.paid_amount,
        "occurred_on": day.date,
    }
    Recognition.objects.create(customer=grant.customer, asset=shop.usd, grant=grant, **kind)
    RevenueTotal.objects.create(closing=grant.paid_amount, lines=1, **kind)
    Obligation.objects.create(
        day=day,
        date=day.date,
        customer=grant.customer,
        grant=grant,
        currency=shop.usd,
        value=grant.paid_amount,
        total=grant.amount,
        done=Decimal(0),
        booked=Decimal(0),
    )
    agency = partners.create(
        actor=SYSTEM,
        code="agency",
        name="Agency",
        currency=shop.usd,
        base="payments",
        volumes=[Decimal(0)],
        rates=[Decimal(1)],
        starts_on=day.date,
    )
    partners.bring(actor=SYSTEM, partner=agency, customer=grant.customer)
    partners.accrue(agency, day)
    due = partners.payable(agency, day.date)
    partners.pay_out(actor=SYSTEM, partner=agency, upto=day.date, amount=due, reference="SEPA 2")


class _Went(Exception):
    """The statement was not refused; what it did is rolled back."""


def refused_by(statement: str, parameters: Any = None) -> str:
    """The constraint, or else the SQLSTATE, that refuses the statement; "nobody". Nothing is changed either way."""
    with suppress(_Went), transaction.atomic():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                # Deferred checks are made here and now, not at a commit that never comes.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute(statement, parameters)
        except DatabaseError as error:
            diagnosis = error.__cause__.diag  # type: ignore[union-attr]
            return diagnosis.constraint_name or diagnosis.sqlstate or ""
        raise _Went
    return "nobody"
