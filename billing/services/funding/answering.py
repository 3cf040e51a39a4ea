"""Answering a payer's bank: what the books know about the payment, sent to the provider, once and for good.

Like every call that moves money: committed before the provider is asked, under a key of its own, so that a second
attempt says the same again, and never in a transaction.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.ids import uuid7
from accounts.services import audit
from billing import locks, pipeline
from billing.errors import InvalidState, PaymentsUnavailable
from billing.gateways.payments import Refused, Unreachable
from billing.models import Dispute
from billing.selectors.funding import evidence
from billing.services.funding import disputes, profiles

ANSWERABLE = (Dispute.Status.INQUIRY, Dispute.Status.OPEN)
LOG_MAX, TEXT_MAX = 15_000, 15_000
"""The provider takes 20,000 characters a field, and 150,000 in all."""


def send(*, actor: audit.Actor, dispute: Dispute) -> Dispute:
    """Send what the books know, for good: the provider takes one answer. Not in a transaction.

    Raises ``InvalidState`` where none is asked for any more, and ``PaymentsUnavailable`` where the provider could not
    be asked or refused. After that it is safe to try again: whether an answer has arrived is asked for first.
    """
    dispute = disputes.look_again(dispute)
    if dispute.status not in ANSWERABLE:
        if dispute.evidence_key and dispute.evidence_sent_at is None:
            _note(dispute, evidence_sent_at=timezone.now())  # It had arrived, and only nobody heard of it.
        raise InvalidState("The provider takes no evidence about this dispute any more.")
    texts = fields(evidence.of_payment_dispute(dispute))
    key = str(uuid7())
    with transaction.atomic():
        _note(dispute, evidence_key=key)
        audit.record(
            actor=actor,
            action="dispute.answered",
            object_type="dispute",
            object_id=str(dispute.pk),
            organization_id=dispute.customer.organization_id,
            after={"customer": dispute.customer.external_id, "at_provider": dispute.provider_id},
        )
    try:
        profiles.payments().answer_dispute(dispute.provider_id, key=key, evidence=texts, final=True)
    except (Unreachable, Refused) as trouble:
        raise PaymentsUnavailable(f"The evidence could not be sent: {trouble}") from trouble
    _note(dispute, evidence_sent_at=timezone.now())
    return disputes.look_again(dispute)


def _note(dispute: Dispute, **noted: Any) -> None:
    """Write these fields into the row, alone with it."""
    with transaction.atomic():
        pipeline.run([locks.payment_attempt(dispute.top_up.attempt_id)])
        Dispute.objects.filter(pk=dispute.pk).update(**noted)


def fields(pack: Mapping[str, Any]) -> dict[str, str]:
    """The pack as the fields that banks read: who, what, when it was used, and all of it in words."""
    customer, used, (payment, *_) = pack["customer"], pack["used"], pack["payments"]
    log = [
        f"{event['occurred_at']} {event['type']} {event['id']}"
        + (f" with the API key {event['reported_by']['prefix']}" if event["reported_by"] else "")
        + "".join(f", {amount} {asset}" for asset, amount in event["net_cost"].items())
        for event in pack["events"]
    ]
    method = payment["method"]
    words = [
        f"On {payment['asked_for_at']} {customer['name']} bought prepaid usage of our AI services for "
        f"{payment['paid']} {payment['currency']}, paid with {method['brand'] or method['type']} {method['last4']}. "
        f"It came into the customer's wallet at {payment['settled_at']} as {payment['credited']} {payment['asset']}.",
        f"Of it {used['amount']} {payment['asset']} were used by {used['events']} recorded requests"
        + (f", from {used['first_at']} to {used['last_at']}." if used["events"] else "."),
        *(
            f"The ledger's seal {seal['number']} of {seal['made_at']}, SHA-256 {seal['hash']}, covers the entries."
            for seal in pack["seals"]
        ),
    ]
    found = {
        "customer_name": customer["name"],
        "customer_email_address": customer["email"],
        "product_description": "Prepaid usage of AI services, delivered electronically at once.",
        "service_date": (used["first_at"] or payment["settled_at"] or "")[:10],
        "access_activity_log": _fitted(log, LOG_MAX),
        "uncategorized_text": _fitted(words, TEXT_MAX),
    }
    return {name: text for name, text in found.items() if text}


def _fitted(lines: list[str], most: int) -> str:
    """As many whole lines as fit, and how many do not."""
    kept: list[str] = []
    length = 0
    for number, line in enumerate(lines):
        length += len(line) + 1
        if length > most - 40:
            return "\n".join([*kept, f"… and {len(lines) - number} more."])
        kept.append(line)
    return "\n".join(kept)
