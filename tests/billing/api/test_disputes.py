"""``/disputes`` and the evidence: what is disputed, and all that the books know about it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.errors import InvalidState, PaymentsUnavailable
from billing.models import Authorization, Customer, Dispute, Seal, UsageEvent
from billing.services import authorizations, usage
from billing.services.funding import answering, evidence_papers
from billing.services.ledger import seals
from billing.services.wallet import charge_disputes, corrections
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop
from tests.payments import Bank, Payer, again


def disputed(api: Api, **fields: object) -> dict[str, object]:
    body = {"customer": "acme", "events": ["one"], "reason": "Not ours"} | fields
    return dict(api.send("POST", "/disputes", body).json())


def test_a_case_from_end_to_end(shop: Shop, api: Api) -> None:
    acme = shop.customer(usd="10")
    shop.record(acme, id="one", input_tokens=400_000)

    made = disputed(api)
    found = api.get(f"/disputes/{made['id']}").json()

    assert made == found
    assert (made["kind"], made["status"], made["events"], made["amounts"]) == ("charges", "open", ["one"], {"usd": "1"})
    assert api.get("/disputes?customer=acme").json()["data"] == [made]
    assert api.get("/disputes?kind=payment").json()["data"] == []
    problem(api.send("POST", "/disputes", {"customer": "acme", "events": ["one"], "reason": "x"}), 409, "invalid_state")


def test_many_cases_are_read_like_one(shop: Shop, api: Api, django_assert_num_queries: Any) -> None:
    acme = shop.customer(usd="10")
    for name in ("one", "two", "three"):
        shop.record(acme, id=name, input_tokens=400_000)
    disputed(api)
    with CaptureQueriesContext(connection) as queries:
        api.get("/disputes?customer=acme")
    alone = len(queries)

    disputed(api, events=["two"])
    disputed(api, events=["three"])

    with django_assert_num_queries(alone):
        found = api.get("/disputes?customer=acme").json()["data"]
    assert [case["events"] for case in found] == [["three"], ["two"], ["one"]]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"events": ["missing"]}, "events"),
        ({"events": []}, "events"),
        ({"events": ["one"] * 101}, "events"),
        ({"events": "one"}, "events"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"because": "x"}, "because"),
    ],
    ids=["missing", "none", "many", "text", "no reason", "long reason", "unknown"],
)
def test_what_makes_no_case_names_the_field(shop: Shop, api: Api, fields: dict[str, object], wrong: str) -> None:
    shop.record(shop.customer(usd="10"), id="one", input_tokens=1000)
    body = {"customer": "acme", "events": ["one"], "reason": "Not ours"} | fields

    refused = problem(api.send("POST", "/disputes", body), 400, "invalid_request")

    assert {error["field"].split(".")[0] for error in refused["errors"]} == {wrong}
    assert api.get("/disputes").json()["data"] == []


def test_a_customers_own_key_disputes_its_own_charges_alone(shop: Shop) -> None:
    acme, globex = shop.customer(usd="10"), shop.customer("globex", usd="10")
    for customer in (acme, globex):
        shop.record(customer, id="one", input_tokens=1000)
    _, secret = api_keys.issue(name="x", scopes=["disputes:write", "disputes:read"], organization=acme.organization)
    own = Api(secret)

    assert disputed(own)["status"] == "open"
    problem(own.send("POST", "/disputes", {"customer": "globex", "events": ["one"], "reason": "x"}), 404, "not_found")
    one = UsageEvent.objects.get(customer=globex)
    theirs = charge_disputes.lodge(actor=SYSTEM, customer=globex, events=[one], reason="x")
    problem(own.get(f"/disputes/{theirs.pk}"), 404, "not_found")
    problem(own.get(f"/disputes/{theirs.pk}/evidence"), 404, "not_found")
    assert len(own.get("/disputes").json()["data"]) == 1


def test_the_evidence_leads_from_the_event_to_the_money_that_paid_for_it(
    committed_db: None, payer: Payer, api: Api
) -> None:
    top_up = payer.paid("25")
    opened = authorizations.open_amount(customer=payer.customer, asset=payer.shop.usd, amount=Decimal(2)).authorization
    event = cloud_event("one", data={"input_tokens": 400_000, "model": "gpt-4o", "session": "s_9"})
    captured = api.send("POST", f"/authorizations/{opened.pk}/capture", {"event": event})
    assert captured.status_code == 200
    seals.seal()
    made = disputed(api)

    pack = api.get(f"/disputes/{made['id']}/evidence").json()

    (one,) = pack["events"]
    assert one["data"]["input_tokens"] == 400_000
    assert one["reported_by"]["prefix"].startswith("sk_live_")
    assert one["session"] == "s_9"
    assert one["request"] == {"id": captured["X-Request-Id"], "address_hash": hashed(payer.customer)}
    assert one["authorization"]["id"] == str(Authorization.objects.get().pk)
    assert one["balances"] == {"usd": {"before": "25", "after": "24"}}
    (charge,) = [charge for charge in one["charges"] if charge["quantity"] != "0"]
    assert (charge["amount"], charge["plan_version"]) == ("1", 1)
    assert charge["arithmetic"][0]["amount"] == "1"
    assert charge["grants"][0]["grant"] == str(top_up.grant_id)
    (payment,) = pack["payments"]
    assert (payment["top_up"], payment["charge_at_provider"]) == (str(top_up.pk), again(top_up).attempt.charge_id)
    assert payment["method"]["last4"] == "4242"
    number = one["entries"][0]["seal"]
    assert [seal["hash"] for seal in pack["seals"] if seal["number"] == number] == [
        bytes(Seal.objects.get(number=number).hash).hex()
    ]
    assert api.get("/events/one/evidence").json()["events"] == pack["events"]
    for path in (f"/disputes/{made['id']}/evidence/pdf", "/events/one/evidence/pdf"):
        paper = api.get(path)
        assert (paper["Content-Type"], paper.content[:5]) == ("application/pdf", b"%PDF-")


def hashed(customer: Customer, address: str = "127.0.0.1") -> str:
    key = Customer.objects.values_list("origin_key", flat=True).get(pk=customer.pk)
    assert key is not None
    return usage.address_hash(address, key)


def test_which_request_brought_it_and_whose_address_it_was_is_told_by_a_hash(
    shop: Shop, api: Api, settings: Any
) -> None:
    acme = shop.customer(usd="10")
    batch = api.post("/events", [cloud_event(name) for name in ("one", "two")])
    settings.SECRET_KEY = "another one"
    api.post("/events", cloud_event("three"))

    found = [api.get(f"/events/{name}/evidence").json()["events"][0]["request"] for name in ("one", "two", "three")]

    assert found[0] == found[1] == {"id": batch["X-Request-Id"], "address_hash": hashed(acme)}
    assert found[2]["id"] != found[0]["id"]
    assert found[2]["address_hash"] == found[0]["address_hash"]
    assert "127.0.0.1" not in str(list(UsageEvent.objects.values()))
    assert len({hashed(acme), hashed(acme, "203.0.113.9"), hashed(shop.customer("other"))}) == 3
    assert shop.record(id="within", input_tokens=1).status == "charged"
    assert api.get("/events/within/evidence").json()["events"][0]["request"] is None


@pytest.mark.parametrize("way", ["event", "batch", "lago", "capture"])
def test_what_callers_call_their_requests_is_not_kept(payer: Payer, api: Api, way: str) -> None:
    payer.paid("25")
    opened = authorizations.open_amount(customer=payer.customer, asset=payer.shop.usd, amount=Decimal(2)).authorization
    event = cloud_event("one")
    lago = {"transaction_id": "one", "code": event["type"], "external_customer_id": "acme", "properties": event["data"]}
    path, body = {
        "event": ("/events", event),
        "batch": ("/events", [event]),
        "lago": ("/events", {"event": lago}),
        "capture": (f"/authorizations/{opened.pk}/capture", {"event": event}),
    }[way]

    sent = api.send("POST", path, body, x_request_id="jane.doe")

    assert (sent.status_code in {200, 201}, sent["X-Request-Id"]) == (True, "jane.doe")
    assert UsageEvent.objects.get().origin == f" {hashed(payer.customer)}"
    request = api.get("/events/one/evidence").json()["events"][0]["request"]
    assert request == {"id": None, "address_hash": hashed(payer.customer)}


def test_what_was_given_back_is_in_the_evidence_and_what_it_costs_us_is_not(shop: Shop, api: Api) -> None:
    shop.record(shop.customer(usd="10"), id="one", input_tokens=1000, note="a # $hash and \\ [brackets]")
    event = UsageEvent.objects.get(event_id="one")
    corrections.reverse(actor=SYSTEM, event=event, reason="Ours alone")

    pack = api.get("/events/one/evidence").json()

    assert pack["events"][0]["net_cost"] == {"usd": "0"}
    assert pack["events"][0]["corrections"][0]["amounts"] == {"usd": "0.0025"}
    assert "Ours alone" not in json.dumps(pack)
    assert "markup" not in json.dumps(pack)
    assert evidence_papers.pdf(pack)[:5] == b"%PDF-"


def card_dispute(payer: Payer, bank: Bank) -> Dispute:
    top_up = payer.paid("25")
    payer.shop.record(payer.customer, id="one", input_tokens=400_000)
    bank.news()
    bank.dispute(top_up)
    bank.deliver()
    return Dispute.objects.select_related("customer", "top_up").get()


def test_the_banks_question_is_answered_with_it_once(payer: Payer, bank: Bank, api: Api) -> None:
    dispute = card_dispute(payer, bank)

    pack = api.get(f"/disputes/{dispute.pk}/evidence").json()
    answered = answering.send(actor=SYSTEM, dispute=dispute)

    assert pack["used"]["events"] == 1
    assert pack["used"]["amount"] == "1"
    (there,) = bank.rules.store.all("dispute")
    assert there["evidence"]["customer_name"] == "Acme"
    assert "one" in there["evidence"]["access_activity_log"]
    assert answered.status == "under_review"
    assert Dispute.objects.get().evidence_sent_at is not None
    with pytest.raises(InvalidState):
        answering.send(actor=SYSTEM, dispute=dispute)
    assert api.get(f"/disputes/{dispute.pk}").json()["kind"] == "payment"


@pytest.mark.parametrize("fault", ["timeout_after", "timeout_before", "error_before"])
def test_an_answer_of_which_nothing_is_known_can_be_sent_again(payer: Payer, bank: Bank, fault: str) -> None:
    dispute = card_dispute(payer, bank)
    bank.faults(fault, call="POST /v1/disputes", times=5)
    with pytest.raises(PaymentsUnavailable):
        answering.send(actor=SYSTEM, dispute=dispute)
    bank.faults()

    try:
        answering.send(actor=SYSTEM, dispute=dispute)
    except InvalidState:
        assert fault == "timeout_after"

    assert Dispute.objects.get().evidence_sent_at is not None
    assert bank.rules.store.all("dispute")[0]["evidence_details"]["submission_count"] == 1
