"""Plans on which usage goes on when the wallet is empty: so far below zero as they say, for the invoice to fill up."""

from decimal import Decimal

from django.db.models import Q, Sum

from billing.engine.money import EXACT, ZERO
from billing.models import Balance, Subscription
from billing.services.ledger.posting import Journal
from billing.services.wallet.wallets import ensure_balances


def follow(journal: Journal, subscription: Subscription) -> None:
    """Let the overdraft in the plan's currency be what the customer's running plans allow, and what staff set beside.

    Where a plan goes, so does what it allowed, as far as it is not owed or held by then: that much stays.
    """
    customer_id, currency = subscription.customer_id, subscription.plan.currency_id
    now = journal.now
    running = Subscription.objects.filter(customer_id=customer_id, plan__currency_id=currency, starts_at__lte=now)
    running = running.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now))
    allowed = running.aggregate(total=Sum("plan_version__overage_limit"))["total"] or ZERO
    if allowed == 0 and not Balance.objects.filter(customer_id=customer_id, asset=currency, plan_overdraft__gt=0):
        return
    ensure_balances(journal, [(customer_id, currency)])
    state = journal.balances[customer_id, currency]
    stored = Balance.objects.get(pk=state.id)
    by_staff = max(ZERO, EXACT.subtract(stored.overdraft_limit, stored.plan_overdraft))
    # Both what is in the table and what the journal is about to write must be within the limit.
    used = max(_used(state.available, state.owed, state.overdraft_held, state.dispute_debt), _of_row(stored))
    limit = max(EXACT.add(by_staff, allowed), used)
    state.overdraft_limit = limit
    Balance.objects.filter(pk=state.id).update(overdraft_limit=limit, plan_overdraft=EXACT.subtract(limit, by_staff))


def _of_row(row: Balance) -> Decimal:
    return _used(row.available, row.owed, row.overdraft_held, row.dispute_debt)


def _used(available: Decimal, owed: Decimal, held: Decimal, dispute_debt: Decimal) -> Decimal:
    """How far below zero the balance is, or may yet be taken by what is held."""
    debt = EXACT.subtract(EXACT.add(owed, held), dispute_debt)
    return max(ZERO, debt, EXACT.minus(EXACT.add(available, dispute_debt)))
