"""The one way to load a customer's row for a request. What is not theirs is not there: 404, never 403."""

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from accounts.models import ApiKey
from accounts.services import api_keys
from accounts.services.api_keys import Principal
from billing.errors import InvalidRequest, NotFound, PermissionDenied
from billing.models import (
    Alert,
    Authorization,
    Budget,
    ChargeDispute,
    Customer,
    Dispute,
    Grant,
    Invoice,
    PaymentMethod,
    Plan,
    RecurringGrant,
    Subscription,
    SubscriptionPhase,
    TopUp,
    UsageEvent,
    WebhookDelivery,
    WebhookEndpoint,
)

_Row = TypeVar("_Row", bound=Model)


def customer(*, principal: Principal, external_id: str) -> Customer:
    """The customer with this external id, if the principal reaches it."""
    found = Customer.objects.select_related("currency").filter(external_id=external_id)
    if principal.organization_id is not None:
        found = found.filter(organization_id=principal.organization_id)
    row = found.first()
    if row is None:
        raise NotFound(f"There is no customer {external_id}.")
    return row


def customers(*, principal: Principal) -> list[UUID] | None:
    """The ids of the customers the principal reaches; None for all of them."""
    if principal.organization_id is None:
        return None
    return list(Customer.objects.filter(organization_id=principal.organization_id).values_list("id", flat=True))


def listed(rows: QuerySet[_Row], *, principal: Principal, external_id: str | None) -> QuerySet[_Row]:
    """Those of ``rows`` that are of the customer named, or, where none is, of any that the principal reaches."""
    if external_id is not None:
        return rows.filter(customer=customer(principal=principal, external_id=external_id))
    reachable = customers(principal=principal)
    return rows if reachable is None else rows.filter(customer_id__in=reachable)


def usage_event(
    *,
    principal: Principal,
    event_id: str,
    external_id: str | None = None,
    source: str | None = None,
    only: bool = False,
) -> UsageEvent:
    """The newest event with this id that the principal reaches: ids are unique only per customer and source.

    With ``only`` there must be no other, so that what is done to it is not done to the wrong one: ``InvalidRequest``.
    """
    events = UsageEvent.objects.filter(event_id=event_id)
    found = listed(events, principal=principal, external_id=external_id)
    if source is not None:
        found = found.filter(source=source)
    rows = list(found.select_related("customer").order_by("-id")[:2])
    if not rows:
        raise NotFound(f"There is no event {event_id}.")
    if only and len(rows) > 1:
        raise InvalidRequest.field("customer", "several events have this id: name the customer and the source")
    return rows[0]


def named_key(*, principal: Principal, customer: Customer, key_id: UUID) -> UUID:
    """The customer's own key with this id, which an operator's key says that a call is made with.

    Raises ``InvalidRequest`` where there is none, or a customer's key names it, and ``PermissionDenied`` where the key
    could not make the call itself: it has ended, or is paused.
    """
    if principal.organization_id is not None:
        raise InvalidRequest.field("api_key", "is for the operator's keys to name")
    key = ApiKey.objects.filter(pk=key_id, organization_id=customer.organization_id).first()
    if key is None:
        raise InvalidRequest.field("api_key", "is the id of no key of this customer", code="not_found")
    if obstacle := api_keys.obstacle(key):
        raise PermissionDenied(obstacle)
    return key.pk


def authorization(*, principal: Principal, authorization_id: UUID) -> Authorization:
    """The authorization with this id, if the principal reaches its customer."""
    rows = Authorization.objects.select_related("customer", "asset").filter(pk=authorization_id)
    return _one(_reached(principal, rows), "authorization")


def own_authorization(*, principal: Principal, authorization_id: UUID) -> Authorization:
    """The same, to capture or void it.

    Raises ``PermissionDenied`` where a customer's key asks and the operator's set it aside: else whoever reads its id
    could give back what a model that runs is about to use.
    """
    found = authorization(principal=principal, authorization_id=authorization_id)
    own = principal.organization_id
    opened_by = found.opened_by_id or found.api_key_id
    if own is None or (opened_by and ApiKey.objects.filter(pk=opened_by, organization_id=own).exists()):
        return found
    raise PermissionDenied("Only the operator's keys capture and void what they set aside.")


def grant(*, principal: Principal, grant_id: UUID) -> Grant:
    """The grant with this id, if the principal reaches its customer."""
    rows = Grant.objects.select_related("customer").filter(pk=grant_id)
    return _one(_reached(principal, rows), "grant")


def recurring_grant(*, principal: Principal, recurring_id: UUID) -> RecurringGrant:
    """The recurring grant with this id, if the principal reaches its customer."""
    rows = RecurringGrant.objects.select_related("customer").filter(pk=recurring_id)
    return _one(_reached(principal, rows), "recurring grant")


