"""Everybody on a plan goes to another version: shown first, then done, and safe to do again."""

import re
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.services.audit import SYSTEM
from billing.models import Subscription
from billing.services import subscriptions
from billing.services.catalog import plans
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("move_subscriptions", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.fixture
def base(shop: Shop) -> Shop:
    """Three customers on version 1 at $49, one with 10 % off and one who owes; version 2 costs $59."""
    version = make_plan(shop, allowances=[("base_tokens", "10", "0")])
    start(shop.customer("acme", plan=None, usd="200"), version)
    start(shop.customer("globex", plan=None, usd="200"), version, discount=Decimal("0.1"))
    start(shop.customer("initech", plan=None), version)
    prices = [shop.price(shop.meter("tokens"), "0.8")]
    plans.publish_version(
        actor=SYSTEM, plan=version.plan, interval="month", prices=prices, base_fee=Decimal(59), trial_days=7
    )
    return shop


def test_a_dry_run_says_what_it_comes_to_and_does_nothing(base: Shop) -> None:
    said = run("--plan", "base", "--to", "2", "--dry-run")

    assert "3 subscriptions, 1 with agreed terms" in said
    assert "3 from version 1" in said
    assert "Base fee: $49.00 → $59.00" in said
    assert "Included base_tokens: 10 → none" in said
    assert re.search(r"Tokens in usd: \$1\.00 .* → \$0\.80 ", said)
    assert "Monthly recurring fees: $142.10 → $171.10" in said
    assert not Subscription.objects.exclude(next_version=None).exists()


def test_all_are_moved_at_the_end_of_their_periods_and_a_second_run_finds_nobody(base: Shop) -> None:
    assert "Moved 3 of 3." in run("--plan", "base")

    assert {s.next_version.number for s in Subscription.objects.all() if s.next_version} == {2}
    discounted = Subscription.objects.get(customer__external_id="globex")
    assert discounted.next_version is not None
    assert discounted.next_version.discount == Decimal("0.1")
    assert "0 subscriptions" in run("--plan", "base")


def test_one_that_cannot_be_moved_is_named_and_stops_nobody(base: Shop) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="1 could not be moved"):
        call_command("move_subscriptions", "--plan", "base", "--now", stdout=out, stderr=StringIO())

    assert "Not moved: initech: The subscription is past due" in out.getvalue()
    assert Subscription.objects.filter(plan_version__number=2).count() == 2
    assert subscriptions.preview_move(plan=Subscription.objects.all()[0].plan).total == 1


def test_what_is_not_there_is_named(base: Shop) -> None:
    with pytest.raises(CommandError, match="no plan other"):
        run("--plan", "other")
    with pytest.raises(CommandError, match="no version 9"):
        run("--plan", "base", "--to", "9")
