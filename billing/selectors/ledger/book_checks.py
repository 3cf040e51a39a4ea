"""The twelve checks of the books against themselves, the provider and their guards. Each gives what differs, in words.

They read and repair nothing. What is safe to repair is repaired by the work that would have done it in time: the sweeps
of ``tasks``, and ``services/funding/reconciliation.py`` for what the provider knows better.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q

from billing.database import APPEND_ONLY
from billing.models import (
    Authorization,
    Discrepancy,
    ExportFile,
    Grant,
    OutboxEvent,
    ProviderEvent,
    Reconciliation,
    RevenueDay,
    Seal,
    Subscription,
    WebhookDelivery,
)
from billing.selectors.invoicing import invoices
from billing.selectors.ledger import books, seals
from billing.selectors.revenue import revenue_books, revenue_days

Kind = Discrepancy.Kind
LATE = timedelta(minutes=5)
"""After so long what should have been passed on, ended or renewed is overdue."""
SEAL_LATE = timedelta(hours=3)
CLOSE_LATE = timedelta(hours=6)
COMPARE_LATE = timedelta(hours=30)
DELIVERY_LATE = timedelta(hours=24)
SETTINGS_ON = ("fsync", "full_page_writes", "synchronous_commit")

_ENTRIES = ("references", "sequence", "running-balance", "charge-entries", "charged-events")
_BALANCES = ("balance-entries", "balance-grants", "last-entry", "floor")
_GRANTS = ("grant-units", "holds")
_DAYS = tuple(revenue_books.INVARIANTS)
_CHARGES = (
    *(Kind.CHARGE_NOT_CREDITED, Kind.CHARGE_FOREIGN, Kind.CHARGE_TWICE, Kind.CHARGE_MISSING, Kind.CHARGE_AMOUNT),
    Kind.FEE,
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a check is told: whether to look at everything, the time, and the seals as they were noted outside."""

    full: bool
    now: datetime
    notes: tuple[tuple[int, str], ...] = ()
    verified: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """``invariants`` are those of ``books`` that belong to it; ``find`` looks at what they do not."""

    title: str
    invariants: tuple[str, ...] = ()
    find: Callable[[Look], Iterator[str]] | None = None

    def differences(self, look: Look) -> Iterator[str]:
        """What differs, in words."""
        for name in self.invariants:
            if look.full or books.INVARIANTS[name].quick:
                yield from map(str, books.differences(name))
        if self.find is not None:
            yield from self.find(look)

    def looks_at_something(self, look: Look) -> bool:
        return look.full or self.find is not None or any(books.INVARIANTS[name].quick for name in self.invariants)


def _charged(look: Look) -> Iterator[str]:
    yield from _compared(look)
    yield from _open(Q(kind__in=_CHARGES))


def _paid_back(look: Look) -> Iterator[str]:
    yield from _open(~Q(kind__in=_CHARGES))


def _compared(look: Look) -> Iterator[str]:
    """The comparison itself: it has to have been made."""
    last = Reconciliation.objects.filter(state=Reconciliation.State.DONE).order_by("-id").first()
    if last is not None and last.started_at < look.now - COMPARE_LATE:
        yield f"The provider's books were last compared on {last.started_at:%Y-%m-%d %H:%M} UTC."


def _open(which: Q) -> Iterator[str]:
    rows = Discrepancy.objects.filter(which, state=Discrepancy.State.OPEN)
    for row in rows.order_by("id")[:5]:
        yield f"{row}: {row.words}"
    if (more := rows.count() - 5) > 0:
        yield f"And {more} more."


def _passed_on(look: Look) -> Iterator[str]:
    late = look.now - LATE
    waiting = {
        "messages wait to be passed on": OutboxEvent.objects.filter(state="new", due_at__lt=late),
        "messages could not be passed on": OutboxEvent.objects.filter(state="parked"),
        "messages of the payment provider wait": ProviderEvent.objects.filter(state="new", due_at__lt=late),
        "messages of the payment provider could not be processed": ProviderEvent.objects.filter(state="parked"),
    }
    for words, rows in waiting.items():
        if count := rows.count():
            yield f"{count} {words}."
    newest = Seal.objects.order_by("-number").values_list("made_at", flat=True).first()
    first = newest or _first_posted()
    if first is not None and first < look.now - SEAL_LATE and _posted_since(first):
        yield f"What was written since {first:%Y-%m-%d %H:%M} UTC is in no seal."


def _first_posted() -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT posted_at FROM billing_ledgertransaction ORDER BY id LIMIT 1")
        row = cursor.fetchone()
    return row[0] if row else None


def _posted_since(moment: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM billing_ledgertransaction WHERE posted_at > %s)", [moment])
        return bool(cursor.fetchone()[0])


