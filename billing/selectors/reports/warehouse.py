"""What a warehouse is given: events, charges and entries as they were written, each in a range of what wrote them.

PostgreSQL numbers the transactions that write, and tells the lowest that still runs: below it nothing is added any
more. A range that ends there is whole, and what commits late bears a higher number and is in a later one. A time or an
id as the cursor would miss it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from accounts.ids import uuid7

CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name with their types (``gateways.parquet``), and where they come from. ``numbered`` bears the number
    of the transaction that wrote the row."""

    columns: Mapping[str, tuple[str, str]]
    source: str
    numbered: str

    @property
    def types(self) -> dict[str, str]:
        return {name: kind for name, (kind, _) in self.columns.items()}


_CUSTOMER = ("text", "k.external_id")

TABLES: dict[str, Table] = {
    "events": Table(
        {
            "id": ("text", "e.id::text"),
            "customer": _CUSTOMER,
            "source": ("text", "e.source"),
            "event_id": ("text", "e.event_id"),
            "type": ("text", "e.type"),
            "occurred_at": ("time", "e.occurred_at"),
            "received_at": ("time", "e.received_at"),
            "status": ("text", "e.status"),
            "data": ("text", "e.data::text"),
            "refusal": ("text", "e.refusal::text"),
        },
        "billing_usageevent e JOIN billing_customer k ON k.id = e.customer_id",
        "e",
    ),
    "charges": Table(
        {
            "id": ("text", "c.id::text"),
            "customer": _CUSTOMER,
            "event": ("text", "c.event_id::text"),
            "meter": ("text", "m.code"),
            "plan": ("text", "l.code"),
            "plan_version": ("number", "v.number"),
            "price": ("text", "c.price_id::text"),
            "asset": ("text", "c.asset_id"),
            "quantity": ("amount", "c.quantity"),
            "amount": ("amount", "c.amount"),
            "cost": ("amount", "c.cost"),
            "dimensions": ("text", "c.dimensions::text"),
            "reverses": ("text", "c.reverses_id::text"),
            "refunds": ("text", "c.refunds_id::text"),
            "occurred_at": ("time", "c.occurred_at"),
            "posted_at": ("time", "c.posted_at"),
        },
        "billing_charge c JOIN billing_customer k ON k.id = c.customer_id"
        " LEFT JOIN billing_meter m ON m.id = c.meter_id"
        " LEFT JOIN billing_planversion v ON v.id = c.plan_version_id LEFT JOIN billing_plan l ON l.id = v.plan_id",
        "c",
    ),
    "entries": Table(
        {
            "id": ("text", "e.id::text"),
            "transaction": ("text", "e.transaction_id::text"),
            "template": ("text", "t.template"),
            "reference": ("text", "t.reference"),
            "customer": _CUSTOMER,
            "asset": ("text", "e.asset_id"),
            "kind": ("text", "e.kind"),
            "debit": ("text", "e.debit"),
            "credit": ("text", "e.credit"),
            "amount": ("amount", "e.amount"),
            "seq": ("number", "e.seq"),
            "available_after": ("amount", "e.available_after"),
            "held_after": ("amount", "e.held_after"),
            "grant": ("text", "e.grant_id::text"),
            "charge": ("text", "e.charge_id::text"),
            "occurred_at": ("time", "e.occurred_at"),
            "posted_at": ("time", "e.posted_at"),
        },
        "billing_ledgertransaction t JOIN billing_ledgerentry e ON e.transaction_id = t.id"
        " AND e.customer_id = t.customer_id JOIN billing_customer k ON k.id = e.customer_id",
        "t",
    ),
}


def numbered_elsewhere(kind: str) -> bool:
    """Whether there are rows with numbers that are yet to come: the database was restored from another one."""
    table = TABLES[kind]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM {table.source} WHERE {table.numbered}.written_in"
            " >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
        )
        return bool(cursor.fetchone()[0])


def holds_any(kind: str, *, since: int | None, until: int) -> bool:
    """Whether a file of this range would have a row."""
    table = TABLES[kind]
    which, values = _range(table, since, until)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {table.source} WHERE {which})", values)
        return bool(cursor.fetchone()[0])


def rows(kind: str, *, since: int | None, until: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the range, by id, as ``TABLES[kind].columns`` has them. From a cursor, in a transaction."""
    table = TABLES[kind]
    which, values = _range(table, since, until)
    columns = ", ".join(expression for _, expression in table.columns.values())
    with connection.connection.cursor(name=f"warehouse-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(f"SELECT {columns} FROM {table.source} WHERE {which} ORDER BY {columns.split(',')[0]}", values)
        while found := cursor.fetchmany(CHUNK):
            yield from found


def _range(table: Table, since: int | None, until: int) -> tuple[str, list[int]]:
    """Without ``since`` everything that can be seen, whatever number it bears: after a restore they mean nothing."""
    if since is None:
        return "TRUE", []
    number = f"{table.numbered}.written_in"
    return f"{number} >= %s AND {number} < %s", [since, until]