def subscription(*, principal: Principal, subscription_id: UUID) -> Subscription:
    """The subscription with this id, if the principal reaches its customer."""
    rows = Subscription.objects.select_related(
        "customer", "plan__currency", "plan_version__plan__currency", "next_version__plan"
    ).filter(pk=subscription_id)
    return _one(_reached(principal, rows), "subscription")


def plans(*, principal: Principal) -> QuerySet[Plan]:
    """The plans that the principal sees: a customer's key those that are offered, and those that its customer is on,
    was on, or is to be moved to. What is worked out for somebody else is not there."""
    reachable = customers(principal=principal)
    if reachable is None:
        return Plan.objects.all()
    own = Subscription.objects.filter(customer_id__in=reachable)
    on = SubscriptionPhase.objects.filter(customer_id__in=reachable)
    at_cap = Budget.objects.filter(customer_id__in=reachable, removed_at=None)
    return Plan.objects.filter(
        Q(offered=True)
        | Q(pk__in=own.values("plan"))
        | Q(pk__in=own.values("next_version__plan"))
        | Q(pk__in=on.values("plan_version__plan"))
        | Q(pk__in=at_cap.values("plan"))
    )


def plan(*, principal: Principal, code: str) -> Plan:
    """The plan with this code, if the principal sees it."""
    found = plans(principal=principal).filter(code=code).first()
    if found is None:
        raise NotFound(f"There is no plan {code}.")
    return found


def invoice(*, principal: Principal, invoice_id: UUID) -> Invoice:
    """The invoice with this id, if the principal reaches its customer."""
    rows = Invoice.objects.select_related("customer", "collection").filter(pk=invoice_id)
    return _one(_reached(principal, rows), "invoice")


def dispute(*, principal: Principal, dispute_id: UUID) -> ChargeDispute | Dispute:
    """The case with this id, of charges or of a payment, if the principal reaches its customer."""
    charges = ChargeDispute.objects.select_related("customer").filter(pk=dispute_id)
    payments = Dispute.objects.select_related("customer", "top_up__attempt").filter(pk=dispute_id)
    return _reached(principal, charges).first() or _one(_reached(principal, payments), "dispute")


def top_up(*, principal: Principal, top_up_id: UUID) -> TopUp:
    """The top-up with this id, if the principal reaches its customer."""
    rows = TopUp.objects.select_related("customer", "attempt", "pack").filter(pk=top_up_id)
    return _one(_reached(principal, rows), "top-up")


def payment_method(*, customer: Customer, method_id: str) -> PaymentMethod:
    """The customer's payment method with this id of the provider's."""
    rows = PaymentMethod.objects.select_related("customer").filter(customer=customer, provider_id=method_id)
    return _one(rows, "payment method")


def budget(*, principal: Principal, external_id: str, budget_id: UUID) -> Budget:
    """The customer's budget with this id, if the principal reaches the customer."""
    owner = customer(principal=principal, external_id=external_id)
    rows = Budget.objects.select_related("customer", "asset", "member", "plan").filter(pk=budget_id, customer=owner)
    return _one(rows.filter(removed_at=None), "budget")


def alert(*, principal: Principal, external_id: str, alert_id: UUID) -> Alert:
    """The customer's alert with this id, if the principal reaches the customer."""
    owner = customer(principal=principal, external_id=external_id)
    rows = Alert.objects.select_related("customer").filter(pk=alert_id, customer=owner, removed_at=None)
    return _one(rows, "alert")


def webhook_endpoints(*, principal: Principal) -> QuerySet[WebhookEndpoint]:
    """The endpoints that the principal reaches: a customer's key those of its customer."""
    return _reached(principal, WebhookEndpoint.objects.select_related("customer").filter(deleted_at=None))


def webhook_endpoint(*, principal: Principal, endpoint_id: UUID) -> WebhookEndpoint:
    """The endpoint with this id, if the principal reaches it."""
    return _one(webhook_endpoints(principal=principal).filter(pk=endpoint_id), "webhook endpoint")


def webhook_delivery(*, endpoint: WebhookEndpoint, delivery_id: UUID) -> WebhookDelivery:
    """What was sent to the endpoint under this id."""
    rows = WebhookDelivery.objects.select_related("endpoint__customer").filter(endpoint=endpoint, pk=delivery_id)
    return _one(rows, "delivery")


def operator(*, principal: Principal) -> None:
    """Refuse a customer's key where only the operator's may act."""
    if principal.organization_id is not None:
        raise PermissionDenied("Only the operator's keys may do this.")


def _reached(principal: Principal, rows: QuerySet[_Row]) -> QuerySet[_Row]:
    """Those of ``rows`` whose customer the principal reaches."""
    if principal.organization_id is None:
        return rows
    return rows.filter(customer__organization_id=principal.organization_id)


def _one(rows: QuerySet[_Row], what: str) -> _Row:
    row = rows.first()
    if row is None:
        raise NotFound(f"There is no such {what}.")
    return row
