"""What people and programs read, at ten thousand ledger entries and at ten million of them, in one run.

Pages are asked for as the web server would ask Django for them, but in this process: the time is the server's own, from
the request to the whole page, with every query. Two sets of tables in one database are asked in turn.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone

from accounts.ids import uuid7
from accounts.models import Membership, Role, User
from accounts.services import api_keys, factors
from billing.bench import history, shop
from billing.bench.history import LARGE, Group, Template
from billing.models import Balance, Customer, EntryKind, LedgerEntry
from billing.selectors.ledger import books
from billing.selectors.ledger import seals as chain
from billing.services import usage
from billing.services.ledger import seals
from billing.services.usage import rollups

SMALL_ROWS = 10_000
REPEATS = 30
LARGE_REPEATS = 7
COPY = "few"
"""The schema whose tables stay at ten thousand entries."""
ENTRIES_AN_EVENT = 2
BAR_RATIO = 1.2
BAR_MS = 200
LOOKING = "office: a rare kind"
"""It looks through so many of the latest entries and no more: more than the ten thousand, however many there are."""


@dataclass(frozen=True, slots=True)
class Read:
    """One page for one customer: medians in milliseconds, at few entries (None: no such wallet then) and at many."""

    page: str
    wallet: str
    few_ms: float | None
    many_ms: float

    @property
    def ratio(self) -> float | None:
        return None if not self.few_ms else self.many_ms / self.few_ms


def prepare(template_customer: str) -> Template:
    """The event that all others are copied from, recorded by the services."""
    customer = Customer.objects.get(external_id=template_customer)
    return Template.record(_event(customer.external_id, "template"), customer)


def _event(customer: str, name: str) -> usage.IncomingEvent:
    return usage.IncomingEvent(
        id=name,
        source="bench",
        type=shop.EVENT_TYPE,
        subject=customer,
        time=None,
        data={
            **{"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 450},
            **{"user": "u_17", "project": "search", "feature": "code-review", "session": "s_9"},
        },
    )


def groups(rows: int) -> tuple[Group, Group]:
    """Ten thousand entries, and what is missing to ``rows``."""
    began = timezone.now() - timedelta(days=history.DAYS)
    few = SMALL_ROWS // ENTRIES_AN_EVENT
    return Group(1, few, began), Group(2, max(1, rows // ENTRIES_AN_EVENT - few), began)


def measure(
    few: Group,
    many: Group,
    *,
    copy: Callable[[str], None],
    grow: Callable[[], None],
    tidy: Callable[[], None],
    say: Callable[[str], None],
) -> list[Read]:
    """Every page in both sets of tables, in rounds that take turns, so that both meet the same moods of the machine.

    ``copy`` keeps what is there in a schema of that name, ``grow`` then adds to the original; ``tidy`` is what
    autovacuum would do by then. A small wallet has as many entries in either, in the second case scattered over large
    tables. The large wallet is only in the second, and has a tenth of everything.
    """
    rollups.roll_up()
    tidy()
    pages = {"few": _pages(few.customer(1))}
    copy(COPY)
    grow()
    started = time.perf_counter()
    rollups.roll_up()
    say(f"rolled up in {time.perf_counter() - started:,.1f} s")
    tidy()
    pages |= {"many": _pages(many.customer(1)), "large": _pages(many.customer(LARGE))}
    original = connections["default"]
    tables = {"few": _connected_to(COPY), "many": original, "large": original}
    times: dict[tuple[str, str], list[float]] = {}
    try:
        for round_number in range(REPEATS + 2):
            for page in pages["few"]:
                # Whoever comes second finds the processor's caches warm: now the one, now the other.
                for which, gets in sorted(pages.items(), reverse=round_number % 2 == 0):
                    if which == "large" and round_number >= LARGE_REPEATS + 2:
                        continue
                    connections["default"] = tables[which]
                    started = time.perf_counter()
                    gets[page]()
                    if round_number >= 2:  # The first fill caches, of ours and of the database's.
                        times.setdefault((page, which), []).append((time.perf_counter() - started) * 1000)
            if round_number >= 2 and round_number % 10 == 0:
                say(f"round {round_number} of {REPEATS}")
    finally:
        tables["few"].close()
        connections["default"] = original
    ms = {key: statistics.median(found) for key, found in times.items()}
    return [
        *(Read(page, "small", ms[page, "few"], ms[page, "many"]) for page in pages["few"]),
        *(Read(page, "large", None, ms[page, "large"]) for page in pages["few"] if page != "healthz"),
    ]


def _connected_to(schema: str) -> Any:
    """A connection like the default one, to the tables of another schema."""
    other = connections.create_connection("default")
    options = dict(other.settings_dict["OPTIONS"])
    options["options"] = f"{options.get('options', '')} -c search_path={schema}"
    other.settings_dict = {**other.settings_dict, "OPTIONS": options}
    return other


def table(reads: list[Read], rows: int) -> str:
    """For people, with the bars."""
    lines = [f"{'page':<22}{'wallet':<8}{'10,000':>10}{f'{rows:,}':>14}  ratio"]
    for read in reads:
        few = "–" if read.few_ms is None else f"{read.few_ms:.1f} ms"
        ratio = "" if read.ratio is None else f"{read.ratio:.2f}"
        lines.append(f"{read.page:<22}{read.wallet:<8}{few:>10}{read.many_ms:>11.1f} ms  {ratio}")
    ratios = [read for read in reads if read.ratio is not None and read.page not in {"healthz", LOOKING}]
    worst = max(ratios, key=lambda read: read.ratio or 0)
    slowest = max(reads, key=lambda read: read.many_ms)
    same = "reached" if (worst.ratio or 0) <= BAR_RATIO else "NOT REACHED"
    quick = "reached" if slowest.many_ms < BAR_MS else "NOT REACHED"
    lines += [
        "",
        f"bar: ≤ {BAR_RATIO} × at ten thousand: {same} ({worst.page}: {worst.ratio:.2f})",
        f"bar: under {BAR_MS} ms: {quick} ({slowest.page}, {slowest.wallet} wallet: {slowest.many_ms:.0f} ms)",
    ]
    return "\n".join(lines)


def seal_and_verify(last: Customer, *, done: Callable[[int], None], say: Callable[[str], None]) -> dict[str, Any]:
    """Seal everything, then one more event of ``last``, verify it all; seconds, rows, and what was wrong."""
    started = time.perf_counter()
    seals.seal(done=done)
    sealed = time.perf_counter()
    say(f"sealed in {sealed - started:,.0f} s")
    usage.record([_event(last.external_id, "last")])
    again = time.perf_counter()
    seals.seal()
    sealed_again = time.perf_counter()
    say(f"one more event sealed in {sealed_again - again:.2f} s")
    with transaction.atomic():
        books.freeze()
        rows = chain.sealed_rows()
        wrong = [str(found) for found in chain.differences(done=done)]
        chained = time.perf_counter()
        say(f"seals verified in {chained - sealed_again:,.0f} s")
        slices = books.slices()
        wrong += [str(found) for found in books.differences(slices=slices)]
    return {
        "rows": rows,
        "seal_seconds": sealed - started,
        "seal_again_seconds": sealed_again - again,
        "verify_seals_seconds": chained - sealed_again,
        "invariants_seconds": time.perf_counter() - chained,
        "wrong": wrong,
        "peak_memory_mb": _peak_memory_mb(),
    }


def _pages(customer: Customer) -> Mapping[str, Callable[[], None]]:
    """What is asked for, as a person of the customer's and as a program."""
    host = urlsplit(settings.BASE_URL).netloc
    client = Client(headers={"host": host})
    user = User.objects.create_user(f"{uuid7().hex}@bench.test")
    Membership.objects.create(user=user, organization=customer.organization, role=Role.OWNER)
    client.force_login(user)
    key = api_keys.issue(name="reads", scopes=["wallets:read"])[1]
    office = _office(host)
    balance = Balance.objects.get(customer=customer)
    middle = LedgerEntry.objects.get(balance=balance, seq=balance.seq // 2)

    def get(path: str, by: Client = client, **headers: str) -> Callable[[], None]:
        def ask() -> None:
            answer = by.get(path, headers=headers)
            if answer.status_code != 200:
                raise AssertionError(f"{path} answered {answer.status_code}")

        return ask

    return {
        "healthz": get("/healthz"),
        "balance (API)": get(f"/api/v1/customers/{customer.external_id}/wallet", authorization=f"Bearer {key}"),
        "dashboard": get("/"),
        "statement": get("/statement"),
        "statement, half way": get(f"/statement?before={middle.pk}"),
        "usage": get("/usage"),
        "office: today": get("/admin/", office),
        "office: customer": get(f"/admin/billing/customer/{customer.pk}/change/", office),
        "office: wallet": get(f"/admin/billing/wallet/{customer.wallet.pk}/change/", office),
        "office: entries": get("/admin/billing/ledgerentry/", office),
        LOOKING: get(f"/admin/billing/ledgerentry/?kind__exact={EntryKind.DISPUTE}", office),
        "office: events": get("/admin/billing/usageevent/", office),
        "office: charges of one": get(f"/admin/billing/charge/?customer__id__exact={customer.pk}", office),
        "office: a receipt": get(f"/admin/billing/usageevent/{middle.transaction_id}/change/", office),
    }


def _office(host: str) -> Client:
    """A browser of the back office, whose second factor was given just now."""
    user = User.objects.create_superuser(f"{uuid7().hex}@office.bench.test")
    client = Client(headers={"host": host})
    client.force_login(user)
    session = client.session
    session["otp_device_id"] = factors.begin(user, confirmed=True).persistent_id
    session["second_factor_at"] = session["seen_at"] = session["signed_in_at"] = int(time.time())
    session.save()
    return client


def _peak_memory_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
