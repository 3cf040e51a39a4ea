"""Making, changing and removing budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from psycopg import sql

from accounts.ids import first_id, uuid7
from accounts.models import ApiKey, Membership
from accounts.services import audit
from billing import locks, pipeline
from billing.engine import budgets as engine
from billing.engine.budgets import EACH
from billing.engine.money import EXACT, ZERO, amount_string, decimals
from billing.errors import InvalidRequest, InvalidState, NotFound, PermissionDenied
from billing.models import Asset, Budget, BudgetCounter, Customer, Plan
from billing.selectors.ledger import seals
from billing.selectors.spending import budgets as selector
from billing.services.retrying import retried

BUDGETS_MAX = 50
"""Of one customer: each is looked at for every event."""
SHARE_MAX = Decimal(10)
_SKEW = timedelta(hours=1)
PEOPLE_MAX = 100
_CHANGED = ("name", "limit", "hard", "at_cap", "plan", "alert_at")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a budget is to be. ``scope`` has values of ``type`` and ``engine.FIELDS``, at most one of them ``EACH``."""

    name: str
    limit: Decimal
    period: str
    scope: Mapping[str, str]
    asset: Asset | None = None
    counts: str = Budget.Counts.SPEND
    api_key: ApiKey | None = None
    member: Membership | None = None
    members: Sequence[Membership] = ()
    """Several people who share it."""
    hard: bool = True
    at_cap: str = Budget.AtCap.REFUSE
    plan: Plan | None = None
    """With ``at_cap`` ``change_plan``: the one that the customer is moved to. Operators alone can ask for that."""
    alert_at: Sequence[Decimal] = ()


_So_far = dict[str, tuple[Decimal, int]]


@dataclass(frozen=True, slots=True)
class _Past:
    """What the window from ``start`` on had counted ``until`` the customer was locked for a moment.

    What was debited later is in transactions that had not ended then: their numbers are ``ended`` or above.
    """

    start: datetime
    until: datetime
    ended: int
    counted: _So_far


def create(*, actor: audit.Actor, customer: Customer, terms: Terms, set_by: str) -> Budget:
    """Limit what the customer may use. What its window has seen already counts; one in ``total`` counts from now on.

    Raises ``InvalidRequest`` for terms that make no sense, ``InvalidState`` where there are ``BUDGETS_MAX`` already.
    """
    _check(customer, terms, set_by)
    # The past is added up without the lock, and under it only what came in between.
    with transaction.atomic():
        until = _lock(customer)
        ended = seals.ended_before()
    zone = ZoneInfo(customer.timezone)
    start, _ = engine.window(until, terms.period, zone=zone)
    past = _Past(start, until, ended, _so_far(customer, terms, start, until=until))
    return _create(actor, customer, terms, set_by, past)


@retried
def _create(actor: audit.Actor, customer: Customer, terms: Terms, set_by: str, past: _Past) -> Budget:
    with transaction.atomic():
        now = _lock(customer)
        if Budget.objects.filter(customer=customer, removed_at=None).count() >= BUDGETS_MAX:
            raise InvalidState(f"There can be at most {BUDGETS_MAX} budgets: remove one first.")
        start, end = engine.window(now, terms.period, zone=ZoneInfo(customer.timezone))
        if terms.period == Budget.Period.TOTAL:
            counted: _So_far = {}
        elif start == past.start:
            counted = _sum(past.counted, _so_far(customer, terms, start, until=now, after=past))
        else:
            counted = _so_far(customer, terms, start, until=now)
        budget = Budget.objects.create(
            customer=customer,
            name=terms.name,
            scope=dict(terms.scope),
            api_key=terms.api_key,
            member=None if terms.member is None else terms.member.user,
            people=_ids(terms.members),
            counts=terms.counts,
            asset=terms.asset,
            limit=terms.limit,
            period=terms.period,
            hard=terms.hard,
            at_cap=terms.at_cap,
            plan=terms.plan,
            alert_at=[amount_string(share) for share in sorted(set(terms.alert_at))],
            set_by=set_by,
            created_at=now,
        )
        counters = []
        for value, (amount, events) in counted.items():
            spent = Decimal(events) if terms.counts == Budget.Counts.EVENTS else amount
            reached = engine.level(spent, limit=terms.limit, alert_at=_shares(budget))
            counters.append(
                BudgetCounter(
                    id=uuid7(),
                    customer=customer,
                    budget=budget,
                    value=value,
                    window_start=start,
                    window_end=end,
                    spent=spent,
                    level=reached,
                )
            )
        BudgetCounter.objects.bulk_create(counters)
        Customer.objects.filter(pk=customer.pk).update(has_budgets=True)
        _record(actor, "budget.created", budget, after=_facts(budget))
    return budget


