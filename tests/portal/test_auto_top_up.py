"""The page on which customers have their wallet topped up by itself."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent
from billing.models import AutoTopUp
from billing.services.funding import automatic
from tests.builders import browser_of
from tests.payments import KEPT_DECLINED, Bank, Payer

FORM = {"threshold": "20", "buy": "amount", "amount": "100", "target": "", "monthly_limit": "1000", "method": ""}


@pytest.fixture
def owner(payer: Payer) -> Client:
    return browser_of(payer.shop.member(payer.customer))


def test_a_customer_sets_it_up_and_changes_it(owner: Client, payer: Payer, bank: Bank) -> None:
    kept = payer.keep()
    assert "Off" in owner.get("/auto-top-up").content.decode()
    assert owner.post("/auto-top-up/save", FORM).status_code == 302
    rule = AutoTopUp.objects.get()
    assert (rule.threshold, rule.amount, rule.monthly_limit, rule.method) == (20, 100, 1000, None)
    owner.post("/auto-top-up/save", FORM | {"threshold": "30", "method": str(kept.pk)})
    rule.refresh_from_db()
    assert (rule.threshold, rule.method) == (30, kept)
    changed = AuditEvent.objects.filter(action="auto_top_up.changed").latest("pk")
    assert changed.before is not None
    assert changed.after is not None
    assert (changed.before["threshold"], changed.after["threshold"]) == ("20", "30")
    automatic.run_due()
    assert payer.available == 100
    page = owner.get("/auto-top-up").content.decode()
    assert "$100.00" in page
    owner.post("/auto-top-up/auto_top_up/off")
    assert not AutoTopUp.objects.get().enabled


def test_filling_up_and_fixed_times(owner: Client, payer: Payer) -> None:
    payer.keep()
    owner.post("/auto-top-up/save", FORM | {"buy": "target", "target": "50"})
    owner.post("/auto-top-up/schedule", {"regular": "25", "every": "week", "method": ""})
    low, regular = AutoTopUp.objects.order_by("purpose")
    assert (low.amount, low.target) == (None, Decimal(50))
    assert (regular.every, regular.amount) == ("week", 25)
    assert regular.due_at > regular.created_at
    assert "Next:" in owner.get("/auto-top-up").content.decode()


def test_what_suspended_it_is_shown_with_a_way_to_put_it_right(owner: Client, payer: Payer, bank: Bank) -> None:
    owner.post("/auto-top-up/save", FORM)
    automatic.run_due()
    assert "No payment method is kept" in owner.get("/auto-top-up").content.decode()
    assert "Automatic top-ups have stopped" in owner.get("/top-up").content.decode()
    payer.keep()
    owner.post("/auto-top-up/auto_top_up/on")
    automatic.run_due()
    assert payer.available == 100


def test_the_first_decline_is_shown_with_when_it_is_tried_again(owner: Client, payer: Payer) -> None:
    payer.keep(KEPT_DECLINED)
    owner.post("/auto-top-up/save", FORM)
    automatic.run_due()

    page = owner.get("/auto-top-up").content.decode()

    assert "the last charge was declined." in page
    assert "It is tried again" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": "x"}, "Balance is not a number"),
        ({"threshold": "1e18"}, "Balance is not a number"),
        ({"amount": "1"}, "Amount must be"),
        ({"buy": "target", "target": "10"}, "Fill-up amount must be above"),
        ({"monthly_limit": "5"}, "Monthly limit must reach"),
        ({"method": "nonsense"}, "Payment method is not kept"),
    ],
    ids=["threshold", "beyond the books", "amount", "target", "limit", "method"],
)
def test_what_is_wrong_is_said_in_words(owner: Client, payer: Payer, change: dict[str, Any], words: str) -> None:
    response = owner.post("/auto-top-up/save", FORM | change)
    assert response.status_code == 400
    page = response.content.decode()
    assert words in page
    assert '<option value="month" selected>' in page  # The other form stays as it was.
    assert not AutoTopUp.objects.exists()


def test_who_may_not_pay_sees_it_and_changes_nothing(payer: Payer) -> None:
    viewer = browser_of(payer.shop.member(payer.customer, "viewer@acme.test", "viewer"))
    payer.keep(KEPT_DECLINED)
    assert "Your role does not include paying" in viewer.get("/auto-top-up").content.decode()
    assert viewer.post("/auto-top-up/save", FORM).status_code == 403
    assert not AutoTopUp.objects.exists()
