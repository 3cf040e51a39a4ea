"""Who a customer is at the payment provider."""

from billing.errors import PaymentsUnavailable
from billing.gateways.payments import Provider, Refused, Unreachable, provider
from billing.models import Customer, PaymentProfile


def payments() -> Provider:
    """The provider that the settings name. Raises ``PaymentsUnavailable`` where there is none."""
    try:
        return provider()
    except Refused as refusal:
        raise PaymentsUnavailable(str(refusal)) from refusal


def payable() -> bool:
    """Whether there is a provider to pay through."""
    try:
        provider()
    except Refused:
        return False
    return True


def ensure(customer: Customer) -> PaymentProfile:
    """The customer's profile in the provider's present mode, made there if need be. Not to be called in a transaction.

    The provider keeps one customer for our id, however often it is asked.
    """
    gateway = payments()
    found = PaymentProfile.objects.filter(customer=customer, mode=gateway.mode).first()
    if found is not None:
        return found
    try:
        provider_id = gateway.create_customer(
            reference=str(customer.pk), external_id=customer.external_id, name=customer.name, email=customer.email
        )
    except (Refused, Unreachable) as trouble:
        raise PaymentsUnavailable(f"The payment provider does not take it: {trouble}") from trouble
    profile, _ = PaymentProfile.objects.get_or_create(
        customer=customer, mode=gateway.mode, defaults={"provider_id": provider_id}
    )
    return profile
