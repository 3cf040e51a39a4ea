"""A long history without waiting for it: rows copied from one real event, set by set, as if the services had made them.

A group of customers is one large wallet, which has a tenth of the events, and many small ones. Every event is what the
template's was: the same columns, the same amounts, with identifiers, times, sequences and balances of its own, spread
over forty days or another span. The books of it are right, and can be verified and sealed like any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.models import Charge, Customer, LedgerEntry, SubscriptionPeriod, SubscriptionPhase
from billing.services import usage

DAYS = 40
CHUNK = 20_000
EVENTS_A_SMALL_WALLET = 50
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet", "gemini-flash", "llama-70b")
NUMBERS_A_GROUP = 1_000_000_000
LONG_TABLES = ("billing_usageevent", "billing_ledgertransaction", "billing_charge", "billing_ledgerentry")
LARGE = 0
"""The number of the large wallet's customer in its group; small ones have 1 and up."""


@dataclass(frozen=True, slots=True)
class Template:
    """One customer with one event, made by the services."""

    customer: Customer
    event: UUID
    charges: list[Charge] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)

    @classmethod
    def record(cls, event: usage.IncomingEvent, customer: Customer) -> "Template":
        usage.record([event])
        charges = list(Charge.objects.filter(customer=customer).order_by("id"))
        entries = [LedgerEntry.objects.get(charge=charge) for charge in charges]
        return cls(customer, charges[0].event_id, charges, sorted(entries, key=lambda entry: entry.seq or 0))


