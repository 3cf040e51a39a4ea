"""Sums by the hour and the charges beyond them are what all charges come to, whatever comes late and whenever.

What usage came to is asked twice: of the rollups as everybody does, and of the charges alone, added up in Python.
"""

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services.audit import SYSTEM
from billing import locks
from billing.engine.money import EXACT
from billing.models import Charge, Customer, RollupMark, UsageDay, UsageDaySum, UsageEvent, UsageRollup
from billing.selectors.customer import members
from billing.selectors.usage import charged_events, usage
from billing.selectors.usage import rollups as selector
from billing.services import usage as recorder
from billing.services.usage import rollups
from billing.services.wallet import corrections
from tests.builders import Shop
from tests.owner import as_owner

START = datetime(2026, 3, 10, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu"]
QUESTIONS: list[dict[str, Any]] = [
    {"group_by": ()},
    {"group_by": ("model", "meter"), "granularity": "hour"},
    {"group_by": ("user", "feature"), "granularity": "month"},
    {"group_by": ("session",)},
    {"group_by": ("region",)},
    {"group_by": ("model",), "meter": "llm_output"},
    {"group_by": ("user",), "granularity": None},
    {"group_by": ("model",), "where": {"user": "user-1", "feature": None}},
    {"group_by": ("model", "user"), "where": {"session": "session-0"}, "granularity": "hour"},
    {"group_by": ("session",), "where": {"region": "region-2", "model": "model-1"}},
    {"group_by": ("api_key",), "where": {"api_key": None}},
    {"group_by": ("feature", "meter"), "granularity": None},
    {"group_by": ("project",), "granularity": "month"},
    {"group_by": ("model",), "granularity": None, "where": {"user": "user-1"}},
    {"group_by": ("user",), "granularity": "hour"},
    {"group_by": ("api_key", "meter"), "granularity": "hour"},
    {"group_by": (), "granularity": "hour", "where": {"feature": "feature-1"}},
    {"group_by": ("project",), "granularity": "hour", "where": {"project": None}},
    {"group_by": ("region",), "where": {"user": "user-1"}},
]


@pytest.fixture
def acme(committed_db: None, shop: Shop) -> Customer:
    dimensions = ["model", "user", "project", "feature", "session", "region"]
    prices = [
        shop.price(shop.meter("llm_input", "input_tokens", dimensions=dimensions), "2.50", per="1000000"),
        shop.price(shop.meter("llm_output", "output_tokens", dimensions=["model", "session"]), "10", per="1000000"),
    ]
    shop.plan("pro", prices)
    customer = shop.customer(usd="1000", timezone="Europe/Berlin", since=START)
    for _ in range(2):
        shop.key(organization=customer.organization)
    return customer


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days get sums of their own however few lines they have."""
    monkeypatch.setattr(rollups, "LINES_MIN", 1)


def some_event(shop: Shop, customer: Customer, chance: random.Random) -> None:
    moment = START + timedelta(minutes=chance.randrange(3 * 24 * 60), seconds=chance.randrange(60))
    named = {name: f"{name}-{chance.randrange(3)}" for name in ("model", "user", "feature", "session", "region")}
    data = {name: value for name, value in named.items() if chance.random() < 0.8}
    for field in chance.choice([("input_tokens",), ("output_tokens",), ("input_tokens", "output_tokens")]):
        data[field] = chance.randrange(1, 5000)
    key = chance.choice([None, None, *keys_of(customer)])
    recorder.record([replace(shop.event(customer, time=moment, data=data), named_key_id=key)])


def keys_of(customer: Customer) -> list[UUID]:
    keys = ApiKey.objects.filter(organization=customer.organization_id)
    return list(keys.order_by("pk").values_list("pk", flat=True))


def borne(charge: Charge) -> dict[str, str]:
    """By what the charge is told apart."""
    key = charge.event.api_key_id
    return charge.dimensions | ({} if key is None else {"api_key": str(key)})


def asked(customer: Customer, start: datetime, end: datetime, zone: str, question: dict[str, Any]) -> list[Any]:
    question = dict(question)
    if question.get("granularity", "day") is None:
        del question["granularity"]
        found = usage.totals(customer_id=customer.pk, start=start, end=end, **question)
    else:
        found = usage.rows(customer_id=customer.pk, start=start, end=end, timezone=ZoneInfo(zone), **question)
    return [
        (row.period_start.astimezone(UTC), row.group, row.asset, row.quantity, row.amount, row.events) for row in found
    ]


def expected(customer: Customer, start: datetime, end: datetime, zone: str, question: dict[str, Any]) -> list[Any]:
    """The same from single charges, one after the other."""
    sums: dict[tuple[Any, ...], list[Any]] = {}
    charges = Charge.objects.filter(customer=customer, occurred_at__gte=start, occurred_at__lt=end)
    for charge in charges.select_related("meter", "event"):
        if question.get("meter") not in (None, charge.meter.code):
            continue
        if any(borne(charge).get(name) != value for name, value in question.get("where", {}).items()):
            continue
        group = tuple(
            charge.meter.code if name == "meter" else borne(charge).get(name) for name in question["group_by"]
        )
        period = _period(charge.occurred_at, start, zone, question.get("granularity", "day"))
        line = sums.setdefault((period, group, charge.asset_id), [Decimal(0), Decimal(0), set(), set()])
        line[0] = EXACT.add(line[0], charge.quantity)
        line[1] = EXACT.add(line[1], charge.amount)
        line[2].add(charge.event_id)
        if charge.reverses_id:
            line[3].add(charge.event_id)
    rows = [(*key, quantity, amount, len(all_) - len(gone)) for key, (quantity, amount, all_, gone) in sums.items()]
    return sorted(rows, key=str)


def _period(moment: datetime, start: datetime, zone: str, granularity: str | None) -> datetime:
    if granularity is None:
        return start.astimezone(UTC)
    local = moment.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
    if granularity != "hour":
        local = local.replace(hour=0)
    if granularity == "month":
        local = local.replace(day=1)
    return local.astimezone(UTC)


def compare(customer: Customer, chance: random.Random) -> None:
    start = START + timedelta(minutes=chance.choice([0, 0, 60, 95]))
    end = START + timedelta(days=3, minutes=chance.choice([0, -35, -600]))
    for question in QUESTIONS:
        zone = chance.choice(ZONES)
        found = sorted(asked(customer, start, end, zone, question), key=str)
        assert found == expected(customer, start, end, zone, question), (start, end, zone, question)
    for where in ({}, {"user": "user-0"}, {"session": "session-1", "region": None}):
        assert listed(customer, start, end, where) == expected_events(customer, start, end, where), (start, end, where)
    member = selector.Member("user-0", tuple(keys_of(customer)[:1]))
    for where in ({}, {"user": "user-1"}):
        theirs = expected_events(customer, start, end, where, member)
        assert listed(customer, start, end, where, member) == theirs, (start, end, where)
        asks: dict[str, Any] = {"customer_id": customer.pk, "start": start, "end": end, "member": member}
        totals = [row.amount for row in usage.totals(**asks, where=where)]
        assert totals == ([sum(amount for *_, amount in theirs)] if theirs else [])
        assert where or totals == [amount for _, amount in members.spent(**asks)]


def compare_totals() -> None:
    """What all customers used is what each of them used."""
    start, end = START - timedelta(days=1), START + timedelta(days=5, minutes=30)
    for question in (("model", "meter"), ()):
        asks: dict[str, Any] = {"start": start, "end": end, "group_by": question, "timezone": ZoneInfo("Asia/Kolkata")}
        together: dict[Any, list[Any]] = {}
        for customer in Customer.objects.all():
            for row in usage.rows(customer_id=customer.pk, **asks):
                held = together.setdefault((row.period_start, row.group, row.asset), [Decimal(0), Decimal(0), 0])
                together[row.period_start, row.group, row.asset] = [
                    EXACT.add(held[0], row.quantity),
                    EXACT.add(held[1], row.amount),
                    held[2] + row.events,
                ]
        assert together == {
            (row.period_start, row.group, row.asset): [row.quantity, row.amount, row.events]
            for row in usage.rows(customer_id=None, **asks)
        }


def listed(
    customer: Customer, start: datetime, end: datetime, where: Any, member: selector.Member | None = None
) -> list[Any]:
    """The events behind a figure, read page by page."""
    found, before = [], None
    while True:
        asks: dict[str, Any] = {"customer_id": customer.pk, "start": start, "end": end, "asset": "usd"}
        page = charged_events.page(**asks, where=where, member=member, before=before, limit=7)
        found += [(row.occurred_at, row.id, row.amount) for row in page.rows]
        before = page.next_before
        if before is None:
            return found


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_of_events_go_on_where_each_hour_has_one(acme: Customer, shop: Shop, oldest_first: bool) -> None:
    for hour in range(4):
        shop.record(acme, time=START + timedelta(hours=hour), output_tokens=1_000)
    span = {"customer_id": acme.pk, "start": START, "end": START + timedelta(days=1), "asset": "usd"}
    found, before = [], None
    for _ in range(4):
        page = charged_events.page(**span, before=before, limit=1, oldest_first=oldest_first)
        found += [row.occurred_at.hour for row in page.rows]
        before = page.next_before

    assert found == ([0, 1, 2, 3] if oldest_first else [3, 2, 1, 0])
    assert before is None


def expected_events(
    customer: Customer, start: datetime, end: datetime, where: Any, member: selector.Member | None = None
) -> list[Any]:
    sums: dict[Any, Decimal] = {}
    charges = Charge.objects.filter(customer=customer, occurred_at__gte=start, occurred_at__lt=end)
    for charge in charges.select_related("event"):
        bears = borne(charge)
        theirs = member is None or bears.get("user") == member.email or charge.event.api_key_id in member.keys
        if theirs and all(bears.get(name) == value for name, value in where.items()):
            key = (charge.occurred_at, charge.event_id)
            sums[key] = EXACT.add(sums.get(key, Decimal(0)), charge.amount)
    return [(*key, amount) for key, amount in sorted(sums.items(), reverse=True)]


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("seed", [1, 2])
def test_sums_and_what_is_beyond_them_are_what_the_charges_come_to(
    acme: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(rollups, "STEP", 10)
    chance = random.Random(seed)
    globex = shop.customer("globex", usd="1000", since=START)
    for step in range(40):
        if step == 20:
            Customer.objects.filter(pk=acme.pk).update(timezone="Asia/Kolkata")
        match chance.choice(["use", "use", "use", "use", "reverse", "refund", "roll", "roll", "days", "days"]):
            case "use":
                some_event(shop, acme, chance)
                some_event(shop, globex, chance)
            case "roll":
                rollups.roll_up()
            case "days":
                rollups.roll_up()
                rollups.sum_days()
            case kind:
                put_right(acme, kind, chance)
        if chance.random() < 0.15:
            compare(acme, chance)
    rollups.roll_up()
    rollups.sum_days()
    compare(acme, chance)
    compare_totals()
    assert selector.exact(acme.pk)
    days = UsageDay.objects.filter(customer=acme)
    assert days.filter(made=True).count() == days.count() >= 3
    assert not any(day.until > after.start for day, after in pairwise(days.order_by("start")))
    rolled = list(UsageRollup.objects.order_by("pk").values())

    call_command("rebuild_rollups")

    compare(acme, chance)
    compare_totals()
    assert selector.exact(acme.pk)
    assert selector.exact_totals()
    assert [row for row in rolled if row["events"] or row["amount"]] == [
        row for row in UsageRollup.objects.order_by("pk").values() if row["events"] or row["amount"]
    ]


def put_right(customer: Customer, kind: str, chance: random.Random) -> None:
    events = UsageEvent.objects.filter(customer=customer, status="charged", corrections__isnull=True).order_by("id")
    if not events:
        return
    event = chance.choice(list(events))
    if kind == "reverse":
        corrections.reverse(actor=SYSTEM, event=event, reason="x")
    else:
        corrections.refund(
            actor=SYSTEM, event=event, asset=event.customer.currency, amount=Decimal("0.0000025"), reason="x"
        )


def test_what_is_committed_late_is_not_missed(acme: Customer, shop: Shop) -> None:
    """A transaction begins, another one commits and is rolled up, and only then does the first one commit."""
    written, go_on = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            shop.record(globex, time=START, output_tokens=1_000)
            written.set()
            go_on.wait(30)
        connection.close()

    globex = shop.customer("globex", usd="10", since=START)
    thread = threading.Thread(target=late)
    thread.start()
    assert written.wait(30)
    shop.record(acme, time=START, output_tokens=1_000)
    rollups.roll_up()
    go_on.set()
    thread.join(30)

    for customer in (acme, globex):
        (row,) = usage.totals(customer_id=customer.pk, start=START, end=START + timedelta(hours=1))
        assert (row.amount, row.events) == (Decimal("0.01"), 1)
    rollups.roll_up()
    for customer in (acme, globex):
        (row,) = usage.totals(customer_id=customer.pk, start=START, end=START + timedelta(hours=1))
        assert (row.amount, row.events) == (Decimal("0.01"), 1)
        assert selector.exact(customer.pk)


def test_sums_are_really_read(acme: Customer, shop: Shop) -> None:
    """The control of this file: what is wrong in the sums is what usage says, and the check finds it."""
    shop.record(acme, time=START, output_tokens=1_000)
    assert rollups.roll_up() == len(selector.GRAINS)
    UsageRollup.objects.update(amount=7)

    (row,) = usage.rows(customer_id=acme.pk, start=START, end=START + timedelta(days=1))

    assert row.amount == 7
    assert not selector.exact(acme.pk)
    with pytest.raises(SystemExit):
        call_command("rebuild_rollups", check=True)
    call_command("rebuild_rollups")
    call_command("rebuild_rollups", check=True)


@pytest.mark.usefixtures("few_are_many")
def test_sums_of_days_are_really_read_and_told_from_their_hours(acme: Customer, shop: Shop) -> None:
    shop.record(acme, time=START, data={"output_tokens": 1_000, "model": "a"})
    rollups.roll_up()
    assert [rollups.sum_days(), rollups.sum_days()] == [1, 0]
    assert UsageDaySum.objects.update(amount=7) == len(selector.DAY_GRAINS)
    question = {"customer_id": acme.pk, "start": START - timedelta(days=1), "end": START + timedelta(days=2)}

    assert [row.amount for row in usage.totals(**question, group_by=("user",))] == [7]
    zone = ZoneInfo("Europe/Berlin")
    assert [row.amount for row in usage.rows(**question, timezone=zone)] == [7]
    # Its day is not a day elsewhere, and an hour is less than a day.
    assert [row.amount for row in usage.rows(**question)] == [Decimal("0.01")]
    assert [row.amount for row in usage.rows(**question, granularity="hour")] == [Decimal("0.01")]
    assert not selector.exact(acme.pk)
    # Nor by user: but of those a made day's hours have sums too.
    by_user: dict[str, Any] = {**question, "group_by": ("user",)}
    assert UsageRollup.objects.filter(grain="user").update(amount=8) == 1
    assert [row.amount for row in usage.rows(**by_user)] == [8]
    assert [row.amount for row in usage.rows(**by_user, granularity="hour", where={"user": None})] == [8]
    assert usage.rows(**by_user, granularity="hour", where={"user": "u"}) == []
    shop.record(acme, time=START, output_tokens=1_000)
    rollups.roll_up()
    assert [row.amount for row in usage.totals(**question)] == [Decimal("0.02")]
    assert [row.amount for row in usage.rows(**by_user, granularity="hour")] == [Decimal("0.02")]
    rollups.sum_days()
    assert selector.exact(acme.pk)
    UsageRollup.objects.filter(grain="feature").update(amount=8)
    assert not selector.exact(acme.pk)


@pytest.mark.usefixtures("few_are_many")
def test_while_days_are_summed_what_is_used_is_added_and_another_at_work_does_not_end_it(
    acme: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(3):
        shop.record(acme, time=START + timedelta(days=day), output_tokens=1_000)
    rollups.roll_up()
    monkeypatch.setattr(rollups, "TURN_SECONDS", 0)
    lock, now = locks.only_one, timezone.now()
    free = iter([True, False])
    monkeypatch.setattr(locks, "only_one", lambda work: next(free, True) and lock(work))
    shop.record(acme, time=now, output_tokens=1_000)

    assert rollups.sum_days() == 3
    assert UsageRollup.objects.filter(hour__gt=now - timedelta(hours=1)).exists()


def test_days_of_few_lines_and_days_that_are_not_over_get_no_sums(acme: Customer, shop: Shop) -> None:
    shop.record(acme, time=START, output_tokens=1_000)
    shop.record(acme, output_tokens=1_000)
    rollups.roll_up()
    assert rollups.sum_days() == 0
    assert [day.made for day in UsageDay.objects.all()] == [False]
    assert not UsageDaySum.objects.exists()


@pytest.fixture
def restored(acme: Customer, shop: Shop) -> Iterator[Customer]:
    """Charges that bear the numbers of another PostgreSQL, some of them numbers that are still to come here."""
    shop.record(acme, time=START, output_tokens=1_000)
    rollups.roll_up()
    shop.record(acme, time=START, output_tokens=1_000)
    as_owner("UPDATE billing_charge SET written_in = written_in + 1000000 WHERE customer_id = %s", acme.pk)
    RollupMark.objects.update(cluster="another")
    return acme


def spent(customer: Customer) -> Decimal:
    return sum(
        (row.amount for row in usage.rows(customer_id=customer.pk, start=START, end=START + timedelta(days=1))),
        Decimal(0),
    )


def test_after_a_restore_charges_are_read_until_the_sums_are_made_anew(restored: Customer, shop: Shop) -> None:
    assert spent(restored) == Decimal("0.02")
    assert rollups.roll_up() == 0

    rollups.rebuild()

    assert spent(restored) == Decimal("0.02")
    shop.record(restored, time=START, output_tokens=1_000)
    assert spent(restored) == Decimal("0.03")
    rollups.roll_up()
    assert spent(restored) == Decimal("0.03")
    assert selector.exact(restored.pk)
    UsageRollup.objects.update(amount=0)
    assert spent(restored) == 0


@pytest.mark.parametrize(("zone", "reads"), [("UTC", False), ("Europe/Berlin", False), ("Asia/Kolkata", True)])
def test_whole_hours_of_everybody_read_no_charge_that_is_in_them(
    acme: Customer, shop: Shop, zone: str, reads: bool
) -> None:
    """Of all customers there is no index by when usage occurred: who asks for half an hour reads them all."""
    for moment in (START, START + timedelta(hours=18, minutes=15)):
        shop.record(acme, time=moment, data={"output_tokens": 1_000, "model": "a"})
    rollups.roll_up()
    day = datetime(2026, 3, 10, tzinfo=ZoneInfo(zone))
    with CaptureQueriesContext(connection) as queries:
        usage.rows(customer_id=None, start=day, end=day + timedelta(days=1), timezone=ZoneInfo(zone))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {queries[-1]['sql']}")
        plan = [line for (line,) in cursor.fetchall()]

    (scan,) = (line for line in plan if " on billing_charge c_2 " in line)
    assert ("never executed" not in scan) is reads, "\n".join(plan)
