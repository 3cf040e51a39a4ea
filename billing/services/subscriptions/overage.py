"""Plans on which usage goes on when the wallet is empty: so far below zero as they say, for the invoice to fill up.

It is for usage: fees are paid from the wallet and from the overdraft that staff set. A plan whose fee is due allows
nothing until that is paid, so that nobody pays the overage price for what the plan includes.
"""

from decimal import Decimal
from functools import partial
from uuid import UUID

from django.utils import timezone

from accounts.services import audit
from billing.engine.money import EXACT, ZERO, amount_string
from billing.models import Balance, Customer, Subscription
from billing.selectors.spending import overage
from billing.services import one_by_one
from billing.services.ledger import sweeping
from billing.services.ledger.posting import Journal
from billing.services.wallet.wallets import ensure_balances


def follow(journal: Journal, subscription: Subscription) -> None:
    """Let the overdraft in the plan's currency be what the customer's plans allow by now, and what staff set beside.

    The rows of its subscriptions are saved. Where a plan goes, so does what it allowed, as far as it is not owed or
    held by then: that much stays until it is paid (``lower_due``).
    """
    _follow(journal, subscription.customer_id, subscription.plan.currency_id)


def lower_due() -> None:
    """Take back what plans allowed that are gone, where it was owed or held then and is not any more."""
    found = overage.left_standing(timezone.now()).order_by("id").values_list("id", "customer_id", "asset_id")
    for _, customer_id, currency in one_by_one.in_turn(found, "overdrafts"):
        sweeping.alone(customer_id, partial(_lower, customer_id, currency), what="overdrafts")


def _lower(customer_id: UUID, currency: str, journal: Journal) -> int:
    _follow(journal, customer_id, currency)
    return 1


def _follow(journal: Journal, customer_id: UUID, currency: str) -> None:
    allowed = overage.allowed(customer_id, currency, now=journal.now)
    if allowed == 0 and not Balance.objects.filter(customer_id=customer_id, asset=currency, plan_overdraft__gt=0):
        return
    ensure_balances(journal, [(customer_id, currency)])
    state = journal.balances[customer_id, currency]
    stored = Balance.objects.get(pk=state.id)
    if stored.plan_overdraft_cap is not None:
        allowed = min(allowed, stored.plan_overdraft_cap)
    by_staff = EXACT.subtract(stored.overdraft_limit, stored.plan_overdraft)
    # Both what is in the table and what the journal is about to write must be within the limit.
    used = max(_used(state.available, state.owed, state.overdraft_held, state.dispute_debt), _of_row(stored))
    limit = max(EXACT.add(by_staff, allowed), used)
    if limit == stored.overdraft_limit:
        return
    state.overdraft_limit = limit
    Balance.objects.filter(pk=state.id).update(overdraft_limit=limit, plan_overdraft=EXACT.subtract(limit, by_staff))
    customer = Customer.objects.get(pk=customer_id)
    audit.record(
        actor=audit.SYSTEM,
        action="wallet.overdraft_limit_changed",
        object_type="customer",
        object_id=customer.external_id,
        organization_id=customer.organization_id,
        before={"asset": currency, "overdraft_limit": amount_string(stored.overdraft_limit)},
        after={"asset": currency, "overdraft_limit": amount_string(limit), "reason": "what the plans allow"},
    )


def _of_row(row: Balance) -> Decimal:
    return _used(row.available, row.owed, row.overdraft_held, row.dispute_debt)


def _used(available: Decimal, owed: Decimal, held: Decimal, dispute_debt: Decimal) -> Decimal:
    """How far below zero the balance is, or may yet be taken by what is held."""
    debt = EXACT.subtract(EXACT.add(owed, held), dispute_debt)
    return max(ZERO, debt, EXACT.minus(EXACT.add(available, dispute_debt)))
