"""All that is kept about an organization and its people, as the files of one archive."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet

from accounts import steps
from accounts.models import ApiKey, AuditEvent, IdentityProvider, Invitation, User
from accounts.services import audit, privacy
from billing.models import (
    Alert,
    Authorization,
    AutoTopUp,
    Balance,
    Budget,
    BudgetCounter,
    ChargeDispute,
    Collection,
    Customer,
    Grant,
    Invoice,
    LedgerEntry,
    Note,
    Notice,
    NoticeDelivery,
    NoticePreference,
    NoticeTarget,
    PaymentAttempt,
    PaymentMethod,
    PaymentProfile,
    RecurringGrant,
    Refund,
    SpendAnomaly,
    Subscription,
    TaxProfile,
    TopUp,
    UsageEvent,
    Wallet,
    WebhookDelivery,
    WebhookEndpoint,
)

AUTHOR = "staff"
"""Who wrote a note: whom of the staff that was is not about the customer."""

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
    yield "audit.jsonl", _trail(privacy.trail_of(user))


def of_organization(customer: Customer, *, notes: bool = False) -> Files:
    """Everything about a customer: who they are, their people, their usage, their money.

    With ``notes``, what staff wrote down about them as well: whoever hands that out looks at it first.
    """
    organization = customer.organization
    yield (
        "organization.json",
        _document(
            {
                **_row(customer, "external_id", "name", "email", "country", "timezone", "metadata", "created_at"),
                "allowed_networks": organization.allowed_networks,
                "frozen_at": Wallet.objects.get(customer=customer).frozen_at,
                "balances": _rows(Balance.objects.filter(customer=customer), "asset_id", "available", "owed"),
                "tax_profile": _rows(
                    TaxProfile.objects.filter(customer=customer),
                    *("tax_id", "region", "exempt_reason", "address", "changed_at"),
                ),
                "single_sign_on": _rows(
                    IdentityProvider.objects.filter(organization=organization),
                    *("short_name", "issuer", "client_id", "required", "created_at"),
                ),
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
                "payment_profiles": _rows(
                    PaymentProfile.objects.filter(customer=customer), "mode", "provider_id", "created_at"
                ),
                "auto_top_ups": _rows(
                    AutoTopUp.objects.filter(customer=customer),
                    *("purpose", "enabled", "asset_id", "threshold", "amount", "target", "every", "created_at"),
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
    yield from _money(customer)
    yield from _said(customer)
    if notes:
        yield "notes.jsonl", _noted(customer)
    yield (
        "usage-events.jsonl",
        _lines(
            UsageEvent.objects.filter(customer=customer),
            *("source", "event_id", "type", "status", "occurred_at", "received_at", "data", "extensions"),
        ),
    )
    trail = AuditEvent.objects.filter(organization_id=organization.pk)
    operators = audit.operators()
    yield "audit.jsonl", _trail(privacy.line_of(line, operators) for line in steps.every(trail))


def _money(customer: Customer) -> Files:
    """What came in, what it became, and what was asked for."""
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
    attempts = PaymentAttempt.objects.filter(customer=customer)
    yield (
        "payment-attempts.jsonl",
        _lines(
            attempts,
            *(
                "purpose",
                "status",
                "amount",
                "currency_id",
                "method_type",
                "method_brand",
                "method_last4",
                "created_at",
            ),
        ),
    )
    collections = Collection.objects.filter(customer=customer).select_related("invoice")
    yield "collections.jsonl", _lines(collections, "invoice", "state", "tries", "reminders", "closed_at")
    held = Authorization.objects.filter(customer=customer)
    yield (
        "authorizations.jsonl",
        _lines(
            held,
            *("status", "asset_id", "amount", "captured", "type", "data", "reason"),
            *("created_at", "expires_at", "closed_at"),
        ),
    )


def _said(customer: Customer) -> Files:
    """What the customer said, and what they were told."""
    disputed = ChargeDispute.objects.filter(customer=customer)
    yield "charge-disputes.jsonl", _lines(disputed, "status", "reason", "answer", "created_at", "closed_at")
    yield "notices.jsonl", _lines(Notice.objects.filter(customer=customer), "kind", "title", "text", "created_at")
    sent = WebhookDelivery.objects.filter(customer=customer, endpoint__customer=customer)
    yield "webhook-deliveries.jsonl", _lines(sent, "type", "data", "state", "happened_at", "delivered_at")
    unusual = SpendAnomaly.objects.filter(customer=customer)
    yield "spend-anomalies.jsonl", _lines(unusual, "hour", "scope", "value", "asset_id", "spent", "usual", "level")
    counted = BudgetCounter.objects.filter(customer=customer).select_related("budget")
    yield "budget-counters.jsonl", _lines(counted, "budget", "value", "window_start", "window_end", "spent")


def _noted(customer: Customer) -> Iterator[str]:
    for note in steps.every(Note.objects.filter(customer=customer)):
        yield _text({"id": note.pk, "author": AUTHOR, **_row(note, "text", "created_at")}) + "\n"


def _trail(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (_text(line) + "\n" for line in lines)


def _lines(rows: QuerySet[Any], *fields: str) -> Iterator[str]:
    for row in steps.every(rows):
        yield _text({"id": row.pk, **_row(row, *fields)}) + "\n"


def _rows(rows: QuerySet[Any], *fields: str) -> list[dict[str, Any]]:
    return [_row(row, *fields) for row in rows]


def _row(row: Model, *fields: str) -> dict[str, Any]:
    found = {field: getattr(row, field) for field in fields}
    return {field: str(value) if isinstance(value, Model) else value for field, value in found.items()}


def _document(content: Any) -> list[str]:
    return [json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2) + "\n"]


def _text(content: Any) -> str:
    return json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False)
