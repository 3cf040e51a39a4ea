"""Lists stay quick however many rows there are: no statement reads more of a table than can be paged through.

Each table is grown in turn, by copies of what the fixture made, in a temporary table that stands before it; what the
database read for each statement is what it says itself. With ``ANTE_LONG=1`` the long ones have a million rows.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.db import connection
from django.db.models import BooleanField, DateTimeField, Model, UUIDField
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from accounts import backoffice, lists
from accounts.models import AuditEvent
from billing.admin.base import BookAdmin
from billing.models import Customer

LONG = bool(os.environ.get("ANTE_LONG"))
ROWS = 1_000_000 if LONG else 600
PAGED_MAX = lists.ROWS_MAX if LONG else 100
LOOKED_THROUGH = lists.LOOKED_THROUGH if LONG else 150
BOOKS = [model for model, page in admin.site._registry.items() if isinstance(page, BookAdmin) or model is AuditEvent]
OWN = {f"billing.{name}" for name in ("Plan", "PlanVersion", "Price", "TaxRule", "ProviderCost", "Overhead")}
"""What the operator writes by hand, and of which there are never many."""
UNINDEXED = {"billing.OutboxEvent", "billing.WebhookDelivery"}
"""Searched row by row: an index would cost every message."""
AVOIDED = (("enable_seqscan",), ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"))
"""How the database reads a small table whole where an index would serve: without the first, and without all of them."""
GROWN = sorted(
    (
        model
        for model in (BOOKS if LONG else admin.site._registry)
        if model._meta.label not in OWN and model._meta.pk.get_internal_type() in {"UUIDField", "BigAutoField"}
    ),
    key=lambda model: model._meta.label,
)


@contextmanager
def grown(model: type[Model]) -> Iterator[None]:
    """The model's table with ``ROWS`` rows more, its indexes as they are; none but the first need be unique."""
    meta = model._meta
    table, key = meta.db_table, meta.pk.column
    others = ", ".join(f'"{field.column}"' for field in meta.concrete_fields if not field.primary_key)
    copied = "n + 1000000"
    if isinstance(meta.pk, UUIDField):  # Of version 7 in what counts here: they grow with time.
        copied = (
            f"(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - {ROWS} + n), 12, '0')"
            " || substr(replace(gen_random_uuid()::text, '-', ''), 13))::uuid"
        )
    with connection.cursor() as cursor:
        named = "schemaname = 'public' AND tablename = %s AND indexname NOT LIKE '%%_pkey'"
        cursor.execute(f"SELECT indexdef FROM pg_indexes WHERE {named}", [table])
        indexes = [definition for (definition,) in cursor.fetchall()]
        cursor.execute(f"CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING DEFAULTS)")
        try:
            cursor.execute(
                f"INSERT INTO {table} ({key}, {others}) SELECT {key}, {others} FROM public.{table} UNION ALL"
                f" SELECT {copied}, {others} FROM generate_series(1, {ROWS}) n JOIN"
                f" (SELECT *, row_number() OVER () AS place, count(*) OVER () AS places FROM public.{table}) r"
                " ON r.place = n % r.places + 1"
            )
            cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
            for definition in indexes:
                kept = definition.replace("CREATE UNIQUE", "CREATE")
                cursor.execute(kept.replace(f" ON public.{table} ", f" ON pg_temp.{table} "))
            cursor.execute(f"ANALYZE {table}")
            yield
        finally:
            cursor.execute(f"DROP TABLE pg_temp.{table}")


def read_of(table: str, statement: str) -> int:
    """How many rows of the table the database needs to read for this statement.

    Which way it takes depends on what it believes of the nearly empty tables beside it: so the better of two.
    """
    return min(_read_of(table, statement, avoided) for avoided in AVOIDED)


def _read_of(table: str, statement: str, avoided: tuple[str, ...]) -> int:
    with connection.cursor() as cursor:
        for way in avoided:
            cursor.execute(f"SET LOCAL {way} = off")
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}")
        (found,) = cursor.fetchone()
        for way in avoided:
            cursor.execute(f"SET LOCAL {way} = on")

    def below(node: dict[str, Any]) -> float:
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        here = (node["Actual Rows"] + removed) * node["Actual Loops"] if node.get("Relation Name") == table else 0
        return float(here) + sum(map(below, node.get("Plans", [])))

    return round(below(found[0]["Plan"]))


