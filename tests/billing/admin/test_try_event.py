"""Trying an event out: meters, quantities, prices, cost and charge, and nothing written."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.services.audit import SYSTEM
from billing.models import Charge, PlanVersion, UsageEvent
from billing.services.catalog import costs
from tests.builders import Shop

URL = "/admin/try-event/"


def attempt(office: Client, version: PlanVersion, data: Any, type: str = "llm.completion") -> Any:
    sample = data if isinstance(data, str) else json.dumps(data)
    return office.post(URL, {"type": type, "sample": sample, "plan_version": version.pk})


def test_it_says_what_the_event_would_come_to(office: Client, shop: Shop):
    version = shop.plan()
    shop.meter("images", "images")
    costs.create(actor=SYSTEM, provider="openai", model="gpt-4o", unit="input", unit_cost=Decimal("0.000001"))
    assert office.get(URL).status_code == 200
    page = attempt(office, version, {"model": "gpt-4o", "input_tokens": 2000, "output_tokens": 100})
    result = page.context["result"]
    assert [(row["quantity"].count("2,000"), bool(row["why"])) for row in result["metered"]] == [
        (0, True),
        (1, False),
        (0, False),
    ]
    assert [row["meter"] for row in result["priced"]] == ["llm_input", "llm_output"]
    assert "$0.006" in result["totals"][0]["amount"].replace("</span><small>", "")
    assert "$0.002" in result["cost"].replace("</span><small>", "")
    assert "66.7 %" in result["share"]
    assert not UsageEvent.objects.exists()
    assert not Charge.objects.exists()


def test_what_has_no_price_or_no_cost_is_said(office: Client, shop: Shop):
    version = shop.plan("only", [shop.price(shop.meter("llm_input", "input_tokens"), "1", model=["gpt-4o"])])
    page = attempt(office, version, {"model": "other", "input_tokens": 5})
    assert page.context["result"]["refused"] == (
        "The plan only has no price for llm_input with model other. Add one to its next version."
    )
    assert "The cost catalogue has none" in page.content.decode()
    wrong = attempt(office, version, {"model": "gpt-4o", "input_tokens": "many"})
    assert wrong.context["result"]["refused"] == "input_tokens must be a number. Correct it in the data."
    assert wrong.context["result"]["metered"][0]["why"] == wrong.context["result"]["refused"]
    assert "No meter counts" in attempt(office, version, {}, type="unheard").content.decode()
    shop.meter("pages", "pages", filter={"status": ["ok", "done"]})
    without = attempt(office, version, {"status": "failed"}).context["result"]
    assert [row["why"] for row in without["metered"]] == [
        "The event has no input_tokens, which is what it counts.",
        "Its filter asks for status done or ok, and the event says failed.",
    ]
    assert without["refused"] == (
        f"{version} has a price for none of the meters that count this event. Choose another plan, or add a price to "
        "its next version."
    )


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("", "required"),
        ('{\n  "a": 1\n  "b": 2}', "Line 3, character 3 is not JSON"),
        ("[]", "in braces"),
        ("7", "in braces"),
        ('{"a": NaN}', "NaN is no number: write a number there"),
        ("[" * 10_000, "nested too deeply"),
        (r'{"specversion": "1.0", "data": {}, "type": "x", "subject": "\u0000"}', "NUL character"),
        (r'{"model": "\ud800", "input_tokens": 1}', "half of a surrogate pair"),
    ],
    ids=["empty", "comma", "list", "number", "nan", "deep", "nul", "surrogate"],
)
def test_what_is_no_data_is_refused(office: Client, shop: Shop, sample: str, said: str):
    page = attempt(office, shop.plan(), sample)
    assert page.status_code == 200
    assert said in page.context["form"].errors["sample"][0]


def test_a_whole_event_is_rated_for_its_customer_beside_what_was_refused_of_late(office: Client, shop: Shop):
    acme, version = shop.customer(usd="1"), shop.plan()
    shop.record(acme, id="too-much", input_tokens=10**9)
    used = {"data": {"input_tokens": 200_000, "output_tokens": 0}, "subject": "acme", "type": "llm.completion"}
    assert "too-much" in office.get(URL).content.decode()

    page = attempt(office, version, {"specversion": "1.0", "id": "x", "source": "s", **used}, type="")
    payer = page.context["result"]["payer"]

    assert [row["meter"] for row in payer["lines"]] == ["llm_input", "llm_output"]
    assert [(total["enough"], "$0.50" in total["amount"], "$1" in total["left"]) for total in payer["totals"]] == [
        (True, True, True)
    ]
    assert "too-much" in page.content.decode()
    more = attempt(office, version, {"specversion": "1.0", **used, "data": {"input_tokens": 10**6}})
    assert not more.context["result"]["payer"]["totals"][0]["enough"]
    assert "too little" in more.content.decode()
    assert (
        "no customer with this id"
        in attempt(office, version, {"specversion": "1.0", **used, "subject": "nobody"}).content.decode()
    )
    assert UsageEvent.objects.count() == 1
