"""How far a list looks for what it shows, and from when to when."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import lists
from accounts.ids import first_id
from accounts.services.audit import SYSTEM
from billing.models import Customer, EntryKind, LedgerEntry, LedgerTransaction
from billing.services.wallet import corrections, grants
from tests.builders import Shop


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists look through three rows at a time."""
    monkeypatch.setattr(lists, "LOOKED_THROUGH", 3)


def listed(office: Client, **query: str) -> Any:
    """The list of entries as its page has it."""
    answer = office.get(reverse("admin:billing_ledgerentry_changelist"), query)
    assert answer.status_code == 200
    return answer.context["cl"]


def further(office: Client, found: Any, path: str = "") -> Iterator[Any]:
    """One look after the other, to the end."""
    yield found
    while found.look and found.look.further:
        answer = office.get((path or reverse("admin:billing_ledgerentry_changelist")) + found.look.further)
        found = answer.context["cl"]
        yield found


@pytest.mark.usefixtures("three")
def test_looks_one_after_the_other_find_every_row_once(office: Client, acme: Customer):
    wanted = list(LedgerEntry.objects.filter(kind=EntryKind.TOP_UP).order_by("-id"))
    looks = list(further(office, listed(office, kind__exact="top_up")))

    assert LedgerEntry.objects.count() > 6
    assert len(looks) == -(-LedgerEntry.objects.count() // 3)
    assert [entry for each in looks for entry in each.result_list] == wanted
    assert looks[0].look.latest is None
    assert looks[-1].look.further is None
    assert {each.look.latest for each in looks[1:]} == {"?kind__exact=top_up"}


@pytest.mark.usefixtures("three")
def test_a_page_says_how_far_it_looked_with_rows_and_without(office: Client, acme: Customer):
    path = reverse("admin:billing_ledgerentry_changelist")
    said = "Looked through the latest 3 ledger entries."

    assert said in office.get(path, {"kind__exact": "breakage"}).content.decode()
    some = listed(office, kind__exact=LedgerEntry.objects.latest("id").kind)
    assert some.result_count
    assert said in office.get(path + some.get_query_string()).content.decode()


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("query", [{}, {"when": "today"}, {"q": "acme"}, {"kind__exact": ""}, {"before": "nonsense"}])
def test_what_an_index_gives_is_looked_for_everywhere(office: Client, acme: Customer, query: dict[str, str]):
    found = listed(office, **query)

    there = LedgerEntry.objects.filter(customer=acme) if "q" in query else LedgerEntry.objects.all()
    assert found.look is None
    assert found.result_count == there.count() > 3


@pytest.mark.usefixtures("three")
def test_looking_stays_within_what_an_index_gives(office: Client, acme: Customer, shop: Shop):
    """The latest of one customer's rows, however many others are later."""
    for number in range(5):
        shop.customer(f"later_{number}", usd="1")
    latest = list(LedgerEntry.objects.filter(customer=acme).order_by("-id")[:3])
    found = listed(office, kind__exact=latest[0].kind, customer__id__exact=str(acme.pk))

    assert list(found.result_list) == [entry for entry in latest if entry.kind == latest[0].kind]


@pytest.mark.usefixtures("three")
def test_few_rows_are_all_looked_at(office: Client, acme: Customer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lists, "LOOKED_THROUGH", LedgerEntry.objects.count())
    assert listed(office, kind__exact="top_up").look is None


@pytest.mark.parametrize(
    ("side", "later", "time", "is_found"),
    [
        ("from", 0, "", True),
        ("from", 1, "", False),
        ("from", 0, "12:30:00", True),
        ("from", 0, "12:30:01", False),
        ("to", 0, "", True),
        ("to", -1, "", False),
        ("to", 0, "12:30:00", True),
        ("to", 0, "12:29:59", False),
    ],
)
def test_a_moment_is_of_the_time_zone_that_is_shown_and_a_day_is_whole(
    office: Client, shop: Shop, settings: Any, side: str, later: int, time: str, is_found: bool
):
    settings.TIME_ZONE = "America/New_York"
    day = timezone.localtime() - timedelta(days=2)
    moment = day.replace(hour=12, minute=30, second=0, microsecond=500_000)
    shop.record(shop.customer("acme", usd="10"), time=moment, model="gpt-4o", output_tokens=1000)
    asked = {f"occurred_at_{side}_0": f"{day + timedelta(days=later):%Y-%m-%d}", f"occurred_at_{side}_1": time}

    found = listed(office, kind__exact="usage", **asked)
    assert found.result_count == is_found


def test_what_is_no_moment_narrows_nothing(office: Client, acme: Customer):
    found = listed(office, occurred_at_from_0="the day after", occurred_at_to_0="2026-13-40")
    assert found.result_count == LedgerEntry.objects.count()


def test_when_it_was_made_is_read_off_the_ids(office: Client, acme: Customer):
    trail = reverse("admin:accounts_auditevent_changelist")
    for day, is_found in ((timezone.localdate(), True), (timezone.localdate() + timedelta(days=2), False)):
        with CaptureQueriesContext(connection) as queries:
            answer = office.get(trail, {"created_at_from_0": day.isoformat()})
        assert bool(answer.context["cl"].result_count) is is_found
        listing = [each["sql"] for each in queries if 'FROM "accounts_auditevent"' in each["sql"]]
        assert all('"accounts_auditevent"."id" >= ' in each for each in listing)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("billing_grant", {"created_at_to_0": "9999-12-31"}),
        ("billing_grant", {"created_at_from_0": "0001-01-01"}),
        ("billing_ledgerentry", {"occurred_at_to_0": "9999-12-31"}),
        ("billing_ledgerentry", {"when": "0001-01-01"}),
        ("accounts_auditevent", {"created_at_from_0": "0001-01-01"}),
        ("billing_asset", {"o": "1", "before": "\x00"}),
    ],
)
def test_what_can_be_no_row_of_the_calendar_narrows_nothing(office: Client, path: str, query: dict[str, str]):
    assert office.get(reverse(f"admin:{path}_changelist"), query).status_code == 200


