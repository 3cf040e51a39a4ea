"""Customers: each comes with an organization for its people and a wallet for its value."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Organization
from accounts.services import audit
from billing.errors import AlreadyExists, FieldError, InvalidRequest, InvalidState
from billing.models import Approval, Asset, Customer
from billing.services import four_eyes, outbox
from billing.services.alerts import defaults
from billing.services.retrying import retried
from billing.services.wallet import wallets

CREDIT = ("on_insufficient_funds", "overdue_action", "overdue_grace_days")
"""What decides how far, and how long, usage goes on unpaid."""
CHANGEABLE = ("name", "email", "country", "timezone", *CREDIT, "metadata")


@cache
def _zones() -> frozenset[str]:
    """As the API knows them: zones with leap seconds (``right/…``) are not among them, nor in every database."""
    return frozenset(available_timezones())


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "country": (lambda value: re.fullmatch("([A-Z]{2})?", value) is not None, "Two capital letters, such as DE."),
    "timezone": (
        lambda value: value in _zones(),
        "There is no such time zone; an IANA name such as Europe/Berlin is needed.",
    ),
    "overdue_grace_days": (
        lambda value: value is None or 0 <= value <= Customer.GRACE_DAYS_MAX,
        f"From 0 to {Customer.GRACE_DAYS_MAX} days.",
    ),
    "metadata": (lambda value: isinstance(value, dict), "A JSON object is needed."),
}


def check(fields: Mapping[str, Any]) -> None:
    """Raises ``InvalidRequest`` with an error for each field with which usage or invoices would come to grief."""
    wrong = [
        FieldError(name, "invalid", said)
        for name, (holds, said) in _RULES.items()
        if name in fields and not holds(fields[name])
    ]
    if wrong:
        raise InvalidRequest("; ".join(f"{each.field}: {each.detail}" for each in wrong), errors=wrong)


def create(*, actor: audit.Actor, external_id: str, name: str, currency: Asset, **fields: Any) -> Customer:
    """Add a customer, with the operator's default alerts. Raises ``AlreadyExists`` where the external id is taken, and
    as ``check`` does."""
    check(fields)
    try:
        with transaction.atomic():
            organization = Organization.objects.create(name=name)
            customer = Customer.objects.create(
                external_id=external_id, name=name, currency=currency, organization=organization, **fields
            )
            wallets.create(customer=customer)
            audit.record(
                actor=actor,
                action="customer.created",
                object_type="customer",
                object_id=external_id,
                organization_id=organization.pk,
                after={"name": name, "currency": currency.code, **fields},
            )
            defaults.add(actor=actor, customer=customer)
            outbox.publish(
                [outbox.Message("customer.created", customer.pk, {"customer": external_id})], now=timezone.now()
            )
    except IntegrityError as error:
        if Customer.objects.filter(external_id=external_id).exists():
            raise AlreadyExists(f"There is a customer {external_id} already.") from error
        raise
    return customer


@retried
def update(
    *, actor: audit.Actor, customer: Customer, changes: Mapping[str, Any], approval: Approval | None = None
) -> Customer:
    """Change the fields in ``CHANGEABLE``; what stays the same leaves no trace.

    From a person, that usage may go on below zero needs a second one: ``ApprovalRequired`` (``four_eyes``). Raises as
    ``check`` does, and ``InvalidState`` for a customer who was erased.
    """
    assert set(changes) <= set(CHANGEABLE)
    check(changes)
    with transaction.atomic():
        customer = Customer.objects.select_for_update().get(pk=customer.pk)
        if customer.erased_at is not None:
            raise InvalidState(f"{customer.external_id} was erased: nothing is kept about it any more.")
        before, changed = audit.differing(customer, changes)
        if not changed:
            return customer
        if changed.get("on_insufficient_funds") == Customer.FundsPolicy.OVERDRAFT:
            four_eyes.check(
                actor=actor,
                kind=Approval.Kind.OVERDRAFT_LIMIT,
                amounts={},
                endless=customer.currency_id,
                customer_id=customer.pk,
                approval=approval,
            )
        for field, value in changed.items():
            setattr(customer, field, value)
        customer.save(update_fields=list(changed))
        audit.record(
            actor=actor,
            action="customer.changed",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            before=before,
            after=changed,
        )
    return customer
