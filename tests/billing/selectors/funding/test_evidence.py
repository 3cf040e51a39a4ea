"""What is put together for somebody who doubts a payment."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Dispute
from billing.selectors.funding import evidence
from tests.payments import Bank, Payer


def test_many_events_take_as_many_statements_as_one(payer: Payer, bank: Bank) -> None:
    bank.dispute(payer.paid("25"), status="warning_needs_response")
    bank.deliver()
    dispute = Dispute.objects.select_related("customer", "top_up__attempt").get()
    asked = []
    for events in (1, 0, 5):
        for _ in range(events):
            payer.shop.record(payer.customer, input_tokens=1000, output_tokens=1000)
        with CaptureQueriesContext(connection) as seen:
            pack = evidence.of_payment_dispute(dispute)
        asked.append(len(seen))

    assert len(pack["events"]) == 6
    assert all(event["charges"] and event["entries"] for event in pack["events"])
    assert asked[1] == asked[2]
