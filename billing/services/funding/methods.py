"""What payers keep with the provider, mirrored: enough to choose one, and no more."""

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services import audit
from billing.errors import NotFound, PaymentsUnavailable
from billing.gateways.payments import Refused, Unreachable
from billing.models import Customer, PaymentMethod, PaymentProfile
from billing.services.funding import profiles


def open_setup(*, customer: Customer, return_url: str, cancel_url: str) -> str:
    """The address of the provider's page on which a method can be added. Not to be called in a transaction."""
    gateway, profile = profiles.payments(), profiles.ensure(customer)
    try:
        return gateway.open_setup(
            customer_id=profile.provider_id,
            currency=customer.currency_id,
            return_url=return_url,
            cancel_url=cancel_url,
        )
    except (Refused, Unreachable) as trouble:
        raise PaymentsUnavailable(f"The payment provider does not take it: {trouble}") from trouble


def sync(profile_id: UUID) -> None:
    """Read the customer's methods from the provider and keep them here as they are there. Not in a transaction."""
    gateway = profiles.payments()
    profile = PaymentProfile.objects.get(pk=profile_id)
    if profile.mode != gateway.mode:
        return
    asked = timezone.now()
    found = {method.id: method for method in gateway.methods(profile.provider_id)}
    with transaction.atomic():
        # What was read before somebody else's reading is old.
        newest = PaymentProfile.objects.filter(pk=profile_id).exclude(methods_read_at__gt=asked)
        if not newest.update(methods_read_at=asked):
            return
        for method in found.values():
            PaymentMethod.objects.update_or_create(
                customer_id=profile.customer_id,
                provider_id=method.id,
                defaults={
                    "mode": profile.mode,
                    "type": method.type[:32],
                    "brand": method.brand[:64],
                    "last4": method.last4[:4],
                    "exp_month": method.exp_month,
                    "exp_year": method.exp_year,
                    "removed_at": None,
                },
            )
        gone = kept(profile.customer_id, profile.mode).exclude(provider_id__in=found)
        gone.update(removed_at=asked)


def kept(customer_id: UUID, mode: str) -> QuerySet[PaymentMethod]:
    """The methods that the customer can be charged with."""
    return PaymentMethod.objects.filter(customer_id=customer_id, mode=mode, removed_at__isnull=True)


def remove(*, actor: audit.Actor, method: PaymentMethod) -> None:
    """Let the provider forget the method. Asked again it does nothing. Not to be called in a transaction."""
    gateway = profiles.payments()
    if method.removed_at is not None or method.mode != gateway.mode:
        raise NotFound("There is no such payment method.")
    try:
        gateway.remove_method(method.provider_id)
    except Refused:
        pass  # It was removed there before.
    except Unreachable as trouble:
        raise PaymentsUnavailable("The payment provider does not answer. Try again in a minute.") from trouble
    with transaction.atomic():
        PaymentMethod.objects.filter(pk=method.pk).update(removed_at=timezone.now())
        audit.record(
            actor=actor,
            action="payment_method.removed",
            object_type="payment_method",
            object_id=method.provider_id,
            organization_id=method.customer.organization_id,
            before={"customer": method.customer.external_id, "type": method.type, "last4": method.last4},
        )
