"""``/customers``, and below each its wallet, grants and statement."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.schema import customers as schema
from billing.engine.money import amount_string
from billing.errors import InvalidRequest
from billing.models import Asset, Customer, EntryKind, Grant
from billing.selectors.ledger import balances, history, statements
from billing.services.customer import customers
from billing.services.idempotency import Answer
from billing.services.wallet import grants, wallets


class CustomersView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "customers:write", "GET": "customers:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.CREATE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = serializers.read(serializers.CustomerCreate, request)
            customer = customers.create(actor=actor(request), **data)
            return Answer(201, show(customer))

        return self.once(request, create)

    @schema.LIST
    def get(self, request: Request) -> Response:
        rows = Customer.objects.all()
        reachable = access.customers(principal=principal(request))
        if reachable is not None:
            rows = rows.filter(pk__in=reachable)
        return Response(pagination.page(request, rows, show))


class CustomerView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "customers:read", "PATCH": "customers:write"}

    @schema.GET
    def get(self, request: Request, external_id: str) -> Response:
        return Response(show(access.customer(principal=principal(request), external_id=external_id)))

    @schema.PATCH
    def patch(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        changes = serializers.read(serializers.CustomerChange, request)
        return Response(show(customers.update(actor=actor(request), customer=customer, changes=changes)))


class WalletView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read", "PATCH": "wallets:write"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("at",)}

    @schema.WALLET
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        at = base.moment(request, "at")
        if at is None:
            return Response(self._show(customer, balances.current([customer.pk])))
        if at > timezone.now():
            raise InvalidRequest.field("at", "is in the future")
        return Response({**self._show(customer, history.balances([customer.pk], at=at)), "at": moment_string(at)})

    @schema.WALLET_PATCH
    def patch(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        data = serializers.read(serializers.OverdraftChange, request)

        wallets.set_overdraft_limit(
            actor=actor(request), customer=customer, asset=data["asset"], limit=data["overdraft_limit"]
        )
        return Response(self._show(customer, balances.current([customer.pk])))

    def _show(self, customer: Customer, found: Iterable[balances.BalanceNow]) -> dict[str, Any]:
        return {
            "customer": customer.external_id,
            "balances": [
                {
                    "asset": balance.asset,
                    "available": amount_string(balance.available),
                    "held": amount_string(balance.held),
                    "overdraft_limit": amount_string(balance.overdraft_limit),
                    "lifetime_granted": amount_string(balance.lifetime_granted),
                    "lifetime_spent": amount_string(balance.lifetime_spent),
                }
                for balance in found
            ],
        }


class GrantsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "grants:write", "GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.GRANT
    def post(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)

        def create() -> Answer:
            data = serializers.read(serializers.GrantCreate, request)
            paid = data.pop("paid", None)
            if paid is not None:
                data |= {"paid_amount": paid["amount"], "paid_currency": paid["currency"]}
            grant = grants.create(actor=actor(request), customer=customer, **data)
            return Answer(201, show_grant(grant, customer))

        return self.once(request, create)

    @schema.GRANTS
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        rows = Grant.objects.filter(customer=customer)
        return Response(pagination.page(request, rows, lambda grant: show_grant(grant, customer)))


class GrantVoidView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "grants:write"}

    @schema.GRANT_VOID
    def post(self, request: Request, grant_id: UUID) -> Response:
        access.operator(principal=principal(request))
        grant = access.grant(principal=principal(request), grant_id=grant_id)
        data = serializers.read(serializers.GrantVoid, request)

        def void() -> Answer:
            voided = grants.void(actor=actor(request), grant=grant, reason=data["reason"])
            return Answer(200, show_grant(voided, grant.customer))

        return self.once(request, void)


class LedgerView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("asset", "kind", *base.WINDOW, *base.PAGE)}

    @schema.LEDGER
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        kind = base.text(request, "kind")
        if kind is not None and kind not in EntryKind.values:
            raise InvalidRequest.field("kind", f"One of {', '.join(EntryKind.values)}.")
        asset = base.text(request, "asset")
        if asset is not None and not Asset.objects.filter(pk=asset).exists():
            raise InvalidRequest.field("asset", "There is no such asset.")
        page = statements.page(
            customer_id=customer.pk,
            asset=asset,
            kind=kind,
            start=base.moment(request, "from"),
            end=base.moment(request, "to"),
            before=pagination.cursor(request),
            limit=pagination.limit_of(request),
        )
        return Response(pagination.envelope([_show_entry(row) for row in page.rows], page.next_cursor))


def show(customer: Customer) -> dict[str, Any]:
    return {
        "external_id": customer.external_id,
        "name": customer.name,
        "email": customer.email,
        "currency": customer.currency_id.upper(),
        "country": customer.country,
        "timezone": customer.timezone,
        "on_insufficient_funds": customer.on_insufficient_funds,
        "overdue_action": customer.overdue_action,
        "overdue_grace_days": customer.overdue_grace_days,
        "metadata": customer.metadata,
        "created_at": moment_string(customer.created_at),
    }


def show_grant(grant: Grant, customer: Customer) -> dict[str, Any]:
    paid = None
    if grant.paid_currency_id is not None:
        paid = {"amount": amount_string(grant.paid_amount), "currency": grant.paid_currency_id.upper()}
    return {
        "id": str(grant.pk),
        "customer": customer.external_id,
        "asset": grant.asset_id,
        "amount": amount_string(grant.amount),
        "remaining": amount_string(grant.remaining),
        "held": amount_string(grant.held),
        "status": grant.status_at(timezone.now()).value,
        "kind": grant.kind,
        "priority": grant.priority,
        "effective_at": moment_string(grant.effective_at),
        "expires_at": moment_or_none(grant.expires_at),
        "paid": paid,
        "applies_to": grant.applies_to,
        "name": grant.name,
        "metadata": grant.metadata,
        "created_at": moment_string(grant.created_at),
    }


def _show_entry(row: statements.StatementRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "transaction": str(row.transaction_id),
        "kind": row.kind,
        "asset": row.asset,
        "amount": amount_string(row.amount),
        "balance_after": amount_string(row.balance_after),
        "grant": None if row.grant_id is None else str(row.grant_id),
        "event": row.event,
        "occurred_at": moment_string(row.occurred_at),
        "posted_at": moment_string(row.posted_at),
    }
