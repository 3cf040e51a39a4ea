"""Budgets that were hit and have begun anew: their people are told."""

from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from billing import locks, pipeline
from billing.engine import budgets as engine
from billing.engine.money import ZERO
from billing.models import BudgetCounter
from billing.services import one_by_one, outbox
from billing.services.budgets.states import facts
from billing.services.ledger import bulk
from billing.services.notices import Told, publication
from billing.services.retrying import retried


def reset_due() -> int:
    """Begin the next window of budgets that were hit, where nobody's usage has done so. Returns how many.

    Safe to run twice and at the same time. What was not hit begins anew by itself, with the next usage.
    """
    due = BudgetCounter.objects.filter(exceeded=True, window_end__lte=timezone.now(), budget__removed_at=None)
    rows = due.order_by("window_end", "id").values_list("window_end", "id", "customer_id")
    reset = 0
    for _, counter_id, customer_id in one_by_one.in_turn(rows, "budget-windows"):
        with one_by_one.apart("budget's window", counter_id):
            reset += _reset(counter_id, customer_id)
    return reset


@retried
def _reset(counter_id: UUID, customer_id: UUID) -> bool:
    with transaction.atomic():
        locked, clock = locks.balances([customer_id]), locks.ledger_time()
        pipeline.run([locked, clock])
        now = clock.rows[0][0]
        counter = (
            BudgetCounter.objects.select_related("budget__customer")
            .filter(pk=counter_id, customer_id=customer_id, exceeded=True, window_end__lte=now)
            .first()
        )
        if counter is None:
            return False
        budget = counter.budget
        zone = ZoneInfo(budget.customer.timezone)
        counter.window_start, counter.window_end = engine.window(now, budget.period, zone=zone)
        counter.spent, counter.level, counter.exceeded = ZERO, 0, False
        counter.save()
        payload = facts(budget, value=counter.value, spent=ZERO, end=counter.window_end)
        bulk.run(
            publication([Told(customer_id, "budget.reset", payload)], now=now),
            outbox.publication([outbox.Message("budget.reset", customer_id, payload)], now=now),
        )
    return True