@pytest.mark.parametrize("page", ["billing_margins", "billing_revenue"])
@pytest.mark.parametrize("period", ["9999-12-31", "9999-12", "0001-01-01", "2026-02-30"])
def test_a_period_at_the_end_of_the_calendar_is_the_usual_one(office: Client, page: str, period: str):
    assert office.get(reverse(f"admin:{page}"), {"period": period}).status_code == 200


def test_a_grant_whose_id_is_older_than_it_is_found_when_it_was_made(office: Client, acme: Customer, shop: Shop):
    """A top-up names its grant when it is asked for; by bank debit the grant is made days later."""
    grant = grants.create(
        actor=SYSTEM,
        customer=acme,
        asset=shop.usd,
        amount=Decimal(7),
        kind="promotional",
        id=first_id(timezone.now() - timedelta(days=3)),
    )
    today = {"created_at_from_0": f"{timezone.localtime():%Y-%m-%d}"}

    found = office.get(reverse("admin:billing_grant_changelist"), today).context["cl"]

    assert grant in found.result_list


@pytest.mark.usefixtures("three")
def test_a_transaction_whose_id_is_older_than_it_is_found_when_it_was_posted(
    office: Client, acme: Customer, monkeypatch: pytest.MonkeyPatch
):
    """Usage that is collected late bears the event's id, and a fee that is paid late bears the fee's."""
    monkeypatch.setattr(corrections, "uuid7", lambda: first_id(timezone.now() - timedelta(days=3)))
    corrections.adjust(actor=SYSTEM, customer=acme, asset=acme.currency, amount=Decimal(-1), reason="Paid late")
    late = LedgerTransaction.objects.earliest("id")
    path = reverse("admin:billing_ledgertransaction_changelist")

    looks = list(further(office, office.get(path, {"when": "today"}).context["cl"], path))

    rows = [row for each in looks for row in each.result_list]
    assert rows == list(LedgerTransaction.objects.order_by("-id"))
    assert rows[-1] == late
    yesterday = f"{timezone.localtime() - timedelta(days=1):%Y-%m-%d}"
    before = office.get(path, {"when": yesterday}).context["cl"]
    assert (list(before.result_list), before.look) == ([], None)