@retried
def change(*, actor: audit.Actor, budget: Budget, changes: Mapping[str, Any], by_customer: bool = False) -> Budget:
    """Change name, limit, hard, at_cap, plan, alert_at, or the ``members`` who share it, by their memberships. What was
    told is told again at the new limit; what counts already stays, whoever used it.

    Raises ``PermissionDenied`` where it is the operator's and a customer asks, ``NotFound`` where it was removed.
    """
    changes = dict(changes)
    members = changes.pop("members", None)
    assert set(changes) <= set(_CHANGED)
    with transaction.atomic():
        _lock(budget.customer)
        budget = _own(budget, by_customer=by_customer)
        before = _facts(budget)
        for field, value in changes.items():
            setattr(budget, field, value)
        if members is not None:
            if not budget.people:
                raise InvalidRequest.field("members", "goes with a budget that several share")
            _check_members(budget.customer, members)
            budget.people = _ids(members)
        if budget.at_cap != Budget.AtCap.CHANGE_PLAN and "plan" not in changes:
            budget.plan = None
        shares = changes.get("alert_at", _shares(budget))
        _check_terms(budget, shares)
        _check_plan(budget.customer, budget)
        budget.plan_failed_at, budget.plan_failure = None, ""
        budget.alert_at = [amount_string(share) for share in sorted(set(shares))]
        budget.save(update_fields=[*_CHANGED, "people", "plan_failed_at", "plan_failure"])
        for counter in BudgetCounter.objects.filter(budget=budget, customer_id=budget.customer_id):
            counter.level = engine.level(counter.spent, limit=budget.limit, alert_at=_shares(budget))
            counter.exceeded = counter.exceeded and counter.spent >= budget.limit
            counter.save(update_fields=["level", "exceeded"])
        _record(actor, "budget.changed", budget, before=before, after=_facts(budget))
    return budget


@retried
def remove(*, actor: audit.Actor, budget: Budget, by_customer: bool = False) -> None:
    """Limit nothing by it any more. Raises as ``change`` does."""
    with transaction.atomic():
        now = _lock(budget.customer)
        budget = _own(budget, by_customer=by_customer)
        budget.removed_at = now
        budget.save(update_fields=["removed_at"])
        others = Budget.objects.filter(customer_id=budget.customer_id, removed_at=None)
        Customer.objects.filter(pk=budget.customer_id).update(has_budgets=others.exists())
        _record(actor, "budget.removed", budget, before=_facts(budget))


def _lock(customer: Customer) -> datetime:
    """Be alone with the customer; the time by the database's clock."""
    locked, clock = locks.balances([customer.pk]), locks.ledger_time()
    pipeline.run([locked, clock])
    moment: datetime = clock.rows[0][0]
    return moment


def _own(budget: Budget, *, by_customer: bool) -> Budget:
    found = Budget.objects.select_related("customer", "asset", "plan").filter(pk=budget.pk, removed_at=None).first()
    if found is None:
        raise NotFound("There is no such budget.")
    if by_customer and found.set_by == Budget.SetBy.OPERATOR:
        raise PermissionDenied("This budget was set by the operator: only they may change it.")
    return found


