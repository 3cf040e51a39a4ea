"""Everything about disputed charges and payments, from the event as it was sent to the money that paid for it.

What comes out is plain: texts, numbers as decimal strings, lists and dictionaries, to be sent as JSON or set as paper.
Nothing in it says what usage costs the operator.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Max, Min, QuerySet, Sum
from django.utils import timezone

from accounts.ids import first_id
from accounts.models import ApiKey
from billing.engine.money import EXACT, ZERO, amount_string, amount_strings
from billing.engine.prices import words
from billing.models import (
    Authorization,
    ChargeDispute,
    Customer,
    Dispute,
    Grant,
    LedgerEntry,
    LedgerTransaction,
    Refund,
    Seal,
    TopUp,
    UsageEvent,
)
from billing.selectors.catalog import plan_terms
from billing.selectors.catalog.catalog import price_terms
from billing.selectors.ledger.statements import signed_amount
from billing.selectors.usage import events, receipts

EVENTS_MAX = 200
"""As many events of a payment are in a pack one by one; all are counted."""
_BESIDE = timedelta(seconds=5)
"""How far from the time of posting the ids of transactions may be."""

Plain = dict[str, Any]


def of_event(event: UsageEvent) -> Plain:
    """The pack of one usage event."""
    return _pack("event", event.customer, {}, [event])


def of_charge_dispute(dispute: ChargeDispute) -> Plain:
    """The pack of a case about charges."""
    case = {
        "id": str(dispute.pk),
        "status": dispute.status,
        "reason": dispute.reason,
        "answer": dispute.answer,
        "opened_at": _moment(dispute.created_at),
        "closed_at": _moment(dispute.closed_at),
    }
    return _pack("charges", dispute.customer, case, _events(dispute.customer_id, dispute.lines.values("event_id")))


def of_payment_dispute(dispute: Dispute) -> Plain:
    """The pack of a payment that its payer's bank wants back: what it bought, and what was used of that."""
    case = {
        "id": str(dispute.pk),
        "status": dispute.status,
        "reason": dispute.reason,
        "amount": amount_string(dispute.amount),
        "currency": dispute.currency_id.upper(),
        "top_up": str(dispute.top_up_id),
        "at_provider": dispute.provider_id,
        "opened_at": _moment(dispute.opened_at),
        "closed_at": _moment(dispute.closed_at),
    }
    top_up = dispute.top_up
    drawn = LedgerEntry.objects.filter(
        customer_id=dispute.customer_id,
        grant_id__in=[top_up.grant_id, top_up.bonus_grant_id],
        charge__isnull=False,
        kind="usage",
    )
    newest = drawn.values("transaction_id").annotate(last=Max("seq")).order_by("-last")[:EVENTS_MAX]
    ids = [row["transaction_id"] for row in newest]
    pack = _pack("payment", dispute.customer, case, _events(dispute.customer_id, ids), [top_up])
    return pack | {"used": {"shown": len(ids), **_used(drawn)}}


def _events(customer_id: UUID, ids: Any) -> list[UsageEvent]:
    rows = UsageEvent.objects.filter(customer_id=customer_id, pk__in=ids)
    return list(events.with_status(rows).order_by("pk"))


def _used(drawn: QuerySet[LedgerEntry]) -> Plain:
    """Summed by the database: a payment may have bought a million events."""
    found = drawn.aggregate(
        events=Count("transaction_id", distinct=True),
        amount=Sum("amount"),
        first=Min("occurred_at"),
        last=Max("occurred_at"),
    )
    return {
        "events": found["events"],
        "amount": amount_string(found["amount"] or ZERO),
        "first_at": _moment(found["first"]),
        "last_at": _moment(found["last"]),
    }


def _pack(kind: str, customer: Customer, case: Plain, found: Sequence[UsageEvent], paid: Sequence[TopUp] = ()) -> Plain:
    keys = ApiKey.objects.select_related("created_by").in_bulk({row.api_key_id for row in found if row.api_key_id})
    shown: list[Plain] = []
    entries: list[LedgerEntry] = []
    of_events = receipts.of_all(customer.pk, found)
    held = _authorizations(customer.pk, of_events)
    for event in found:
        receipt = of_events[event.pk]
        entries += receipt.entries
        shown.append(_event(event, receipt, keys, held.get(event.pk)))
    seals = _seals(entries)
    for one in shown:
        for line in one["entries"]:
            line["seal"] = seals.get(UUID(line["id"]), {}).get("number")
    numbers = {seal["number"]: seal for seal in seals.values()}
    payments = {top_up.pk: top_up for top_up in [*paid, *_bought(customer, entries)]}
    return {
        "kind": kind,
        "made_at": _moment(timezone.now()),
        "case": case,
        "customer": {
            "id": customer.external_id,
            "name": customer.name,
            "email": customer.email,
            "country": customer.country,
            "since": _moment(customer.created_at),
        },
        "events": shown,
        "payments": [_payment(top_up) for top_up in payments.values()],
        "seals": [numbers[number] for number in sorted(numbers)],
    }


