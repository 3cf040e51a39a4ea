"""Disputed charges in the back office: the evidence with one click, and the decision with an answer."""

import json
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from accounts.services.audit import SYSTEM
from billing.models import ChargeDispute, Customer, Dispute, UsageEvent
from billing.services.wallet import charge_disputes
from tests.builders import Shop
from tests.payments import Bank, Payer


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="10")


@pytest.fixture
def case(shop: Shop, acme: Customer) -> ChargeDispute:
    shop.record(acme, id="one", input_tokens=400_000)
    events = [UsageEvent.objects.get(event_id="one")]
    return charge_disputes.lodge(actor=SYSTEM, customer=acme, events=events, reason="We were asleep")


def url(page: str, row: object) -> str:
    return reverse(f"admin:billing_{page}", args=[row])


def test_accepted_with_an_answer_the_charge_goes_back(
    office: Client, shop: Shop, acme: Customer, case: ChargeDispute
) -> None:
    shown = office.get(url("chargedispute_change", case.pk)).content.decode()
    assert "We were asleep" in shown
    assert "one" in shown
    asked = url("chargedispute_accept", case.pk)
    assert office.post(asked, {"reason": ""}).status_code == 200
    assert shop.balance(acme).available == Decimal(9)

    assert office.post(asked, {"reason": "You are right"}).status_code == 302

    assert shop.balance(acme).available == Decimal(10)
    assert ChargeDispute.objects.get().answer == "You are right"
    assert "decided on already" in office.post(url("chargedispute_decline", case.pk), {"reason": "No"}).content.decode()


def test_more_than_one_person_may_give_back_is_reversed_with_a_second_person_first(
    office: Client, shop: Shop, acme: Customer, case: ChargeDispute
) -> None:
    shop.fund(acme, "100000")
    shop.record(acme, id="large", input_tokens=20_000_000_000)
    large = [UsageEvent.objects.get(event_id="large")]
    heavy = charge_disputes.lodge(actor=SYSTEM, customer=acme, events=large, reason="Too much")
    before = shop.balance(acme).available

    answer = office.post(url("chargedispute_accept", heavy.pk), {"reason": "Yes"}).content.decode()

    assert "Reverse the charges on their own pages first" in answer
    assert shop.balance(acme).available == before
    assert ChargeDispute.objects.get(pk=heavy.pk).status == "open"


def test_evidence_is_one_click_away(office: Client, case: ChargeDispute) -> None:
    event = UsageEvent.objects.get()
    for page, row in (("chargedispute", case.pk), ("usageevent", event.pk)):
        paper = office.get(url(f"{page}_evidence", row))
        pack = office.get(url(f"{page}_evidence_json", row))
        assert paper.content[:5] == b"%PDF-"
        assert f'filename="evidence-{row}.pdf"' in paper["Content-Disposition"]
        assert json.loads(pack.content)["events"][0]["id"] == "one"


def test_a_banks_question_is_answered_from_its_page(office: Client, shop: Shop, bank: Bank) -> None:
    payer = Payer(shop, bank)
    top_up = payer.paid("25")
    bank.news()
    bank.dispute(top_up)
    bank.deliver()
    dispute = Dispute.objects.get()
    refund = url("topup_refund", dispute.top_up_id)
    assert refund not in office.get(url("topup_change", dispute.top_up_id)).content.decode()
    assert office.get(url("dispute_evidence", dispute.pk)).content[:5] == b"%PDF-"
    sent = url("dispute_send_evidence", dispute.pk)
    assert office.get(sent).status_code == 200
    assert Dispute.objects.get().evidence_sent_at is None

    assert office.post(sent).status_code == 302

    assert Dispute.objects.get().status == "under_review"
    assert Dispute.objects.get().evidence_sent_at is not None