@dataclass(frozen=True, slots=True)
class Group:
    """``events`` events of one large and ``small`` small wallets."""

    number: int
    events: int
    began: datetime
    span: timedelta = timedelta(days=DAYS)

    @property
    def small(self) -> int:
        return max(1, self.events * 9 // 10 // EVENTS_A_SMALL_WALLET)

    def customer(self, number: int) -> Customer:
        return Customer.objects.get(external_id=f"history-{self.number}-{number}")


def make(group: Group, template: Template, *, done: Callable[[int], None]) -> None:
    """Write the group's customers and events. ``done`` is told of events."""
    first = LedgerEntry.objects.get(customer=template.customer, seq=1)
    of_large = (group.events + 9) // 10
    customers = f"""(
        SELECT k, CASE WHEN k = {LARGE} THEN {of_large}
                       ELSE ({group.events - of_large} - k + {group.small}) / {group.small} END AS count,
               %(began)s::timestamptz - interval '1 hour' AS at,
               (extract(epoch FROM %(began)s::timestamptz - interval '1 hour') * 1000)::bigint AS ms, k AS n
          FROM generate_series(%(low)s::bigint, %(high)s::bigint) k)"""  # noqa: S608 - numbers of ours
    spent = "s.count * %(cost)s::numeric"
    whose = _whose(group)
    with transaction.atomic():
        values = _values(group, template) | {"low": 0, "high": group.small}
        name = f"'history-{group.number}-' || s.k"
        for table, columns in {
            "accounts_organization": {"id": _id("0"), "name": name},
            "billing_customer": {
                **{"id": _id("c"), "organization_id": _id("0"), "external_id": name, "name": name},
            },
            "billing_wallet": {"id": _id("1"), "customer_id": _id("c")},
            "billing_balance": {
                **{"id": _id("b"), "customer_id": _id("c"), "wallet_id": _id("1"), "seq": "1 + s.count * %(entries)s"},
                **{"available": f"t.lifetime_granted - {spent}", "lifetime_spent": spent},
            },
            "billing_grant": {
                **{"id": _id("9"), "customer_id": _id("c"), "balance_id": _id("b")},
                **{"remaining": f"t.amount - {spent}", "drawn": spent},
            },
            "billing_subscription": {"id": _id("5"), "customer_id": _id("c")},
            "billing_ledgertransaction": {
                **{"id": _id("6"), "customer_id": _id("c"), "reference": f"'grant ' || {name}"},
                **{"occurred_at": "s.at", "posted_at": "s.at"},
            },
            "billing_ledgerentry": {
                **{"id": _id("7"), "customer_id": _id("c"), "transaction_id": _id("6"), "balance_id": _id("b")},
                **{"grant_id": _id("9"), "occurred_at": "s.at", "posted_at": "s.at"},
            },
        }.items():
            where = {
                "accounts_organization": ("id", template.customer.organization_id),
                "billing_customer": ("id", template.customer.pk),
                "billing_ledgertransaction": ("id", first.transaction_id),
                "billing_ledgerentry": ("id", first.pk),
            }.get(table, ("customer_id", template.customer.pk))
            _copy(table, where, customers, columns, values)
        for kind, model in (("f", SubscriptionPhase), ("8", SubscriptionPeriod)):
            for position, row_id in enumerate(model.objects.filter(customer=template.customer).values_list("pk")):
                columns = {"id": _id(f"{kind}{position}"), "customer_id": _id("c"), "subscription_id": _id("5")}
                _copy(model._meta.db_table, ("id", row_id[0]), customers, columns, values)
    for low in range(0, group.events, CHUNK):
        high = min(group.events, low + CHUNK) - 1
        with transaction.atomic():
            _events(group, template, whose, _values(group, template) | {"low": low, "high": high})
        done(high - low + 1)


def _events(group: Group, template: Template, series: str, values: Mapping[str, Any]) -> None:
    times = {"occurred_at": "s.at", "posted_at": "s.at"}
    event = {"id": _id("e"), "customer_id": _id("c", "s.k", "s.start")}
    named = f"'history-{group.number}-' || s.n"
    _copy(
        "billing_usageevent",
        ("id", template.event),
        series,
        event | {"event_id": named, "occurred_at": "s.at", "received_at": "s.at"},
        values,
    )
    _copy("billing_ledgertransaction", ("id", template.event), series, event | times | {"reference": named}, values)
    model = f"(ARRAY[{', '.join(map(repr, MODELS))}])[1 + s.n %% {len(MODELS)}]"
    for position, charge in enumerate(template.charges):
        columns = {
            **{"id": _id(f"a{position}"), "customer_id": _id("c", "s.k", "s.start"), "event_id": _id("e")},
            "subscription_id": _id("5", "s.k", "s.start"),
            "dimensions": f"jsonb_set(t.dimensions, '{{model}}', to_jsonb({model}))",
        }
        _copy("billing_charge", ("id", charge.pk), series, columns | times, values)
    paid = "0"
    for position, entry in enumerate(template.entries):
        charge_at = next(at for at, charge in enumerate(template.charges) if charge.pk == entry.charge_id)
        paid += f" + {entry.amount}"
        columns = {
            **{"id": _id(f"d{position}"), "customer_id": _id("c", "s.k", "s.start"), "transaction_id": _id("e")},
            **{"balance_id": _id("b", "s.k", "s.start"), "grant_id": _id("9", "s.k", "s.start")},
            **{"charge_id": _id(f"a{charge_at}"), "seq": f"2 + s.j * %(entries)s + {position}"},
            "available_after": f"%(funds)s::numeric - s.j * %(cost)s::numeric - ({paid})",
        }
        _copy("billing_ledgerentry", ("id", entry.pk), series, columns | times, values)


def _whose(group: Group) -> str:
    """Numbers of events, each with its customer (``k``), which of the customer's it is (``j``) and its time."""
    return f"""(
        SELECT n, CASE WHEN n %% 10 = 0 THEN {LARGE} ELSE 1 + (n - n / 10 - 1) %% {group.small} END AS k,
               CASE WHEN n %% 10 = 0 THEN n / 10 ELSE (n - n / 10 - 1) / {group.small} END AS j, at, start,
               (extract(epoch FROM at) * 1000)::bigint AS ms
          FROM (SELECT n, %(began)s::timestamptz + n * %(span)s::interval / {group.events} AS at,
                       (extract(epoch FROM %(began)s::timestamptz - interval '1 hour') * 1000)::bigint AS start
                  FROM generate_series(%(low)s::bigint, %(high)s::bigint) n) numbers)"""  # noqa: S608 - numbers of ours


def _id(kind: str, number: str = "s.n", ms: str = "s.ms") -> str:
    """A UUID of version 7 that says what it is of: made from the time, the kind and the number, not drawn."""
    return f"(lpad(to_hex({ms}), 12, '0') || '7{kind:0<3}8' || lpad(to_hex({number} + %(offset)s), 15, '0'))::uuid"


def _values(group: Group, template: Template) -> dict[str, Any]:
    first = LedgerEntry.objects.get(customer=template.customer, seq=1)
    return {
        "began": group.began,
        "span": group.span,
        "offset": group.number * NUMBERS_A_GROUP,
        "entries": len(template.entries),
        "cost": sum(entry.amount for entry in template.entries),
        "funds": first.available_after,
    }


def _copy(
    table: str, where: tuple[str, Any], series: str, columns: Mapping[str, str], values: Mapping[str, Any]
) -> None:
    """A row of ``table`` for each row ``s`` of the series: the template ``t``, but for ``columns``."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attname <> 'written_in'",
            [table],
        )
        names = [row[0] for row in cursor]
        listed = ", ".join(f'"{name}"' for name in names)
        chosen = ", ".join(columns.get(name, f't."{name}"') for name in names)
        column, key = where
        cursor.execute(
            f"INSERT INTO {table} ({listed}) SELECT {chosen}"  # noqa: S608 - names of ours
            f" FROM {table} t, {series} s WHERE t.{column} = %(key)s",
            {**values, "key": key},
        )