def _check(customer: Customer, terms: Terms, set_by: str) -> None:
    if unknown := sorted(set(terms.scope) - {"type", *engine.FIELDS}):
        raise InvalidRequest.field(f"scope.{unknown[0]}", "is nothing that a budget can be for", code="unknown_field")
    if sum(value == EACH for value in terms.scope.values()) > 1:
        raise InvalidRequest.field("scope", f"only one value can be {EACH}")
    if terms.counts == Budget.Counts.SPEND and terms.asset is None:
        raise InvalidRequest.field("asset", "is needed", code="required")
    if terms.counts == Budget.Counts.EVENTS and terms.asset is not None:
        raise InvalidRequest.field("asset", "does not go with counting events")
    if terms.api_key is not None and terms.api_key.organization_id not in {None, customer.organization_id}:
        raise InvalidRequest.field("scope.api_key", "is no key that reaches this customer", code="not_found")
    if terms.member is not None and terms.member.organization_id != customer.organization_id:
        raise InvalidRequest.field("scope.member", "is nobody of this customer", code="not_found")
    if terms.member is not None and "user" in terms.scope:
        raise InvalidRequest.field("scope.user", "does not go with a member")
    if terms.member is not None and terms.members:
        raise InvalidRequest.field("scope.members", "does not go with a member")
    if terms.members:
        _check_members(customer, terms.members)
    _check_terms(terms, terms.alert_at)
    _check_plan(customer, terms, set_by)


def _check_members(customer: Customer, members: Sequence[Membership]) -> None:
    if any(member.organization_id != customer.organization_id for member in members):
        raise InvalidRequest.field("scope.members", "names somebody who is nobody of this customer", code="not_found")
    if not 0 < len(_ids(members)) <= PEOPLE_MAX:
        raise InvalidRequest.field("scope.members", f"takes 1 to {PEOPLE_MAX} people")


def _ids(members: Sequence[Membership]) -> list[UUID]:
    return sorted({member.user_id for member in members})


def _check_plan(customer: Customer, terms: Terms | Budget, set_by: str = "") -> None:
    moves = terms.at_cap == Budget.AtCap.CHANGE_PLAN
    if moves and (getattr(terms, "set_by", "") or set_by) != Budget.SetBy.OPERATOR:
        raise PermissionDenied("Only the operator can have a budget change the plan.")
    if moves != (terms.plan is not None):
        raise InvalidRequest.field("plan", "goes with change_plan, and is needed there", code="required")
    if terms.plan is not None and terms.plan.currency_id != customer.currency_id:
        raise InvalidRequest.field("plan", f"charges in {terms.plan.currency_id}, not {customer.currency_id}")
    rungs = Budget.objects.filter(customer=customer, removed_at=None, at_cap=Budget.AtCap.CHANGE_PLAN)
    if isinstance(terms, Budget):
        rungs = rungs.exclude(pk=terms.pk)
    if moves and rungs.exclude(counts=terms.counts, asset=terms.asset).exists():
        # Dollars are no higher a limit than events are: past the one, the other would refuse nothing any more.
        raise InvalidRequest.field("at_cap", "goes with change_plan of others only where they limit the same")


def _check_terms(terms: Terms | Budget, shares: Sequence[Decimal]) -> None:
    if terms.limit < 0:
        raise InvalidRequest.field("limit", "must not be negative")
    finest = 0 if terms.asset is None else terms.asset.precision
    if decimals(terms.limit) > finest:
        raise InvalidRequest.field("limit", f"can have at most {finest} decimals")
    if any(not 0 < share <= SHARE_MAX or decimals(share) > 4 for share in shares):
        raise InvalidRequest.field("alert_at", f"takes shares above 0 and up to {SHARE_MAX}, with at most 4 decimals")
    if terms.at_cap != Budget.AtCap.REFUSE and not terms.hard:
        raise InvalidRequest.field("at_cap", "goes with a hard budget: a soft one only tells")
    if terms.at_cap == Budget.AtCap.THROTTLE and terms.period == Budget.Period.TOTAL:
        raise InvalidRequest.field("at_cap", "cannot ask to come again later: the limit is never reset")


