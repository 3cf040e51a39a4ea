"""What the sample customers pay: once, at the stand-in's pages, so that finance people have something to look after."""

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from accounts.services import staff
from billing.management import sample_payments
from billing.models import Approval, AutoTopUp, Dispute, PaymentAttempt, Refund, TopUp
from billing.services.funding import automatic
from tests.builders import Shop
from tests.payments import Bank


@pytest.fixture
def samples(shop: Shop) -> None:
    for name in ("acme", "northwind", "sample-clinic", "example-labs"):
        shop.customer(name, country="US")
    shop.asset("image_credits")
    staff.join(User.objects.create_user(sample_payments.MAKER), "Finance")


@pytest.fixture
def said(samples: None, bank: Bank) -> list[str]:
    """The sample customers have paid; what was said of it."""
    lines: list[str] = []
    sample_payments.once(lines.append)
    bank.deliver()
    automatic.run_due()
    return lines


def test_each_kind_of_payment_that_finance_looks_after_is_there(said: list[str], shop: Shop, bank: Bank) -> None:
    assert said == []
    paid = {top_up.customer.external_id: top_up for top_up in TopUp.objects.select_related("customer")}
    assert {name: (top_up.status, top_up.amount, top_up.refunded) for name, top_up in paid.items()} == {
        "acme": ("succeeded", 50, 10),
        "northwind": ("succeeded", 25, 0),
        "sample-clinic": ("failed", 25, 0),
    }
    assert shop.balance(paid["acme"].customer).available == 40
    assert Refund.objects.get().status == "succeeded"
    assert (Dispute.objects.get().status, Dispute.objects.get().top_up) == ("open", paid["northwind"])
    assert AutoTopUp.objects.get().declines == 1
    asked = Approval.objects.get()
    assert (asked.state, asked.kind, asked.terms["amount"]) == ("waiting", "grant", "2000")


def test_it_is_done_once(said: list[str], bank: Bank) -> None:
    before = len(bank.payments())

    sample_payments.once(said.append)

    assert (said, len(bank.payments())) == ([], before)
    assert (PaymentAttempt.objects.count(), Approval.objects.count()) == (3, 1)


def test_without_the_stand_in_nobody_pays(db: None, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_real", ""

    sample_payments.once(pytest.fail)

    assert not PaymentAttempt.objects.exists()


def test_what_the_stand_in_does_not_take_is_left_out_and_said(samples: None, bank: Bank) -> None:
    bank.faults("error_before", times=100)
    lines: list[str] = []

    sample_payments.once(lines.append)

    assert len(lines) == 3
    assert all(line.startswith("A sample payment was left out: ") for line in lines)
    assert Decimal(Approval.objects.get().terms["amount"]) == 2000
