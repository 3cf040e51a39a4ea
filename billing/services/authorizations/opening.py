"""Setting aside: what the announced usage would cost, or a plain amount."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db import transaction

from accounts.ids import uuid7
from billing.engine import burndown
from billing.engine.budgets import Use
from billing.engine.money import EXACT, ZERO, decimals
from billing.errors import BillingError, InvalidRequest, NotFound
from billing.models import Asset, Authorization, Customer
from billing.services import budgets
from billing.services.authorizations import funds
from billing.services.budgets import Budgets
from billing.services.ledger import bulk
from billing.services.ledger.posting import Journal, Wanted
from billing.services.retrying import retried
from billing.services.usage import IncomingEvent
from billing.services.usage.deciding import frozen
from billing.services.usage.recording import Recording
from billing.services.usage.renewing import reading_due, refuse_due, renewed_first
from billing.services.wallet.wallets import ensure_balances

LIFE_DEFAULT = timedelta(minutes=10)
LIFE_MAX = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Opened:
    """An authorization that was opened. ``affordable`` is how far wallet and prices would carry each metered field."""

    authorization: Authorization
    holds: Mapping[str, Decimal]
    affordable: Mapping[str, Decimal] = field(default_factory=dict)


def open_for_usage(*, event: IncomingEvent, life: timedelta = LIFE_DEFAULT) -> Opened:
    """Set aside what the announced usage would cost. ``event`` has no id yet; its data is the most that is expected.

    Raises ``InsufficientFunds`` where the wallet does not suffice, ``BudgetExceeded`` or ``RateLimited`` where a budget
    does not, ``WalletFrozen``, and what rating raises.
    """
    return _passed(renewed_first(retried(partial(_open_for_usage, event, life))))


def _open_for_usage(event: IncomingEvent, life: timedelta, renewing: bool) -> Opened | BillingError:
    with transaction.atomic():
        recording = Recording.open([event], renewing=renewing)
        payer = recording.payers.get(event.subject)
        if payer is None or event.organization_id not in {None, payer.organization_id}:
            raise NotFound(f"There is no customer {event.subject}.")
        lines = recording.lines(event)
        if isinstance(lines, BillingError):
            raise lines
        recording.ensure_balances(event, lines)
        wanted = recording.wanted(event, lines)
        recording.fair_use.read((payer.id, line) for line in lines)
        totals = funds.totals([each for line in wanted for each in line])
        if (refusal := recording.fair_use.refusal(payer.id, lines, totals)) is not None:
            return refusal
        return _open(
            recording.journal,
            payer.id,
            payer.currency,
            [each for line in wanted for each in line],
            recording.budgets,
            event.use,
            own_key=event.own_key,
            opened_by_id=event.api_key_id if event.named_key_id else None,
            life=life,
            affordable=funds.affordable(recording, event, lines, wanted),
        )


def open_amount(
    *,
    customer: Customer,
    asset: Asset,
    amount: Decimal,
    life: timedelta = LIFE_DEFAULT,
    api_key_id: UUID | None = None,
    opened_by_id: UUID | None = None,
    own_key: bool = False,
) -> Opened:
    """Set aside ``amount``. Only grants without restriction serve, for nobody knows yet what it is for.

    Budgets of all usage, and those of the key, count it. ``own_key``: it is the customer's own. ``opened_by_id`` is the
    operator's key where that names one of the customer's. Raises as above.
    """
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    if decimals(amount) > asset.precision:
        raise InvalidRequest.field("amount", f"{asset.code} has at most {asset.precision} decimals")
    wanted = Wanted(asset.pk, None, amount)
    use = Use("", {}, api_key_id)
    work = retried(
        partial(_open_amount, customer.pk, wanted, use, own_key=own_key, opened_by_id=opened_by_id, life=life)
    )
    return _passed(renewed_first(work))


def _open_amount(
    customer_id: UUID,
    wanted: Wanted,
    use: Use,
    renewing: bool,
    *,
    life: timedelta,
    own_key: bool,
    opened_by_id: UUID | None,
) -> Opened | BillingError:
    with transaction.atomic():
        due = reading_due(customer_id)
        limits = budgets.Reading([customer_id], lambda: [use], surely=True)
        journal = Journal.open([customer_id], due, *limits.queries)
        if renewing:
            refuse_due(due, journal.now)
        ensure_balances(journal, [(customer_id, wanted.asset)])
        spending = limits.load(journal)
        return _open(
            journal,
            customer_id,
            wanted.asset,
            [wanted],
            spending,
            use,
            own_key=own_key,
            opened_by_id=opened_by_id,
            life=life,
            affordable={},
        )


def _passed(opened: Opened | BillingError) -> Opened:
    if isinstance(opened, BillingError):
        opened.stands = True  # That a budget was hit stays noted, and is told.
        raise opened
    return opened


def _open(
    journal: Journal,
    customer_id: UUID,
    currency: str,
    wanted: Sequence[Wanted],
    spending: Budgets,
    use: Use,
    *,
    own_key: bool,
    opened_by_id: UUID | None,
    life: timedelta,
    affordable: Mapping[str, Decimal],
) -> Opened | BillingError:
    """The authorization, or the refusal of a budget, which is noted."""
    if not timedelta(seconds=1) <= life <= LIFE_MAX:
        raise InvalidRequest.field("expires_in", f"must be from 1 to {int(LIFE_MAX.total_seconds())} seconds")
    if customer_id in journal.frozen:
        raise frozen(Customer.objects.values_list("external_id", flat=True).get(pk=customer_id))
    totals = funds.totals(wanted)
    drawn = funds.draw(journal, customer_id, wanted)
    if drawn is None:
        raise funds.too_little(journal, customer_id, wanted)
    refusal = spending.refusal(customer_id, use, totals, events=1 if use.type else 0, own_key=own_key)
    if refusal is not None:
        burndown.put_back(part for draws in drawn for part in draws)
        journal.write(*spending.writes())
        return refusal
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
        "type": use.type,
        "data": use.data,
        "api_key_id": use.api_key_id,
        "opened_by_id": opened_by_id,
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
