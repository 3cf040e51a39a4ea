"""What staff do about payments: look again, pay back, let a message be worked through again."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from accounts.services import audit, staff
from billing.errors import InvalidState
from billing.models import Approval, Pack, ProviderEvent, Refund, TopUp
from billing.services import approvals
from tests.payments import Bank, Payer, again, work


def test_a_payment_whose_report_was_lost_is_looked_up(office: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url)
    url = reverse("admin:billing_topup_look_up", args=[top_up.pk])
    assert "Ask the provider" in office.get(url).content.decode()
    assert payer.available == 0  # Nothing is done by looking at the question.
    office.post(url)
    assert (again(top_up).status, payer.available) == ("succeeded", 25)


def test_a_top_up_is_paid_back_with_a_reason(office: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.paid()
    url = reverse("admin:billing_topup_refund", args=[top_up.pk])
    assert "$25.00" in office.get(url).content.decode()
    assert office.post(url, {"reason": ""}).status_code == 200
    assert Refund.objects.count() == 0
    office.post(url, {"reason": "Bought by mistake", "paid_back": "0"})
    assert (Refund.objects.get().status, payer.available) == ("succeeded", 0)
    assert bank.charges()[0]["amount_refunded"] == 2500
    trail = AuditEvent.objects.get(action="top_up.refunded")
    assert (trail.actor_label, trail.after["reason"]) == ("finance@ante.test", "Bought by mistake")
    refused = office.post(url, {"reason": "Again", "paid_back": "25"}).content.decode()
    assert "nothing to pay back" in refused


def test_a_payment_that_the_bank_wants_back_is_said_to_be_disputed(office: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.paid()
    pages = (reverse("admin:billing_topup_changelist"), reverse("admin:billing_topup_change", args=[top_up.pk]))

    def said() -> list[bool]:
        return [">Disputed<" in "".join(office.get(page).content.decode().split()) for page in pages]

    assert said() == [False, False]
    dispute = bank.dispute(top_up)
    bank.deliver()
    assert said() == [True, True]
    bank.decide(dispute, "won")
    bank.deliver()
    assert said() == [False, False]


def test_a_part_is_paid_back_and_never_more_than_is_unspent(office: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.paid()
    payer.shop.record(payer.customer, output_tokens=500_000)
    url = reverse("admin:billing_topup_refund", args=[top_up.pk])
    for refused in ("20.01", "0", "-1", "x", "0.001"):
        assert office.post(url, {"reason": "By mistake", "amount": refused, "paid_back": "0"}).status_code == 200
    assert Refund.objects.count() == 0

    shown = office.get(url).context["form"]["paid_back"].value()
    part = {"reason": "By mistake", "amount": "7.50", "paid_back": shown}
    assert office.post(url, part).status_code == 302
    assert "decide anew" in office.post(url, part).content.decode(), "a second click"

    assert (Refund.objects.get().amount, payer.available) == (Decimal("7.5"), Decimal("12.5"))
    assert bank.charges()[0]["amount_refunded"] == 750


def test_a_part_above_the_limit_waits_for_a_second_person(
    office: Client, payer: Payer, bank: Bank, settings: Any
) -> None:
    settings.APPROVAL_ABOVE = {"*": Decimal(5)}
    url = reverse("admin:billing_topup_refund", args=[payer.paid().pk])

    office.post(url, {"reason": "By mistake", "amount": "7.50", "paid_back": "0"})

    waiting = Approval.objects.get()
    assert waiting.terms["amount"] == "7.5"
    assert Refund.objects.count() == 0
    office.post(url, {"reason": "By mistake", "amount": "4", "paid_back": "0"})
    assert Refund.objects.get().amount == 4
    checker = User.objects.create_user("checker@ante.test")
    staff.join(checker, staff.FINANCE)
    with pytest.raises(InvalidState, match="has changed meanwhile"):
        approvals.approve(actor=audit.Actor.of_user(checker, ip_address=None, request_id=""), approval=waiting)


def test_what_a_failed_refund_gave_back_has_not_left_the_wallet(office: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.open("25")
    bank.pay(top_up.attempt.checkout_url, kind="us_bank_account", number="000123456789")
    bank.settle()
    bank.deliver()
    office.post(reverse("admin:billing_topup_refund", args=[top_up.pk]), {"reason": "By mistake", "paid_back": "0"})
    page = reverse("admin:billing_refund_change", args=[Refund.objects.get().pk])
    left = '<span class="ante-amount" title="$25.00">'
    assert office.get(page).content.decode().count(left) == 2, "paid back, and left the wallet"

    with bank.rules.store.changing():
        bank.rules.settle_refund(bank.rules.store.all("refund")[0], well=False)
    bank.deliver()

    assert office.get(page).content.decode().count(left) == 1


def test_a_parked_message_is_worked_through_again(office: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url)
    bank.send(bank.news()[0])
    ProviderEvent.objects.update(state="parked")
    office.post(reverse("admin:billing_providerevent_retry", args=[ProviderEvent.objects.get().pk]))
    work()
    assert TopUp.objects.get().status == "succeeded"


def test_a_pack_is_sold_no_more(office: Client, acme: object) -> None:
    office.post(reverse("admin:billing_pack_withdraw", args=[Pack.objects.get().pk]))
    assert not Pack.objects.get().active
