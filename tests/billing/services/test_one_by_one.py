"""One thing after the other: the trouble of one is not the others'."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing.errors import WalletBusy
from billing.models import Approval, Authorization, BudgetCounter, Customer, Grant
from billing.services import alerts, approvals, authorizations, budgets, notices, one_by_one, subscriptions
from billing.services.alerts import watching
from billing.services.authorizations import ending
from billing.services.budgets import resetting
from billing.services.invoicing import invoices
from billing.services.notices import addressing
from billing.services.subscriptions import renewal
from billing.services.wallet import grants
from tests.billing.services.conftest import Clock
from tests.billing.services.invoicing.test_invoices import owing
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop

DOLLAR = 400_000
"""Input tokens."""


@pytest.mark.parametrize(("trouble", "is_logged"), [(WalletBusy("Later."), False), (KeyError("broken"), True)])
def test_what_goes_wrong_is_logged_and_goes_no_further(
    trouble: Exception, is_logged: bool, caplog: pytest.LogCaptureFixture
):
    with one_by_one.apart("budget", 7):
        raise trouble

    assert ("The budget 7 waits" in caplog.text) is is_logged


def test_the_grants_of_one_customer_do_not_keep_those_of_another(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    customers = [shop.customer(name) for name in ("first", "second")]
    for customer in customers:
        shop.fund(customer, "5", kind="promotional", expires_at=clock.now() + timedelta(hours=1))
    clock.forward(hours=2)
    broken, settle = min(customers, key=lambda customer: customer.pk), grants._settle_due_of
    monkeypatch.setattr(grants, "_settle_due_of", _failing(settle, broken.pk))

    assert grants.settle_due() == 1
    assert f"The expiry of customer {broken.pk} waits" in caplog.text
    assert {grant.customer_id: bool(grant.remaining) for grant in Grant.objects.all()} == {
        customer.pk: customer == broken for customer in customers
    }


def _failing(step: Callable[[Any], int], broken: Any) -> Callable[[Any], int]:
    def stepped(customer_id: Any) -> int:
        if customer_id == broken:
            raise KeyError("broken")
        return step(customer_id)

    return stepped


def test_all_have_their_turn_page_by_page_and_what_is_equal_in_order_as_well(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
):
    for name in ("same", "other", "same", "same", "last"):
        shop.customer(f"c{Customer.objects.count()}", plan=None, name=name)
    rows = Customer.objects.order_by("name", "id").values_list("name", "id")
    monkeypatch.setattr(one_by_one, "PAGE", 2)
    with django_assert_num_queries(3):
        found = list(one_by_one.in_turn(rows, "tests"))
    assert found == list(rows)


def test_whoever_comes_when_the_time_is_over_is_first_the_next_time(shop: Shop):
    names = sorted(shop.customer(name, plan=None).external_id for name in "abc")
    rows = Customer.objects.order_by("external_id").values_list("external_id")
    turns = [[name for (name,) in one_by_one.in_turn(rows, "tests", seconds=-1)] for _ in range(5)]
    assert turns == [[name] for name in names] + [[], names[:1]]
    assert [name for (name,) in one_by_one.in_turn(rows, "tests")] == names[1:]
    assert [name for (name,) in one_by_one.in_turn(rows, "tests")] == names


def two_authorizations(shop: Shop) -> None:
    for name in ("first", "second"):
        event = shop.event(shop.customer(name, usd="10"), input_tokens=DOLLAR)
        opened = authorizations.open_for_usage(event=event).authorization
        Authorization.objects.filter(pk=opened.pk).update(expires_at=opened.created_at)


def two_budgets(shop: Shop) -> None:
    for name in ("first", "second"):
        customer = shop.customer(name, usd="10")
        shop.budget(customer, "1", period="day")
        shop.record(customer, input_tokens=2 * DOLLAR)
    BudgetCounter.objects.update(window_end=timezone.now())


def two_past_due(shop: Shop) -> None:
    version = make_plan(shop)
    for name in ("first", "second"):
        start(shop.customer(name, plan=None), version)


def two_approvals(shop: Shop) -> None:
    person, now = User.objects.create_user("finance@ante.test"), timezone.now()
    for _ in range(2):
        Approval.objects.create(kind="grant", terms={}, amounts={}, reason="So", requested_by=person, expires_at=now)


def two_alerts(shop: Shop) -> None:
    for name in ("first", "second"):
        shop.alert(shop.customer(name, usd="1"), "5")


def two_notices(shop: Shop) -> None:
    two_alerts(shop)
    alerts.watch_balances()


def two_that_owe(shop: Shop) -> None:
    for name in ("first", "second"):
        owing(shop, name)


@pytest.mark.parametrize(
    ("made", "where", "step", "sweep"),
    [
        (two_authorizations, ending, "_end", authorizations.expire_due),
        (two_budgets, resetting, "_reset", budgets.reset_due),
        (two_past_due, renewal, "_collect", subscriptions.collect_due),
        (two_approvals, approvals, "_expire", approvals.expire_due),
        (two_alerts, watching, "_watch_balance", alerts.watch_balances),
        (two_notices, addressing, "_deliveries", notices.address),
        (two_that_owe, invoices, "issue", invoices.issue_due),
    ],
)
def test_what_always_fails_keeps_nobody_waiting(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, made: Any, where: Any, step: str, sweep: Callable[[], object]
):
    made(shop)
    asked: list[Any] = []

    def fail(*args: Any, **named: Any) -> int:
        asked.append(next(iter((*args, *named.values()))))
        raise KeyError("broken")

    monkeypatch.setattr(one_by_one, "PAGE", 1)
    monkeypatch.setattr(where, step, fail)
    sweep()
    assert len(set(asked)) == 2
