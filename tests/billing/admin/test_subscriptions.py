"""Subscriptions in the back office: periods and fees in sight, ended and moved after a page that says what happens."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from accounts.services.audit import SYSTEM
from billing.models import Approval, Subscription
from billing.services.catalog import plans
from billing.services.subscriptions import Wanted, change
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop

WHY = {"reason": "Asked for by mail"}


@pytest.fixture
def subscription(shop: Shop) -> Subscription:
    version = make_plan(shop, fee="49", allowances=[("base_tokens", "10", "0")])
    return start(shop.customer(plan=None, usd="100"), version)


def url(row: Subscription, action: str = "change") -> str:
    page = reverse("admin:billing_subscription_change", args=[row.pk])
    return page if action == "change" else page.replace("/change/", f"/{action}/")


def test_a_subscriptions_page_shows_its_periods_and_fees(office: Client, subscription: Subscription) -> None:
    content = office.get(url(subscription)).content.decode()

    assert f"Base, {subscription.starts_at:%-d %b %Y}" in content
    for action, fits in (("cancel-later", True), ("cancel-now", True), ("reactivate", False), ("change-plan", True)):
        assert (url(subscription, action) in content) is fits
    for status, expected in [("running", True), ("past_due", False), ("ending", False), ("canceled", False)]:
        listed = office.get(reverse("admin:billing_subscription_changelist"), {"status": status}).content.decode()
        assert (url(subscription) in listed) is expected


def test_canceling_with_refund_asks_first_and_leaves_a_trail(
    office: Client, subscription: Subscription, shop: Shop, finance: User
) -> None:
    asked = office.get(url(subscription, "cancel-now")).content.decode()
    assert "The unused part goes back" in asked
    assert shop.balance(subscription.customer).available == 51

    office.post(url(subscription, "cancel-now"), WHY)

    assert shop.balance(subscription.customer).available > Decimal("99.9")
    trail = AuditEvent.objects.get(action="subscription.canceled")
    assert (trail.actor_id, trail.after["reason"]) == (finance.pk, WHY["reason"])


def test_a_cancellation_at_the_end_is_taken_back(office: Client, subscription: Subscription) -> None:
    office.post(url(subscription, "cancel-later"), WHY)
    subscription.refresh_from_db()
    assert subscription.ends_at == subscription.renews_at

    ending = office.get(url(subscription)).content.decode()
    assert url(subscription, "reactivate") in ending
    assert url(subscription, "cancel-later") not in ending
    office.post(url(subscription, "reactivate"), WHY)
    subscription.refresh_from_db()
    assert subscription.ends_at is None
    assert "no cancellation to take back" in office.post(url(subscription, "reactivate"), WHY).content.decode()


def test_everybody_is_moved_after_a_look_at_the_figures(office: Client, subscription: Subscription, shop: Shop) -> None:
    plan = subscription.plan
    prices = [shop.price(shop.meter("tokens"), "1")]
    plans.publish_version(actor=SYSTEM, plan=plan, interval="month", prices=prices, base_fee=Decimal(59))
    page = reverse("admin:billing_plan_change", args=[plan.pk]).replace("/change/", "/move/")

    asked = office.get(page).content.decode()
    assert "Version 1: Base fee" in asked
    assert "$49.00 → $59.00" in asked
    office.post(page, WHY)

    subscription.refresh_from_db()
    assert subscription.next_version is not None
    assert subscription.next_version.number == 2


def test_nobody_is_moved_to_a_plan_without_a_version(office: Client, shop: Shop) -> None:
    plan = plans.add(code="bare", name="Bare", currency=shop.usd)
    page = reverse("admin:billing_plan_change", args=[plan.pk])

    answer = office.get(page.replace("/change/", "/move/"), follow=True)

    assert answer.redirect_chain == [(page, 302)]
    assert "no published version yet" in answer.content.decode()


def test_the_list_of_plans_counts_public_versions(office: Client, subscription: Subscription, shop: Shop) -> None:
    version = subscription.plan_version
    start(shop.customer("globex", plan=None, usd="100"), version, discount=Decimal("0.15"))
    assert subscription.plan.versions.count() == 2

    listed = office.get(reverse("admin:billing_plan_changelist"))
    page = office.get(reverse("admin:billing_plan_change", args=[subscription.plan_id])).content.decode()

    assert [plan.public_versions for plan in listed.context["cl"].result_list if plan.pk == subscription.plan_id] == [1]
    assert "$49.00" in page
    assert "49.000000" not in page


def test_one_subscription_is_moved_as_the_page_showed(office: Client, subscription: Subscription, shop: Shop) -> None:
    prices = [shop.price(shop.meter("tokens"), "1")]
    version = plans.publish_version(
        actor=SYSTEM, plan=subscription.plan, interval="month", prices=prices, base_fee=Decimal(59)
    )
    page = url(subscription, "change-plan")
    assert "Now on" in office.get(page).content.decode()
    asked = {"plan_version": str(version.pk), "when": "now", "reason": "Asked for by mail"}
    review = office.post(page, asked | {"review": "1"})
    content = review.content.decode()
    assert "Unused: Base" in content
    assert "Altogether, charged now" in content
    before = shop.balance(subscription.customer).available
    form = review.context["form"]

    office.post(page, asked | {"at": form.data["at"], "confirm": "1"})

    subscription.refresh_from_db()
    assert subscription.plan_version.number == 2
    charged = before - shop.balance(subscription.customer).available
    assert f"{charged:.2f}" in review.context["review"]["total"]
    assert AuditEvent.objects.get(action="subscription.changed").after["reason"] == "Asked for by mail"


def test_a_customer_is_put_on_a_plan_as_the_page_showed(office: Client, shop: Shop) -> None:
    customer = shop.customer(plan=None, usd="100")
    version = make_plan(shop, fee="49", allowances=[("base_tokens", "10", "0")])
    page = reverse("admin:billing_customer_change", args=[customer.pk]).replace("/change/", "/start-plan/")
    assert "Now on no plan" in office.get(page).content.decode()
    asked = {"plan_version": str(version.pk), "discount": "0.1", "spend_cap": "25", "reason": "Signed today"}

    review = office.post(page, asked | {"review": "1"}).context["review"]
    assert "$44.10" in review["total"].replace("</span><small>", "")
    assert review["total_said"] == "charged now"
    assert not Subscription.objects.exists()
    office.post(page, asked | {"confirm": "1"})

    started = Subscription.objects.get()
    assert (started.discount, started.spend_cap) == (Decimal("0.1"), 25)
    assert shop.balance(customer).available == Decimal("55.9")
    assert AuditEvent.objects.get(action="subscription.started").after["reason"] == "Signed today"
    assert "$25.00" in office.get(url(started)).content.decode()
    twice = office.post(page, asked | {"confirm": "1"}).content.decode()
    assert "is on the plan" in twice
    later = {"starts_on": "2099-01-31", "trial_days": "731"}
    assert "less than or equal to 730" in office.post(page, asked | later).content.decode()


def test_a_move_that_cannot_be_says_why(office: Client, subscription: Subscription, shop: Shop) -> None:
    version = plans.publish_version(
        actor=SYSTEM,
        plan=subscription.plan,
        interval="month",
        prices=[shop.price(shop.meter("tokens"), "1")],
        base_fee=Decimal(10_000),
    )
    asked = {"plan_version": str(version.pk), "when": "now", "reason": "x", "confirm": "1"}
    page = url(subscription, "change-plan")
    look = office.post(page, {name: said for name, said in asked.items() if name != "confirm"}).content.decode()
    assert "Altogether, more than the wallet can pay" in look
    assert "As it stands the move will be refused." in look
    refused = office.post(page, asked).content.decode()
    assert "The rest of the period costs $" in refused
    assert f'<a href="{url(subscription)}"' in refused, "where one is names what it is about"
    assert "share" in office.post(page, asked | {"discount": "7"}).content.decode().lower()
    assert "Write a number" in office.post(page, asked | {"discount": "much"}).content.decode()
    subscription.refresh_from_db()
    assert subscription.plan_version.number == 1


def test_what_waits_is_what_was_agreed_when_it_was_asked_for(
    office: Client, subscription: Subscription, shop: Shop, settings: Any
) -> None:
    settings.APPROVAL_ABOVE = {"usd": Decimal(100)}
    now = Wanted(subscription.plan, discount=Decimal("0.5"))
    change(actor=SYSTEM, subscription=subscription, wanted=now)
    dear = make_plan(shop, "dear", fee="1000")
    asked = {"plan_version": str(dear.pk), "when": "period_end", "reason": "Grows"}
    page = url(subscription, "change-plan")

    review = office.post(page, asked | {"review": "1"}).context["review"]
    office.post(page, asked | {"confirm": "1"})

    assert "second person" in review["warning"]
    waiting = Approval.objects.get()
    assert (waiting.terms["discount"], waiting.amounts) == ("0.5", {"usd": "475.5"})
    subscription.refresh_from_db()
    assert subscription.next_version is None
