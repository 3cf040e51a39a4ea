"""All that is kept about an organization and its people, as the files of one archive."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet

from accounts.models import ApiKey, AuditEvent, Invitation, User
from accounts.services import audit, privacy
from billing.models import (
    Alert,
    Budget,
    Customer,
    Grant,
    Invoice,
    LedgerEntry,
    NoticeDelivery,
    NoticePreference,
    NoticeTarget,
    PaymentMethod,
    RecurringGrant,
    Refund,
    Subscription,
    TopUp,
    UsageEvent,
    WebhookEndpoint,
)

STEP = 2000
"""Rows read at once: each statement is short, however much there is."""

Files = Iterator[tuple[str, Iterable[str]]]


def of_person(user: User) -> Files:
    """Everything about one person, whoever they act for."""
    yield "person.json", _document(privacy.of_person(user))
    wishes = NoticePreference.objects.filter(user=user)
    yield (
        "notice-preferences.json",
        _document([_row(wish, "email_topics", "quiet_from", "quiet_until") for wish in wishes]),
    )
    targets = NoticeTarget.objects.filter(user=user)
    yield (
        "notice-targets.json",
        _document([_row(target, "channel", "address", "topics", "confirmed_at") for target in targets]),
    )
    yield (
        "notices.jsonl",
        _lines(
            NoticeDelivery.objects.filter(user=user).select_related("notice"),
            "channel",
            "state",
            "sent_at",
            "read_at",
            "notice",
        ),
    )


def of_organization(customer: Customer) -> Files:
    """Everything about a customer: who they are, their people, their usage, their money."""
    organization = customer.organization
    yield (
        "organization.json",
        _document(
            {
                **_row(customer, "external_id", "name", "email", "country", "timezone", "metadata", "created_at"),
                "allowed_networks": organization.allowed_networks,
                "people": [
                    {"name": one.user.name, "email": one.user.email, "role": one.role, "since": one.created_at}
                    for one in organization.memberships.select_related("user")
                ],
                "invitations": _rows(
                    Invitation.objects.filter(organization=organization), "email", "role", "created_at", "accepted_at"
                ),
                "api_keys": _rows(
                    ApiKey.objects.filter(organization=organization),
                    "name",
                    "prefix",
                    "scopes",
                    "created_at",
                    "revoked_at",
                ),
                "budgets": _rows(
                    Budget.objects.filter(customer=customer), "name", "scope", "limit", "period", "removed_at"
                ),
                "alerts": _rows(Alert.objects.filter(customer=customer), "kind", "at", "of", "removed_at"),
                "webhooks": _rows(WebhookEndpoint.objects.filter(customer=customer), "url", "events", "created_at"),
                "payment_methods": _rows(
                    PaymentMethod.objects.filter(customer=customer),
                    "type",
                    "brand",
                    "last4",
                    "created_at",
                    "removed_at",
                ),
                "recurring_grants": _rows(
                    RecurringGrant.objects.filter(customer=customer),
                    *("name", "asset_id", "amount", "interval", "starts_at", "next_at", "canceled_at"),
                ),
                "subscriptions": _rows(
                    Subscription.objects.filter(customer=customer).select_related("plan"),
                    "plan",
                    "starts_at",
                    "ends_at",
                ),
            }
        ),
    )
    top_ups = TopUp.objects.filter(customer=customer)
    yield "top-ups.jsonl", _lines(top_ups, "amount", "currency_id", "status", "fee", "tax", "created_at", "settled_at")
    refunds = Refund.objects.filter(customer=customer)
    yield "refunds.jsonl", _lines(refunds, "amount", "currency_id", "status", "created_at", "finished_at")
    invoices = Invoice.objects.filter(customer=customer)
    yield "invoices.jsonl", _lines(invoices, "number", "period_start", "period_end", "buyer", "total", "due_on")
    grants = Grant.objects.filter(customer=customer)
    yield "grants.jsonl", _lines(grants, "asset_id", "kind", "name", "amount", "remaining", "expires_at", "metadata")
    yield (
        "ledger.jsonl",
        _lines(
            LedgerEntry.objects.filter(customer=customer),
            *("kind", "asset_id", "amount", "debit", "credit", "available_after", "occurred_at", "posted_at"),
        ),
    )
    yield (
        "usage-events.jsonl",
        _lines(
            UsageEvent.objects.filter(customer=customer),
            *("source", "event_id", "type", "status", "occurred_at", "received_at", "data", "extensions"),
        ),
    )
    trail = AuditEvent.objects.filter(organization_id=organization.pk)
    operators = audit.operators()
    yield "audit.jsonl", (_text(privacy.line_of(line, operators)) + "\n" for line in _all(trail))


def _lines(rows: QuerySet[Any], *fields: str) -> Iterator[str]:
    for row in _all(rows):
        yield _text({"id": row.pk, **_row(row, *fields)}) + "\n"


def _all(rows: QuerySet[Any]) -> Iterator[Any]:
    """Every row, oldest first: identifiers grow with time."""
    rows = rows.order_by("pk")
    found = list(rows[:STEP])
    while found:
        yield from found
        found = list(rows.filter(pk__gt=found[-1].pk)[:STEP])


def _rows(rows: QuerySet[Any], *fields: str) -> list[dict[str, Any]]:
    return [_row(row, *fields) for row in rows]


def _row(row: Model, *fields: str) -> dict[str, Any]:
    found = {field: getattr(row, field) for field in fields}
    return {field: str(value) if isinstance(value, Model) else value for field, value in found.items()}


def _document(content: Any) -> list[str]:
    return [json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2) + "\n"]


def _text(content: Any) -> str:
    return json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False)