# --- An event ---------------------------------------------------------------------------------------------------------


def _event(
    event: UsageEvent, receipt: receipts.Receipt, keys: Mapping[UUID, ApiKey], held: Authorization | None
) -> Plain:
    key = keys.get(event.api_key_id) if event.api_key_id else None
    return {
        "id": event.event_id,
        "record": str(event.pk),
        "source": event.source,
        "type": event.type,
        "status": events.status(event),
        "occurred_at": _moment(event.occurred_at),
        "received_at": _moment(event.received_at),
        "data": event.data,
        "extensions": event.extensions or {},
        "fingerprint": bytes(event.fingerprint).hex(),
        "session": event.data.get("session"),
        "request": _request(event),
        "reported_by": None if key is None else _key(key),
        "key_named_by_operator": "api_key" in (event.extensions or {}),
        "authorization": None if held is None else _authorization(held),
        "refusal": event.refusal,
        "charges": [_charge(charge) for charge in receipt.charges],
        "cost": amount_strings(receipt.cost),
        "net_cost": amount_strings(receipt.net_cost),
        "corrections": [
            {
                "kind": each.correction.kind,
                "amounts": amount_strings(each.amounts),
                "at": _moment(each.correction.created_at),
            }
            for each in receipt.corrections
        ],
        "balances": _balances(receipt.entries, event.pk),
        "entries": [_entry(entry) for entry in receipt.entries],
    }


def _request(event: UsageEvent) -> Plain | None:
    """The request that brought it, by an id of ours, and a hash of the address it came from; None without either."""
    if not event.origin:
        return None
    request_id, _, address = event.origin.rpartition(" ")
    return {"id": request_id or None, "address_hash": address or None}


def _key(key: ApiKey) -> Plain:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "belongs_to": key.kind,
        # Of the operator's own people no name goes out.
        "made_by": key.created_by.email if key.created_by and key.kind == ApiKey.Kind.CUSTOMER else None,
        "made_at": _moment(key.created_at),
    }


_RELEASED = """
SELECT m.event_id, t.reference
  FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[], %s::uuid[]) m(event_id, moment, first, after)
  JOIN LATERAL (SELECT reference FROM billing_ledgertransaction
                 WHERE id >= m.first AND id < m.after AND customer_id = %s AND posted_at = m.moment
                   AND template = 'authorization.released' ORDER BY id LIMIT 1) t ON true
"""


def _authorizations(customer_id: UUID, of_events: Mapping[UUID, receipts.Receipt]) -> dict[UUID, Authorization]:
    """What was set aside for each event: a capture gives that back at the very moment at which it books the usage."""
    posted = {
        event_id: entry.posted_at
        for event_id, receipt in of_events.items()
        for entry in receipt.entries
        if entry.transaction_id == event_id
    }
    moments = list(posted.values())
    windows = [first_id(moment - _BESIDE) for moment in moments], [first_id(moment + _BESIDE) for moment in moments]
    with connection.cursor() as cursor:
        cursor.execute(_RELEASED, [list(posted), moments, *windows, customer_id])
        references: dict[UUID, str] = dict(cursor.fetchall())
    ids = {event_id: UUID(reference.split(":")[1]) for event_id, reference in references.items()}
    found = Authorization.objects.filter(customer_id=customer_id).in_bulk(ids.values())
    return {event_id: found[id] for event_id, id in ids.items() if id in found}


def _authorization(found: Authorization) -> Plain:
    return {
        "id": str(found.pk),
        "status": found.status,
        "asset": found.asset_id,
        "amount": amount_string(found.amount),
        "captured": amount_string(found.captured),
        "made_at": _moment(found.created_at),
        "data": found.data,
    }


def _charge(charge: receipts.ReceiptCharge) -> Plain:
    meter = charge.price.meter
    return {
        "meter": charge.meter,
        "quantity": amount_string(charge.quantity),
        "unit": meter.unit,
        "asset": charge.asset,
        "amount": amount_string(charge.amount),
        "plan": charge.plan,
        "plan_version": charge.plan_version,
        "price": plan_terms.of_numbers(charge.price),
        "price_in_words": words.describe(price_terms(charge.price), charge.price.asset_id, meter.unit),
        "arithmetic": [
            {"line": words.line(line, charge.asset), "amount": amount_string(line.amount)} for line in charge.lines
        ],
        "dimensions": dict(charge.dimensions),
        "grants": [
            {
                "grant": None if draw.grant_id is None else str(draw.grant_id),
                "name": draw.name,
                "amount": amount_string(draw.amount),
            }
            for draw in charge.draws
        ],
    }