def worst(office: Client, model: type[Model], query: dict[str, str]) -> tuple[int, str]:
    """The most that one statement of the list reads of its table, and that statement."""
    meta = model._meta
    with CaptureQueriesContext(connection) as queries:
        answer = office.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"), query)
    assert answer.status_code == 200, (meta.label, query)
    asked = [each["sql"] for each in queries if meta.db_table in each["sql"] and each["sql"].startswith("SELECT")]
    return max((read_of(meta.db_table, statement), statement) for statement in asked)


def narrowed(model: type[Model]) -> Iterator[dict[str, str]]:
    """What each filter of the list asks for, by a value that no row has where there is one: the longest search."""
    for each in admin.site._registry[model].list_filter:
        if isinstance(each, type) and issubclass(each, admin.SimpleListFilter):
            continue  # They know how their rows are found.
        path = each if isinstance(each, str) else each[0]
        field = get_fields_from_path(model, path)[-1]
        if isinstance(field, DateTimeField):
            yield {f"{path}_from_0": "2099-01-01", f"{path}_from_1": "00:00:00"}
        elif field.is_relation:
            key = field.related_model._meta.pk
            yield {f"{path}__{key.name}__exact": str(uuid4()) if isinstance(key, UUIDField) else "none"}
        elif field.choices:
            there = set(model._default_manager.values_list(path, flat=True))
            absent = [value for value, _ in field.flatchoices if value not in there]
            yield {f"{path}__exact": str((absent or sorted(there))[0])}
        else:
            yield {f"{path}__exact": "0" if isinstance(field, BooleanField) else "none"}


def asked_of(model: type[Model], customer: Customer) -> list[dict[str, str]]:
    """What is asked of a list: as it is, and, of those that grow for ever, the usual ways to narrow it down."""
    if model is AuditEvent:
        return [{}, *({"q": term} for term in ("test.done", "finance@ante.test", str(uuid4()), "nothing of the sort"))]
    if model not in BOOKS or model._meta.label in UNINDEXED:
        return [{}]
    return [{}, {"q": customer.external_id}, {"q": str(uuid4())}]


def within(queries: list[dict[str, str]], model: type[Model], customer: Customer) -> list[dict[str, str]]:
    """The same within one customer's rows, where a list that grows for ever can be narrowed down to them."""
    if model not in BOOKS or ("customer", AutocompleteSelectFilter) not in admin.site._registry[model].list_filter:
        return []
    return [query | {"customer__id__exact": str(customer.pk)} for query in queries]


def test_no_list_reads_more_than_can_be_paged_through(
    office: Client, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "ROWS_MAX", PAGED_MAX)
    monkeypatch.setattr(lists, "LOOKED_THROUGH", LOOKED_THROUGH)
    too_much = []
    for model in GROWN:
        with grown(model):
            sifted = list(narrowed(model))
            # Most of the rows are the one customer's, so that the database may as well pass over the others'.
            asked = [
                *((query, PAGED_MAX) for query in asked_of(model, acme)),
                *((query, LOOKED_THROUGH) for query in sifted),
                *((query, LOOKED_THROUGH * 2) for query in within(sifted, model, acme)),
            ]
            for query, most in asked:
                rows, statement = worst(office, model, query)
                if rows > most + 1:
                    too_much.append(f"{model._meta.label} {query} reads {rows} rows: {statement}")
    assert not too_much, "\n".join(too_much)


def test_a_count_of_everything_would_be_found(office: Client, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: Django's own paginator."""
    monkeypatch.setattr(lists, "ROWS_MAX", ROWS * 2)
    model = next(model for model in BOOKS if model._meta.label == "billing.LedgerEntry")
    with grown(model):
        assert worst(office, model, {})[0] > ROWS


def test_every_page_of_ours_is_of_the_kind_that_stays_quick() -> None:
    pages = admin.site._registry.values()

    assert [page for page in pages if not isinstance(page, backoffice.BackOfficeAdmin)] == []
    for page in pages:
        assert page.paginator is lists.CappedPaginator, page
        assert (page.show_full_result_count, page.date_hierarchy) == (False, None), page
