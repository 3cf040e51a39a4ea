"""Customers come with an organization and a wallet, and leave a trail."""

import pytest

from accounts.models import AuditEvent, Organization
from accounts.services.audit import SYSTEM
from billing.errors import AlreadyExists
from billing.models import Balance, Customer, OutboxEvent, Wallet
from billing.services.customer import customers
from tests.builders import Shop


def test_a_customer_comes_with_an_organization_a_wallet_and_an_empty_balance(shop: Shop) -> None:
    acme = customers.create(
        actor=SYSTEM, external_id="acme", name="Acme", currency=shop.usd, email="billing@acme.test", country="US"
    )

    assert (acme.organization.name, acme.timezone, acme.on_insufficient_funds) == ("Acme", "UTC", "reject")
    balance = Balance.objects.get(wallet=acme.wallet)
    assert (balance.customer, balance.asset_id, balance.available, balance.seq) == (acme, "usd", 0, 0)
    assert OutboxEvent.objects.get().payload == {"customer": "acme"}
    trail = AuditEvent.objects.get(action="customer.created")
    assert (trail.actor_kind, trail.object_id, trail.organization_id) == ("system", "acme", acme.organization_id)
    assert trail.after == {"name": "Acme", "currency": "usd", "email": "billing@acme.test", "country": "US"}


def test_a_second_customer_with_the_same_id_is_refused_and_leaves_nothing(shop: Shop) -> None:
    shop.customer()

    with pytest.raises(AlreadyExists):
        shop.customer(plan=None)

    assert Customer.objects.count() == Wallet.objects.count() == Organization.objects.count() == 1
    assert AuditEvent.objects.filter(action="customer.created").count() == 1


def test_ids_differ_by_case(shop: Shop) -> None:
    shop.customer("acme", plan=None)

    assert shop.customer("ACME", plan=None).external_id == "ACME"


def test_a_change_is_on_the_trail_with_before_and_after(shop: Shop) -> None:
    acme = shop.customer(plan=None, email="old@acme.test")

    changed = customers.update(
        actor=SYSTEM, customer=acme, changes={"email": "new@acme.test", "name": "Acme", "metadata": {"tier": "gold"}}
    )

    assert (changed.email, changed.metadata) == ("new@acme.test", {"tier": "gold"})
    trail = AuditEvent.objects.get(action="customer.changed")
    assert trail.before == {"email": "old@acme.test", "metadata": {}}
    assert trail.after == {"email": "new@acme.test", "metadata": {"tier": "gold"}}


def test_what_stays_the_same_leaves_no_trace(shop: Shop) -> None:
    acme = shop.customer(plan=None)

    customers.update(actor=SYSTEM, customer=acme, changes={"name": acme.name})

    assert not AuditEvent.objects.filter(action="customer.changed").exists()


@pytest.mark.parametrize("field", ["external_id", "currency", "organization", "id"])
def test_what_a_customer_is_cannot_be_changed(shop: Shop, field: str) -> None:
    with pytest.raises(AssertionError):
        customers.update(actor=SYSTEM, customer=shop.customer(plan=None), changes={field: "other"})