def _entry(entry: LedgerEntry) -> Plain:
    own = entry.available_after is not None
    return {
        "id": str(entry.pk),
        "transaction": str(entry.transaction_id),
        "kind": entry.kind,
        "asset": entry.asset_id,
        "debit": entry.debit,
        "credit": entry.credit,
        "amount": amount_string(entry.amount),
        "grant": None if entry.grant_id is None else str(entry.grant_id),
        "number": entry.seq,
        "balance_before": amount_string(EXACT.subtract(entry.available_after, signed_amount(entry))) if own else None,
        "balance_after": amount_string(entry.available_after) if own else None,
        "posted_at": _moment(entry.posted_at),
    }


def _balances(entries: Sequence[LedgerEntry], transaction_id: UUID) -> Plain:
    """What was available before the event and after it, by asset."""
    found: Plain = {}
    for entry in entries:
        if entry.transaction_id == transaction_id and entry.available_after is not None:
            before = amount_string(EXACT.subtract(entry.available_after, signed_amount(entry)))
            shown = found.setdefault(entry.asset_id, {"before": before})
            shown["after"] = amount_string(entry.available_after)
    return found


# --- What paid for it -------------------------------------------------------------------------------------------------


def _bought(customer: Customer, entries: Collection[LedgerEntry]) -> list[TopUp]:
    """The payments whose grants paid; a grant that came back points at the one it replaces."""
    wanted = {entry.grant_id for entry in entries if entry.grant_id}
    replaced = Grant.objects.filter(customer=customer, pk__in=wanted, replaces__isnull=False)
    wanted |= set(replaced.values_list("replaces_id", flat=True))
    rows = TopUp.objects.filter(customer=customer).select_related("attempt", "pack").order_by("pk")
    return list((rows.filter(grant_id__in=wanted) | rows.filter(bonus_grant_id__in=wanted)).distinct())


def _payment(top_up: TopUp) -> Plain:
    attempt = top_up.attempt
    booked = LedgerTransaction.objects.filter(
        customer_id=top_up.customer_id, reference__in=[f"grant:{top_up.grant_id}", f"top_up:{top_up.pk}"]
    )
    refunds = top_up.refunds.filter(status=Refund.Status.SUCCEEDED).order_by("pk")
    return {
        "top_up": str(top_up.pk),
        "asked_for_at": _moment(top_up.created_at),
        "settled_at": _moment(top_up.settled_at),
        "purpose": attempt.purpose,
        "paid": amount_string(attempt.amount),
        "currency": top_up.currency_id.upper(),
        "amount": amount_string(top_up.amount),
        "fee": amount_string(top_up.fee),
        "tax": amount_string(top_up.tax),
        "credited": amount_string(top_up.credit),
        "bonus": amount_string(top_up.bonus),
        "asset": top_up.asset_id,
        "rate": None if top_up.rate is None else amount_string(top_up.rate),
        "method": {"type": attempt.method_type, "brand": attempt.method_brand, "last4": attempt.method_last4},
        "payment_at_provider": attempt.payment_id,
        "charge_at_provider": attempt.charge_id,
        "grant": str(top_up.grant_id),
        "transactions": [str(pk) for pk in booked.order_by("pk").values_list("pk", flat=True)],
        "refunds": [{"amount": amount_string(row.total), "at": _moment(row.finished_at)} for row in refunds],
    }


def _seals(entries: Sequence[LedgerEntry]) -> dict[UUID, Plain]:
    """The seal that covers each entry, of those that are sealed: one statement, along the range of ids."""
    ids = [entry.pk for entry in entries]
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.id, s.number, s.hash, s.previous_hash, s.made_at FROM unnest(%s::uuid[]) i(id)"
            "  JOIN billing_seal s ON i.id BETWEEN s.first_id AND s.last_id AND i.id = ANY(s.row_ids)"
            " WHERE s.covers = %s",
            [ids, Seal.Covers.LEDGER_ENTRY],
        )
        return {
            row_id: {
                "number": number,
                "hash": bytes(hash_).hex(),
                "previous_hash": bytes(previous).hex(),
                "made_at": _moment(made_at),
            }
            for row_id, number, hash_, previous, made_at in cursor.fetchall()
        }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
