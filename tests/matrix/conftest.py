"""Two customers, each with a row of everything, and what tells whether one of them was read or written."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import (
    ApiKey,
    Authenticator,
    Identity,
    IdentityProvider,
    Invitation,
    Membership,
    Organization,
    Session,
    TrustedDevice,
    User,
)
from accounts.services import api_keys, audit, factors, staff, team
from billing.models import (
    Customer,
    Dispute,
    ExportFile,
    Notice,
    NoticeDelivery,
    Partner,
    PartnerAccrual,
    PartnerCustomer,
    PartnerPayout,
    ProviderEvent,
    UsageEvent,
    WhatIfRun,
)
from billing.services import approvals, authorizations, notices
from billing.services.catalog import costs, drafts
from billing.services.catalog.what_if import Result
from billing.services.customer import notes
from billing.services.funding import packs, rules
from billing.services.invoicing import invoices
from billing.services.notices import targets
from billing.services.wallet import charge_disputes, recurring, wallets
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.billing.api.test_access import closed_day
from tests.builders import Shop
from tests.payments import Bank, Payer


@pytest.fixture(autouse=True)
def _plain(plain_static_files: None, quick_passwords: None) -> None:
    """``plain_static_files`` and ``quick_passwords``, for all of them."""


OF_ACCOUNTS = (ApiKey, IdentityProvider, Invitation, Membership, Organization)
OF_PEOPLE = (Authenticator, Identity, Session, TrustedDevice, User)


@dataclass(slots=True)
class Tenant:
    """A customer. ``ids`` are the values of its rows for the arguments of addresses; ``mark`` is in all its texts."""

    customer: Customer
    owner: User
    ids: dict[str, str]
    mark: str

    def content(self) -> dict[str, str]:
        """A digest of all rows of the customer, its organization and its people, by table."""
        found: dict[str, str] = {}
        customer, organization = self.customer.pk, self.customer.organization_id
        people = list(Membership.objects.filter(organization=organization).values_list("user_id", flat=True))
        for model in [*apps.get_app_config("billing").get_models(), *OF_ACCOUNTS, *OF_PEOPLE]:
            columns = {field.attname for field in model._meta.concrete_fields}
            keys: list[Any]
            if model in OF_PEOPLE:
                where, keys = "id" if model is User else "user_id", people
            elif "customer_id" in columns:
                where, keys = "customer_id", [customer]
            elif "organization_id" in columns:
                where, keys = "organization_id", [organization]
            elif model in {Customer, Organization}:
                where, keys = "id", [customer if model is Customer else organization]
            else:
                continue
            table = model._meta.db_table
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t WHERE {where} = ANY(%s)",
                    [keys],
                )
                found[table] = str(cursor.fetchone()[0])
        return found


def tenant(shop: Shop, bank: Bank, name: str) -> Tenant:
    """A customer with money, grants, usage, an authorization, payments, limits, keys, people and notes."""
    mark = f"canary-{name}"
    customer = shop.customer(name, usd="50", name=f"{name} {mark}", email=f"{mark}@{name}.test")
    grant = shop.fund(customer, "3", kind="promotional", name=mark)
    event = shop.record(customer, id=f"event-of-{name}", model=mark, input_tokens=1000, user=mark)
    shop.record(customer, id=f"refused-{mark}", input_tokens=10**9)
    owner = shop.member(customer, f"{mark}-owner@{name}.test")
    viewer = Membership.objects.create(
        organization=customer.organization, user=User.objects.create_user(f"{mark}-2@{name}.test"), role="viewer"
    )
    device = factors.begin(owner, confirmed=True)
    key, _ = api_keys.issue(name=mark, scopes=["wallets:read"], organization=customer.organization)
    invitation, _ = team.invite(
        organization=customer.organization,
        email=f"{mark}-3@{name}.test",
        role="viewer",
        by=Membership.objects.get(user=owner),
        actor=audit.SYSTEM,
    )
    until = timezone.now() + timedelta(days=1)
    devices = [
        TrustedDevice.objects.create(user=owner, token_hash=token, bound_to=bound_to, name=mark, expires_at=until)
        for token, bound_to in ((mark.encode(), owner.get_session_auth_hash()), (b"of before" + mark.encode(), ""))
    ]
    provider = IdentityProvider.objects.create(
        organization=customer.organization,
        short_name=mark,
        issuer=f"https://{mark}.test",
        client_id=mark,
        client_secret=mark,
    )
    identity = Identity.objects.create(
        user=owner,
        provider=provider,
        membership=owner.memberships.get(),
        issuer=provider.issuer,
        subject=mark,
    )
    payer = Payer(shop, bank, customer)
    method, top_up = payer.keep(), payer.paid()
    bought = {"asset": shop.usd, "amount": Decimal(100)}
    later = timezone.now() + timedelta(days=9)
    for when in ({"threshold": Decimal(5)}, {"every": "month", "starts_at": later}):
        rules.put(actor=audit.SYSTEM, customer=customer, order=rules.Order(**when, **bought))
    terms = recurring.Terms(asset=shop.usd, amount=Decimal(1), interval="month", starts_at=later, name=mark)
    monthly = recurring.create(actor=audit.SYSTEM, customer=customer, terms=terms)
    opened = authorizations.open_amount(customer=customer, asset=shop.usd, amount=Decimal(1)).authorization
    endpoint, _ = endpoints.create(
        actor=audit.SYSTEM, may=anything, customer=customer, url=f"https://{mark}.test/", events=["*"]
    )
    endpoints.test(endpoint, may=anything)
    maker = User.objects.create_user(f"{mark}-maker@ante.test", is_staff=True)
    by = audit.Actor.of_user(maker, ip_address=None, request_id="")
    notes.add(actor=by, customer=customer, text=mark)
    waiting = approvals.perform(
        actor=by,
        kind="grant",
        customer=customer,
        terms={"asset": "usd", "amount": "1000000", "kind": "promotional"},
        reason=mark,
    )
    assert waiting is not None
    slack = f"https://hooks.slack.com/services/T1/B1/{name}{'x' * 8}"
    target = targets.add(
        actor=audit.SYSTEM, user=owner, customer=customer, channel="slack", address=slack, topics=["balance"]
    )
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=audit.SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(50))
    shop.record(customer, input_tokens=40_000_000)
    invoice = invoices.issue(shop.balance(customer), end=timezone.now())
    assert invoice is not None
    now = timezone.now()
    Notice.objects.create(customer=customer, kind="balance.low", title=mark, text=mark, created_at=now)
    notices.address()
    letter = NoticeDelivery.objects.get(customer=customer, user=owner, channel="email", notice__title=mark)
    NoticeDelivery.objects.filter(pk=letter.pk).update(last_error="ConnectionRefusedError")
    recorded = UsageEvent.objects.get(pk=event.transaction_id)
    dispute = charge_disputes.lodge(actor=audit.SYSTEM, customer=customer, events=[recorded], reason=mark)
    return Tenant(
        customer,
        owner,
        {
            "external_id": name,
            "grant_id": str(grant.pk),
            "recurring_id": str(monthly.pk),
            "event_id": f"event-of-{name}",
            "subscription_id": str(customer.subscriptions.get().pk),
            "authorization_id": str(opened.pk),
            "alert_id": str(shop.alert(customer, "5").pk),
            "budget_id": str(shop.budget(customer, "100", name=mark).pk),
            "dispute_id": str(dispute.pk),
            "top_up_id": str(top_up.pk),
            "method_id": method.provider_id,
            "key_id": str(key.pk),
            "invitation_id": str(invitation.pk),
            "membership_id": str(viewer.pk),
            "identity_id": str(identity.pk),
            "device_id": str(devices[0].pk),
            "persistent_id": device.persistent_id,
            "endpoint_id": str(endpoint.pk),
            "delivery_id": str(endpoint.deliveries.get().pk),
            "payment_method": method.provider_id,
            "invoice_id": str(invoice.pk),
            "event_pk": str(event.transaction_id),
            "kept_method": str(method.pk),
            "target_id": str(target.pk),
            "sent_id": str(letter.pk),
        },
        mark,
    )


@transaction.atomic
def of_the_operator(shop: Shop, acme: Tenant) -> None:
    """A row of what no customer makes: closed day, partner, tax, price, pack, replay, and what the provider said."""
    now, customer, day = timezone.now(), acme.customer, closed_day()
    terms: dict[str, Any] = {"base": "revenue", "steps": [["0", "0.1"]], "starts_on": day.date}
    partner = Partner.objects.create(code="agency", name="Agency", currency=shop.usd, **terms)
    PartnerCustomer.objects.create(partner=partner, customer=customer, starts_on=day.date)
    PartnerAccrual.objects.create(partner=partner, customer=customer, date=day.date, base=200, amount=20)
    PartnerPayout.objects.create(partner=partner, upto=day.date, amount=20, reference="SEPA 1")
    shop.tax("IS", "0.24")
    costs.create(actor=audit.SYSTEM, provider="openai", model="o", unit="input", unit_cost=Decimal(1))
    sold: dict[str, Any] = {"code": "ten", "name": "Ten", "asset": shop.usd, "amount": Decimal(10), "price": Decimal(9)}
    packs.create(actor=audit.SYSTEM, currency=shop.usd, **sold)
    told: dict[str, Any] = {"event_id": "evt_1", "type": "charge.succeeded", "object_id": "ch_1", "live": False}
    when: dict[str, Any] = dict.fromkeys(("happened_at", "received_at", "due_at"), now)
    ProviderEvent.objects.create(customer=customer, **told, **when, state="parked")
    asked: dict[str, Any] = {"mode": "stand-in", "provider_id": "dp_1", "status": "inquiry", "opened_at": now}
    top_up = acme.ids["top_up_id"]
    Dispute.objects.create(customer=customer, top_up_id=top_up, amount=Decimal(1), currency=shop.usd, **asked)
    replayed: dict[str, Any] = {"rows": [Result(acme.mark).as_strings()], "asked_by": acme.mark, "state": "done"}
    WhatIfRun.objects.create(only=customer, start=now - timedelta(days=1), end=now, **replayed)


@pytest.fixture
def acme(shop: Shop, bank: Bank) -> Tenant:
    staff.make_groups()
    shop.plan("second", [shop.price(shop.meter("seconds", "seconds"), "1")])
    prices = [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}]
    drafts.create(actor=audit.SYSTEM, plan=shop.plan().plan, terms={"prices": prices})
    now = timezone.now()
    ExportFile.objects.create(kind="events", format="jsonl", name="events.jsonl", until=9, due_at=now, created_at=now)
    made = tenant(shop, bank, "acme")
    of_the_operator(shop, made)
    return made


@pytest.fixture
def globex(acme: Tenant, shop: Shop, bank: Bank) -> Tenant:
    """The customer whose rows nobody of acme's may see or change."""
    return tenant(shop, bank, "globex")
