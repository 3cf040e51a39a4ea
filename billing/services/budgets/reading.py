"""Reading what decisions on budgets rest on, under the customers' locks.

A customer bears a mark that it has budgets, which comes along with its plans. Whoever has none is asked no more; those
that are known to have some are read in the same round trip as everything else.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing import pipeline
from billing.engine.budgets import Scope, Use
from billing.services.budgets.deciding import Budgets
from billing.services.budgets.states import BudgetState, CounterState, Held, add
from billing.services.ledger.posting import Journal

_KNOWN_MAX = 100_000
_known: set[UUID] = set()
"""Customers that had budgets when this process last looked: only a hint, the mark decides."""

_BUDGETS = """
SELECT b.id, b.customer_id, b.name, b.asset_id, b.counts, b.limit_amount, b.period, b.hard, b.at_cap, b.alert_at,
       c.timezone, b.scope, b.api_key_id, b.member_id IS NOT NULL OR b.people <> '{}',
       b.plan_id IS NOT NULL AND EXISTS (
           SELECT FROM billing_subscription s
             JOIN billing_budget h ON h.customer_id = s.customer_id AND h.plan_id = s.plan_id AND h.removed_at IS NULL
            WHERE s.customer_id = b.customer_id AND s.starts_at <= now() AND s.ends_at IS NULL
              AND (h.limit_amount, h.id) >= (b.limit_amount, b.id)),
       b.plan_id IS NOT NULL AND (b.plan_failed_at IS NULL OR b.plan_failed_at < now() - interval '1 minute'),
       k.id, k.value, k.window_start, k.window_end, k.spent, k.level, k.exceeded
  FROM billing_budget b
  JOIN billing_customer c ON c.id = b.customer_id
  LEFT JOIN billing_budgetcounter k ON k.budget_id = b.id AND k.customer_id = b.customer_id AND k.value = ANY(%s)
 WHERE b.customer_id = ANY(%s) AND b.removed_at IS NULL
 ORDER BY b.id
"""
_HELD = """
SELECT a.id, a.customer_id, a.type, a.data, a.api_key_id, a.used, h.asset_id, SUM(h.outstanding),
       NULL::timestamptz, NULL::timestamptz
  FROM billing_authorization a
  LEFT JOIN billing_hold h ON h.authorization_id = a.id AND h.outstanding > 0
 WHERE a.customer_id = ANY(%s) AND a.status = 'open'
 GROUP BY a.id, h.asset_id
 UNION ALL
SELECT e.id, e.customer_id, e.type, e.data, e.api_key_id, '{}'::jsonb, u.asset_id, u.required,
       e.occurred_at, e.received_at
  FROM billing_unpaidusage u
  JOIN billing_usageevent e ON e.id = u.event_id AND e.customer_id = u.customer_id
 WHERE u.customer_id = ANY(%s) AND u.open
"""
_RENEWALS = """
WITH RECURSIVE chain AS (
    SELECT id, id AS first FROM accounts_apikey WHERE id = ANY(%s)
    UNION ALL
    SELECT k.id, chain.first FROM accounts_apikey k JOIN chain ON k.renews_id = chain.id
)
SELECT first, id FROM chain
"""
_MEMBERS = """
SELECT b.id, u.email, k.id
  FROM billing_budget b
  JOIN billing_customer c ON c.id = b.customer_id
  JOIN accounts_user u ON u.id = b.member_id OR u.id = ANY(b.people)
  LEFT JOIN accounts_apikey k ON k.created_by_id = u.id AND k.organization_id = c.organization_id
 WHERE b.id = ANY(%s)