def _days(look: Look) -> Iterator[str]:
    if look.full:
        yield from map(str, revenue_books.changed_files())
    else:
        newest = revenue_days.final().first()
        yield from map(str, revenue_books.changed_files([newest] if newest else []))
    overdue = RevenueDay.objects.exclude(state=RevenueDay.State.CLOSED).filter(end__lt=look.now - CLOSE_LATE)
    for day in overdue.filter(version=1):
        yield f"{day} is not closed yet."


def _sealed(look: Look) -> Iterator[str]:
    after = 0
    if not look.full and look.verified is not None and seals.not_as_noted([look.verified]) is None:
        after = look.verified[0]
    yield from map(str, seals.differences(after=after, notes=look.notes))


def _leases(look: Look) -> Iterator[str]:
    hooks = WebhookDelivery.objects.filter(state="pending", endpoint__enabled=True, endpoint__failures=0)
    if count := hooks.filter(due_at__lt=look.now - LATE).count():
        yield f"{count} webhook deliveries wait."
    if count := ExportFile.objects.filter(state="waiting", created_at__lt=look.now - DELIVERY_LATE).count():
        yield f"{count} files are not where EXPORT_TO says."


def _ended(look: Look) -> Iterator[str]:
    late = look.now - LATE
    overdue = {
        "authorizations hold although their time is over": Authorization.objects.filter(
            status="open", expires_at__lt=late
        ),
        "grants have lapsed and are still in their wallets": Grant.objects.filter(
            open=True, posted=True, expires_at__lt=late, remaining__gt=0
        ),
        "grants should have started": Grant.objects.filter(open=True, posted=False, effective_at__lt=late),
        "subscriptions should have been renewed": Subscription.objects.filter(renews_at__lt=late - LATE),
    }
    for words, rows in overdue.items():
        if count := rows.count():
            yield f"{count} {words}."


def _guards(look: Look) -> Iterator[str]:
    """What PostgreSQL is told to keep, and whether the tables' guards stand."""
    with connection.cursor() as cursor:
        for name in SETTINGS_ON:
            cursor.execute("SELECT current_setting(%s)", [name])
            if (value := cursor.fetchone()[0]) == "off":
                yield f"{name} is {value}: what was answered could be lost."
        cursor.execute(
            "SELECT c.relname FROM unnest(%s::text[]) AS t(name)"
            "  LEFT JOIN pg_class c ON c.oid = to_regclass(t.name)"
            " WHERE (SELECT count(*) FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = c.oid"
            "           AND p.proname = 'ante_refuse_change' AND g.tgenabled IN ('O', 'A')) < 2 ORDER BY 1",
            [APPEND_ONLY],
        )
        for (table,) in cursor.fetchall():
            yield f"The guard of {table} is off."
        cursor.execute(
            "SELECT c.relname, g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid"
            " WHERE NOT g.tgisinternal AND g.tgenabled NOT IN ('O', 'A') AND NOT c.relname = ANY(%s) ORDER BY 1, 2",
            [APPEND_ONLY],
        )
        for table, trigger in cursor.fetchall():
            yield f"The guard {trigger} of {table} is off."
        if settings.DATABASE_APP_ROLE:
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS t(name)"
                " WHERE has_table_privilege(%s, name, 'UPDATE, DELETE, TRUNCATE') ORDER BY 1",
                [APPEND_ONLY, settings.DATABASE_APP_ROLE],
            )
            for (table,) in cursor.fetchall():
                yield f"The application's role may change {table}."


_OTHERS = tuple(
    name for name in books.INVARIANTS if name not in {*_ENTRIES, *_BALANCES, *_GRANTS, *_DAYS, *invoices.INVARIANTS}
)

CHECKS: dict[str, Check] = {
    "entries": Check("Every entry has its transaction, its place in the sequence and what it pays for", _ENTRIES),
    "balances": Check("Balances are what their entries and grants say", _BALANCES),
    "grants": Check("Grants and holds are what their entries say", _GRANTS),
    "documents": Check(
        "Top-ups, refunds, disputes, fees, corrections and invoices are what their entries say",
        (*_OTHERS, *invoices.INVARIANTS),
    ),
    "payments": Check("The provider charged what was credited", find=_charged),
    "paid-back": Check("Refunds, disputes and payouts stand at the provider as they stand here", find=_paid_back),
    "passed-on": Check("Messages are passed on and rows are sealed in time", find=_passed_on),
    "days": Check("Closed days are what they were, and go on from each other", _DAYS, _days),
    "seals": Check("Sealed rows are as they were sealed, and the seals as they were noted outside", find=_sealed),
    "leases": Check("What a worker took on is done", find=_leases),
    "ended": Check("Holds, grants and periods whose time is over have ended", find=_ended),
    "guards": Check("PostgreSQL keeps what it was given, and the guards of the tables stand", find=_guards),
}