def _shares(budget: Budget) -> list[Decimal]:
    return [Decimal(share) for share in budget.alert_at]


_SO_FAR = """
SELECT {value}, SUM(c.amount) FILTER (WHERE c.asset_id = %(asset)s),
       COUNT(DISTINCT c.event_id) - COUNT(DISTINCT c.event_id) FILTER (WHERE c.reverses_id IS NOT NULL)
  FROM billing_usageevent e
  JOIN billing_charge c ON c.event_id = e.id AND c.customer_id = e.customer_id
 WHERE e.customer_id = %(customer)s AND e.id >= %(first)s AND e.received_at >= %(start)s
   AND c.posted_at >= %(since)s AND c.posted_at < %(until)s AND c.written_in >= %(ended)s{conditions}
 GROUP BY 1
"""


def _so_far(
    customer: Customer, terms: Terms, start: datetime, *, until: datetime, after: _Past | None = None
) -> _So_far:
    """What of the window from ``start`` on was debited before ``until``: amount and events, by value.

    ``after``: without what that has counted, which is quick however much that is.
    """
    parameters: dict[str, Any] = {
        "customer": customer.pk,
        "asset": None if terms.asset is None else terms.asset.pk,
        # Ids are of our clock, which may be a little ahead of the database's.
        "first": first_id(start - _SKEW),
        "start": start,
        "since": start if after is None else after.until,
        "until": until,
        "ended": 0 if after is None else after.ended,
    }
    value: sql.Composable = sql.SQL("''")
    conditions: list[sql.Composable] = []
    for name, wanted in terms.scope.items():
        text = sql.SQL("e.type") if name == "type" else sql.SQL("e.data ->> {}").format(sql.Literal(name))
        if wanted == EACH:
            value = sql.SQL("LEFT({}, 255)").format(text)
            conditions.append(sql.SQL(" AND {} <> ''").format(text))
        else:
            parameters[f"wanted_{name}"] = wanted
            conditions.append(sql.SQL(" AND {} = {}").format(text, sql.Placeholder(f"wanted_{name}")))
    if terms.api_key is not None:
        parameters["key"] = terms.api_key.pk
        conditions.append(sql.SQL(" AND e.api_key_id = %(key)s"))
    members = [*terms.members, *([] if terms.member is None else [terms.member])]
    if members:
        parameters |= {"users": _ids(members), "emails": [member.user.email.lower() for member in members]}
        conditions.append(
            sql.SQL(
                " AND (LOWER(e.data ->> 'user') = ANY(%(emails)s)"
                " OR e.api_key_id IN (SELECT id FROM accounts_apikey WHERE created_by_id = ANY(%(users)s)))"
            )
        )
    statement = sql.SQL(_SO_FAR).format(value=value, conditions=sql.SQL("").join(conditions))
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {value: (amount or ZERO, events) for value, amount, events in cursor.fetchall()}


def _sum(one: _So_far, other: _So_far) -> _So_far:
    found = dict(one)
    for value, (amount, events) in other.items():
        before = found.get(value, (ZERO, 0))
        found[value] = (EXACT.add(before[0], amount), before[1] + events)
    return found


def _facts(budget: Budget) -> dict[str, Any]:
    return {
        "customer": budget.customer.external_id,
        "name": budget.name,
        "scope": budget.scope
        | ({"members": [each.email for each in selector.people(budget)]} if budget.people else {}),
        "unit": budget.asset_id or budget.counts,
        "limit": amount_string(budget.limit),
        "period": budget.period,
        "hard": budget.hard,
        "at_cap": budget.at_cap,
        **({} if budget.plan is None else {"plan": budget.plan.code}),
        "alert_at": budget.alert_at,
    }


def _record(
    actor: audit.Actor,
    action: str,
    budget: Budget,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="budget",
        object_id=str(budget.pk),
        organization_id=budget.customer.organization_id,
        before=before,
        after=after,
    )
