"""A back office with one row of everything."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import IdentityProvider, User
from accounts.services import audit, mail, single_sign_on
from billing.models import BookCheck, Customer, ExportFile, IdempotencyRecord, SpendAnomaly, TopUp, UsageEvent
from billing.services import alerts, approvals, authorizations, notices
from billing.services.catalog import costs, drafts
from billing.services.funding import packs, reconciliation, refunds, rules
from billing.services.idempotency import Answer, once
from billing.services.invoicing import invoices, taxes
from billing.services.notices import targets
from billing.services.revenue import partners
from billing.services.wallet import charge_disputes, recurring, wallets
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.builders import Shop
from tests.payments import Bank, Payer


def furnish(shop: Shop, bank: Bank) -> Customer:
    """A customer with a row of everything: grants of each kind, charged and refused usage, a hold, people, keys, ..."""
    acme = shop.customer(usd="10", name="Acme Robotics", email="billing@acme.test")
    shop.fund(acme, "5", kind="promotional", name="Gift", expires_at=timezone.now() + timedelta(days=3))
    shop.fund(acme, "2", kind="adjustment", effective_at=timezone.now() + timedelta(days=3), name="Later")
    shop.asset("image_credits")
    shop.fund(acme, "100", asset="image_credits", paid_amount=Decimal(4), paid_currency=shop.usd)
    shop.record(acme, id="charged", model="gpt-4o", input_tokens=1000, output_tokens=450, user="u_1")
    shop.record(acme, id="refused", model="gpt-4o", input_tokens=10**9, output_tokens=0)
    shop.record(acme, id="unpriced", type="unknown.type", input_tokens=1)
    # A price that does not come out even at the asset's precision keeps a running quantity.
    third = shop.meter("thirds", "n", event_type="thirds")
    shop.plan("thirds", [shop.price(third, "1", per="3")])
    shop.subscribe(acme, "thirds")
    shop.record(acme, id="third", type="thirds", n=1)
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1))
    costs.create(actor=audit.SYSTEM, provider="openai", model="gpt-4o", unit="input", unit_cost=Decimal("0.000002"))
    costs.set_overhead(actor=audit.SYSTEM, share=Decimal("0.05"))
    payer = Payer(shop, bank, acme)
    payer.keep()
    refunds.create(actor=audit.SYSTEM, top_up=payer.paid(), amount=Decimal(1))
    dollar = Decimal(1)
    packs.create(
        actor=audit.SYSTEM, code="ten", name="Ten", asset=shop.usd, amount=dollar, price=dollar, currency=shop.usd
    )
    bank.dispute(TopUp.objects.get(), status="warning_needs_response")
    bank.deliver()
    rules.put(actor=audit.SYSTEM, customer=acme, order=rules.Order(asset=shop.usd, threshold=dollar, amount=dollar * 9))
    with bank.rules.store.changing():
        bank.rules.new_intent({"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"})
    reconciliation.run(until=timezone.now() + timedelta(minutes=1))
    drafts.create(actor=audit.SYSTEM, plan=shop.plan().plan, terms={"base_fee": "5"})
    slack = "https://hooks.slack.com/services/T1/B1/abcdefgh"
    owner = shop.member(acme)
    targets.add(actor=audit.SYSTEM, user=owner, customer=acme, channel="slack", address=slack, topics=["balance"])
    shop.key()
    shop.budget(acme, "1000")
    shop.alert(acme, "1000")
    alerts.watch_balances()
    notices.address()
    endpoint, _ = endpoints.create(
        actor=audit.SYSTEM, may=anything, customer=acme, url="https://hooks.test/", events=["*"]
    )
    endpoints.test(endpoint, may=anything)
    SpendAnomaly.objects.create(
        customer=acme,
        asset=shop.usd,
        hour=timezone.now(),
        scope="customer",
        level="spike",
        created_at=timezone.now(),
        spent=Decimal(9),
        usual=Decimal(2),
        above=Decimal(8),
    )
    monthly = recurring.Terms(
        asset=shop.usd, amount=dollar, interval="month", starts_at=timezone.now() + timedelta(days=3), name="Each month"
    )
    recurring.create(actor=audit.SYSTEM, customer=acme, terms=monthly)
    terms = {"asset": "usd", "amount": "1000000", "kind": "promotional"}
    maker = User.objects.create_user("maker@ante.test", is_staff=True)
    by = audit.Actor.of_user(maker, ip_address=None, request_id="")
    approvals.perform(actor=by, kind="grant", customer=acme, terms=terms, reason="A million")
    BookCheck.objects.create(
        full=True,
        state="wrong",
        wrong=1,
        started_at=timezone.now(),
        finished_at=timezone.now(),
        results=[{"check": "balances", "state": "wrong", "found": ["It differs."], "ms": 3}],
    )
    ExportFile.objects.create(
        kind="events", format="jsonl", name="events.jsonl", until=9, due_at=timezone.now(), created_at=timezone.now()
    )
    owing = shop.customer("owing")
    Customer.objects.filter(pk=owing.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=audit.SYSTEM, customer=owing, asset=shop.usd, limit=Decimal(9))
    shop.record(owing, id="owed", input_tokens=1_000_000)
    shop.tax("US", "0.1")
    taxes.set_profile(actor=audit.SYSTEM, customer=owing, tax_id="US12345678")
    invoices.issue(shop.balance(owing), end=timezone.now())
    agency = partners.create(
        actor=audit.SYSTEM,
        code="resellers",
        name="Resellers",
        currency=shop.usd,
        base="revenue",
        volumes=[Decimal(0)],
        rates=[Decimal("0.1")],
        starts_on=timezone.localdate(),
    )
    partners.bring(actor=audit.SYSTEM, partner=agency, customer=owing)
    charged = [UsageEvent.objects.get(event_id="charged")]
    charge_disputes.lodge(actor=audit.SYSTEM, customer=acme, events=charged, reason="Not ours")
    provider = IdentityProvider.objects.create(
        organization=acme.organization,
        short_name="acme",
        issuer="https://login.acme.test",
        client_id="ante",
        client_secret="kept",
        required=True,
    )
    single_sign_on.connect(single_sign_on.of_organization(provider), owner, "u-1", actor=audit.SYSTEM)
    Group.objects.create(name="Auditors")
    mail.queue("lost@acme.test", "A new device", "Somebody signed in.")
    audit.record(actor=audit.SYSTEM, action="test.done", object_type="test", object_id="1", before={"a": 1})
    once(principal="test", key="k", fingerprint=b"x" * 32, run=lambda: Answer(201, {"a": 1}), refuse=_never)
    assert IdempotencyRecord.objects.exists()
    return acme


def _never(error: Any) -> Answer:
    raise AssertionError(error)
