"""What if, asked in the back office: small replays at once, large ones by a worker, with progress; nothing written."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.errors import InvalidRequest
from billing.models import Charge, Customer, PlanVersion, WhatIfRun
from billing.services.catalog import what_if, what_if_runs
from billing.tasks import work_what_ifs
from tests.builders import Shop, browser_of

URL = "/admin/what-if/"


@pytest.fixture
def sold(shop: Shop) -> tuple[Customer, Customer]:
    """Two customers: one who would pay more under ``flat``, one who would pay less."""
    acme, globex = shop.customer("acme", usd="100"), shop.customer("globex", usd="100")
    shop.plan("flat", [shop.price(shop.meter("runs"), "1")])
    for _ in range(3):
        shop.record(acme, model="gpt-4o", input_tokens=1000)
    shop.record(globex, model="gpt-4o", input_tokens=2_000_000)
    return acme, globex


def question(**changes: Any) -> dict[str, Any]:
    today = timezone.localdate()
    fields = {"first": today - timedelta(days=5), "last": today, "customer": "", "model": "", "instead": ""}
    flat = PlanVersion.objects.filter(plan__code="flat").first()
    return {**fields, "plan_version": flat.pk if flat else ""} | changes


def test_a_small_replay_is_shown_at_once(office: Client, sold: tuple[Customer, Customer]):
    before = list(Charge.objects.values())
    response = office.post(URL, question(), follow=True)
    run = WhatIfRun.objects.get()
    assert (run.state, run.done, run.total) == ("done", 4, 4)
    context = response.context
    assert [row["customer"] for row in context["rows"]] == ["acme", "globex"]
    assert (context["winners"], context["losers"]) == (1, 1)
    # 3 × $0.0025 and $5 really; a dollar a run then.
    assert "$4.00" in context["whole"]["then"]
    assert "$5.00" in context["whole"]["now"]
    assert [round(value, 4) for value in context["chart"]["series"][0]["values"]] == [-4.0, 2.9925]
    assert list(Charge.objects.values()) == before
    assert "Asked before" in office.get(URL).content.decode()
    assert context["user"].email in office.get(URL).content.decode()


def test_a_large_one_is_a_workers_and_shows_its_progress(
    office: Client, sold: tuple[Customer, Customer], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(what_if_runs, "AT_ONCE_MAX", 0)
    page = office.post(URL, question(), follow=True)
    run = WhatIfRun.objects.get()
    assert run.state == "queued"
    assert page.context["running"]
    assert 'data-again="running"' in page.content.decode()

    monkeypatch.setattr(what_if_runs, "WORK_SECONDS", -1.0)
    work_what_ifs()
    assert WhatIfRun.objects.get().state == "queued", "it was not even time to begin"
    monkeypatch.setattr(what_if_runs, "WORK_SECONDS", 240.0)
    what_if_runs._work_on(run, until=0.0)
    run.refresh_from_db()
    assert (run.state, len(run.rows)) == ("running", 1)
    half = office.get(reverse("admin:billing_what_if_run", args=[run.pk]))
    assert half.context["percent"] in {25, 75}

    work_what_ifs()
    run.refresh_from_db()
    assert (run.state, run.done, len(run.rows)) == ("done", 4, 2)
    over = office.get(reverse("admin:billing_what_if_run", args=[run.pk]))
    assert not over.context["running"]
    work_what_ifs()
    assert len(WhatIfRun.objects.get().rows) == 2


def test_two_workers_do_not_do_the_same(sold: tuple[Customer, Customer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(what_if_runs, "AT_ONCE_MAX", 0)
    now = timezone.now()
    flat = PlanVersion.objects.get(plan__code="flat")
    run = what_if_runs.ask(asked_by="x", start=now - timedelta(days=1), end=now, plan_version=flat)
    cache.set(f"what_if:{run.pk}:held", 1, 60)
    work_what_ifs()
    run.refresh_from_db()
    assert run.state == "queued"
    cache.delete(f"what_if:{run.pk}:held")
    work_what_ifs()
    run.refresh_from_db()
    assert run.state == "done"


def test_what_cannot_be_replayed_says_why(
    office: Client, sold: tuple[Customer, Customer], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise InvalidRequest("This cannot be worked out.")

    monkeypatch.setattr(what_if, "replay", refuse)
    page = office.post(URL, question(), follow=True)
    assert WhatIfRun.objects.get().state == "failed"
    assert "This cannot be worked out." in page.content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer": "nobody"}, "customer"),
        ({"model": "a"}, "instead"),
        ({"first": "2026-02-01", "last": "2026-01-01"}, "last"),
        ({"first": "soon"}, "first"),
        ({"plan_version": ""}, "__all__"),
        ({"plan_version": "x"}, "plan_version"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    office: Client, sold: tuple[Customer, Customer], changes: dict[str, Any], field: str
):
    page = office.post(URL, question(**changes))
    assert page.status_code == 200
    assert field in page.context["form"].errors
    assert not WhatIfRun.objects.exists()


def test_the_download_runs_no_formula(office: Client, shop: Shop):
    shop.plan("flat", [shop.price(shop.meter("runs"), "1")])
    shop.record(shop.customer("=cmd", usd="1"), model="m", input_tokens=1)
    office.post(URL, question())
    text = office.get(f"{URL}{WhatIfRun.objects.get().pk}/?format=csv").getvalue().decode()
    assert text.splitlines()[1].startswith("'=cmd,usd,1,0.0000025,1,")


def test_who_may_not_see_costs_may_not_ask(finance: Any, sold: tuple[Customer, Customer]):
    from accounts.models import User

    clerk = User.objects.create_user("clerk@ante.test", "correct horse battery", is_staff=True)
    for url in (URL, f"{URL}{sold[0].pk}/", "/admin/try-event/"):
        assert browser_of(clerk).get(url).status_code == 403
