"""Setting aside: what the announced usage would cost, or a plain amount."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.ids import uuid7
from billing.engine.money import EXACT, ZERO, decimals
from billing.errors import BillingError, InvalidRequest, NotFound
from billing.models import Asset, Authorization, Customer
from billing.services import bulk
from billing.services.authorizations import funds
from billing.services.ledger import Journal, Wanted
from billing.services.retrying import retried
from billing.services.usage import IncomingEvent
from billing.services.usage.recording import Recording
from billing.services.wallets import ensure_balances

LIFE_DEFAULT = timedelta(minutes=10)
LIFE_MAX = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Opened:
    """An authorization that was opened. ``affordable`` is how far wallet and prices would carry each metered field."""

    authorization: Authorization
    holds: Mapping[str, Decimal]
    affordable: Mapping[str, Decimal] = field(default_factory=dict)


@retried
def open_for_usage(*, event: IncomingEvent, life: timedelta = LIFE_DEFAULT) -> Opened:
    """Set aside what the announced usage would cost. ``event`` has no id yet; its data is the most that is expected.

    Raises ``InsufficientFunds`` where the wallet does not suffice, and what rating raises.
    """
    with transaction.atomic():
        recording = Recording.open([event])
        payer = recording.payers.get(event.subject)
        if payer is None or event.organization_id not in {None, payer.organization_id}:
            raise NotFound(f"There is no customer {event.subject}.")
        lines = recording.lines(event)
        if isinstance(lines, BillingError):
            raise lines
        recording.ensure_balances(event, lines)
        wanted = recording.wanted(event, lines)
        return _open(
            recording.journal,
            payer.id,
            payer.currency,
            [each for line in wanted for each in line],
            life=life,
            affordable=funds.affordable(recording, event, lines, wanted),
            type=event.type,
            data=event.data,
            api_key_id=event.api_key_id,
        )


@retried
def open_amount(
    *, customer: Customer, asset: Asset, amount: Decimal, life: timedelta = LIFE_DEFAULT, api_key_id: UUID | None = None
) -> Opened:
    """Set aside ``amount``. Only grants without restriction serve, for nobody knows yet what it is for."""
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    if decimals(amount) > asset.precision:
        raise InvalidRequest.field("amount", f"{asset.code} has at most {asset.precision} decimals")
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        ensure_balances(journal, [(customer.pk, asset.pk)])
        return _open(
            journal,
            customer.pk,
            asset.pk,
            [Wanted(asset.pk, None, amount)],
            life=life,
            affordable={},
            api_key_id=api_key_id,
        )


def _open(
    journal: Journal,
    customer_id: UUID,
    currency: str,
    wanted: Sequence[Wanted],
    *,
    life: timedelta,
    affordable: Mapping[str, Decimal],
    type: str = "",
    data: Mapping[str, Any] | None = None,
    api_key_id: UUID | None = None,
) -> Opened:
    if not timedelta(seconds=1) <= life <= LIFE_MAX:
        raise InvalidRequest.field("expires_in", f"must be from 1 to {int(LIFE_MAX.total_seconds())} seconds")
    totals: dict[str, Decimal] = {}
    for each in wanted:
        totals[each.asset] = EXACT.add(totals.get(each.asset, ZERO), each.amount)
    drawn = funds.draw(journal, customer_id, wanted)
    if drawn is None:
        raise funds.too_little(journal, customer_id, wanted)
    main = currency if currency in totals else next(iter(totals))
    authorization_id = uuid7()
    head = journal.begin(
        customer_id=customer_id,
        template="authorization.opened",
        reference=f"authorization:{authorization_id}",
        occurred_at=journal.now,
    )
    held: dict[tuple[str, UUID | None], Decimal] = {}
    for each, draws in zip(wanted, drawn, strict=True):
        journal.hold(head, journal.balances[customer_id, each.asset], draws)
        for part in draws:
            key = (each.asset, part.source.id if part.source else None)
            held[key] = EXACT.add(held.get(key, ZERO), part.amount)
    row = {
        "id": authorization_id,
        "customer_id": customer_id,
        "status": Authorization.Status.OPEN,
        "asset_id": main,
        "amount": totals[main],
        "captured": ZERO,
        "type": type,
        "data": data or {},
        "api_key_id": api_key_id,
        "reason": "",
        "created_at": journal.now,
        "expires_at": journal.now + life,
    }
    hold_rows = [
        {
            "id": uuid7(),
            "customer_id": customer_id,
            "authorization_id": authorization_id,
            "balance_id": journal.balances[customer_id, asset].id,
            "asset_id": asset,
            "grant_id": grant_id,
            "amount": amount,
            "outstanding": amount,
        }
        for (asset, grant_id), amount in held.items()
    ]
    journal.write(
        bulk.insertion("billing_authorization", [row], exact_numbers=True), bulk.insertion("billing_hold", hold_rows)
    )
    return Opened(Authorization.objects.get(pk=authorization_id), totals, affordable)