"""


class Reading:
    """The budgets of some customers, as far as ``uses`` need them. ``queries`` run under the customers' locks.

    ``surely``: ask for them whether or not they are known to have any; then nobody needs to look at the mark.
    """

    def __init__(
        self, customer_ids: Collection[UUID], uses: Callable[[], Iterable[Use]], *, surely: bool = False
    ) -> None:
        self._ids = set(customer_ids) if surely else _known.intersection(customer_ids)
        self._uses = uses
        self.queries = self._asking(self._ids)

    def load(self, journal: Journal, budgeted: Collection[UUID] = ()) -> Budgets:
        """What was found. ``budgeted`` are customers with the mark: those of them that were not asked for are now."""
        unknown = set(budgeted) - self._ids
        asked = [self.queries]
        if unknown:
            if len(_known) + len(unknown) > _KNOWN_MAX:
                _known.clear()
            _known.update(unknown)
            asked.append(self._asking(unknown))
            pipeline.run(asked[-1])
        found = Budgets(journal)
        for queries in filter(None, asked):
            budgets, held = queries
            found.take(_states(budgets.rows), held_by(held.rows))
        return found

    def _asking(self, ids: Collection[UUID]) -> list[pipeline.Query]:
        if not ids:
            return []
        values = {"", *(text for use in self._uses() for text in use.texts())}
        return [pipeline.Query(_BUDGETS, [list(values), list(ids)]), reading_held(ids)]


def _states(rows: Sequence[tuple[Any, ...]]) -> list[BudgetState]:
    found: dict[UUID, BudgetState] = {}
    renewals, members = _keys({row[12] for row in rows} - {None}), _people({row[0] for row in rows if row[13]})
    for id_, customer_id, name, asset, counts, limit, period, hard, at_cap, alert_at, zone, *rest in rows:
        values, api_key_id, of_people, moved, may_move, counter_id, *counter = rest
        state = found.get(id_)
        if state is None:
            people = members[id_] if of_people else ()
            scope = Scope(values, renewals[api_key_id] if api_key_id else None, *people)
            shares = tuple(map(Decimal, alert_at))
            terms = (name, scope, asset, counts, limit, period, hard, at_cap, shares, ZoneInfo(zone))
            state = found[id_] = BudgetState(id_, customer_id, *terms, moved, may_move)
        if counter_id is not None:
            kept = CounterState(counter_id, *counter)
            kept.stored = True
            state.counters[kept.value] = kept
    return list(found.values())


def reading_held(customer_ids: Collection[UUID]) -> pipeline.Query:
    """The customers' open authorizations and unpaid usage, for ``held_by``."""
    return pipeline.Query(_HELD, [list(customer_ids), list(customer_ids)])


def held_by(rows: Sequence[tuple[Any, ...]]) -> dict[UUID, list[Held]]:
    """What they set aside, or take, by customer."""
    found: dict[UUID, dict[UUID, Held]] = {}
    for id_, customer_id, type_, data, api_key_id, used, asset, outstanding, *at in rows:
        new = Held(id_, Use(type_, data, api_key_id), {}, 1 if type_ else 0, used, *at)
        held = found.setdefault(customer_id, {}).setdefault(id_, new)
        if asset is not None:
            add(held.amounts, asset, outstanding)
    return {customer_id: list(theirs.values()) for customer_id, theirs in found.items()}


def _keys(ids: Collection[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Each key with all that renew it."""
    grouped: dict[UUID, set[UUID]] = {}
    if ids:
        query = pipeline.Query(_RENEWALS, [list(ids)])
        pipeline.run([query])
        for first, id_ in query.rows:
            grouped.setdefault(first, set()).add(id_)
    return {first: frozenset(keys) for first, keys in grouped.items()}


def _people(ids: Collection[UUID]) -> dict[UUID, tuple[frozenset[str], frozenset[UUID]]]:
    """Of each of these budgets, the members' addresses, and the keys that they made."""
    addresses: dict[UUID, set[str]] = {}
    keys: dict[UUID, set[UUID]] = {}
    if ids:
        query = pipeline.Query(_MEMBERS, [list(ids)])
        pipeline.run([query])
        for id_, email, key_id in query.rows:
            addresses.setdefault(id_, set()).add(email.lower())
            keys.setdefault(id_, set()).update({key_id} - {None})
    return {id_: (frozenset(emails), frozenset(keys[id_])) for id_, emails in addresses.items()}
