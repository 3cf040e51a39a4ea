"""Budgets at the moment of the debit: what they refuse, what they count, what they tell."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import ProtectedError

from accounts.models import ApiKey, Membership
from accounts.services import api_keys, team
from accounts.services.audit import SYSTEM
from billing import pipeline
from billing.errors import BudgetExceeded, InsufficientFunds, InvalidState, RateLimited
from billing.models import Authorization, Budget, BudgetCounter, Customer, OutboxEvent, UsageEvent
from billing.selectors.spending import budgets as selector
from billing.selectors.usage import receipts
from billing.services import authorizations, budgets, usage
from billing.services.budgets import managing
from billing.services.usage import unpaid
from billing.services.wallet import corrections
from tests.billing.services.ledger.test_races import together, workers
from tests.builders import LLM, Shop

DOLLAR = 400_000
"""Input tokens."""
PERIODS = ["hour", "day", "week", "month", "total"]


def spend(shop: Shop, customer: Customer, dollars: int = 1, **data: Any) -> usage.Outcome:
    return shop.record(customer, input_tokens=dollars * DOLLAR, **data)


def authorize(customer: Customer, dollars: int = 1, **data: Any) -> Authorization:
    data = {"input_tokens": dollars * DOLLAR} | data
    event = usage.IncomingEvent(id="", source="", type=LLM, subject=customer.external_id, time=None, data=data)
    return authorizations.open_for_usage(event=event).authorization


def spent(budget: Budget, value: str = "") -> Decimal:
    found = BudgetCounter.objects.filter(budget=budget, value=value).first()
    return Decimal(0) if found is None else found.spent


def told(kind: str = "budget") -> list[tuple[str, Any]]:
    rows = OutboxEvent.objects.filter(type__startswith=kind).order_by("pk")
    return [(row.type, row.payload.get("threshold")) for row in rows]


# --- Refusing ---------------------------------------------------------------------------------------------------------


def test_a_hard_budget_refuses_what_would_pass_it_and_says_how_much_is_left(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5", name="All of it")

    assert spend(shop, acme, 4).status == "charged"
    refused = spend(shop, acme, 2, id="too-much")

    assert isinstance(refused.error, BudgetExceeded)
    figures = refused.error.figures
    assert figures["budget"] == str(budget.pk)
    assert "All of it" not in f"{refused.error.detail} {figures}"
    assert (figures["limit"], figures["left"], figures["required"]) == (5, 1, 2)
    assert figures["resets_at"].endswith("Z")
    assert shop.balance(acme).available == 96
    assert UsageEvent.objects.get(event_id="too-much").status == "rejected"
    # What is left can be used to the last cent, and the same event again gets the same answer.
    assert spend(shop, acme, 1).status == "charged"
    again = spend(shop, acme, 2, id="too-much")
    assert again.replayed
    assert isinstance(again.error, BudgetExceeded)
    assert again.error.figures == figures
    assert spent(budget) == 5


def test_a_soft_budget_only_tells(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "5", hard=False, alert_at=[Decimal(1)])

    assert spend(shop, acme, 7).status == "charged"

    assert told() == [("budget.threshold_reached", "1"), ("budget.exceeded", None)]


def test_a_user_at_the_limit_is_refused_while_another_of_the_same_project_passes(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "2", scope={"user": "u_1"})

    assert spend(shop, acme, 2, user="u_1", project="p").status == "charged"
    assert isinstance(spend(shop, acme, 1, user="u_1", project="p").error, BudgetExceeded)
    assert spend(shop, acme, 9, user="u_2", project="p").status == "charged"


def test_each_user_has_the_limit_for_itself(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "2", scope={"user": "*", "project": "p"})

    outcomes = [spend(shop, acme, 1, user=user, project="p").status for user in ("a", "a", "b", "a", "b")]

    assert outcomes == ["charged", "charged", "charged", "rejected", "charged"]
    assert spend(shop, acme, 5, user="a", project="q").status == "charged"
    assert (spent(budget, "a"), spent(budget, "b")) == (2, 2)


def test_a_team_limit_without_a_limit_for_each(shop: Shop) -> None:
    acme = shop.customer(usd="1000")
    shop.budget(acme, "500")

    assert spend(shop, acme, 500, user="a").status == "charged"
    assert isinstance(spend(shop, acme, 1, user="a").error, BudgetExceeded)
    assert isinstance(spend(shop, acme, 1, user="b").error, BudgetExceeded)


def test_a_kind_of_usage_can_be_closed_to_somebody(shop: Shop) -> None:
    shop.plan(
        "pro",
        [
            shop.price(shop.meter("in", "input_tokens"), "1"),
            shop.price(shop.meter("images", "images", event_type="image"), "1"),
        ],
    )
    acme = shop.customer(usd="100")
    shop.budget(acme, "50", scope={"user": "agent"})
    shop.budget(acme, "0", scope={"user": "agent", "type": "image"})

    assert shop.record(acme, input_tokens=50, user="agent").status == "charged"
    assert isinstance(shop.record(acme, input_tokens=1, user="agent").error, BudgetExceeded)
    assert isinstance(shop.record(acme, type="image", images=1, user="agent").error, BudgetExceeded)
    assert shop.record(acme, type="image", images=1, user="other").status == "charged"


def test_the_steps_of_a_run_are_limited(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "3", period="total", scope={"session": "*"}, counts="events")

    outcomes = [shop.record(acme, input_tokens=1, session="run-1").status for _ in range(4)]

    assert outcomes == ["charged", "charged", "charged", "rejected"]
    assert shop.record(acme, input_tokens=1, session="run-2").status == "charged"
    assert shop.record(acme, input_tokens=1).status == "charged"


def test_all_budgets_must_let_it_pass_and_the_tightest_is_named(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "9", period="day", name="Day")
    hour = shop.budget(acme, "5", period="hour", name="Hour")
    month = shop.budget(acme, "50", name="Month")

    assert spend(shop, acme, 4).status == "charged"
    refused = spend(shop, acme, 6)

    assert refused.error is not None
    assert refused.error.figures["budget"] == str(hour.pk)
    assert spent(month) == 4


def test_a_budget_in_one_asset_does_not_see_another(shop: Shop) -> None:
    images = shop.asset("images")
    shop.plan("pro", [shop.price(shop.meter("pictures", "pictures"), "1", asset=images)])
    acme = shop.customer(usd="10")
    shop.fund(acme, "10", asset="images", kind="promotional")
    shop.budget(acme, "0")
    shop.budget(acme, "3", asset=images)

    assert shop.record(acme, pictures=3).status == "charged"
    assert isinstance(shop.record(acme, pictures=1).error, BudgetExceeded)


def test_a_batch_is_decided_event_by_event(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "3")

    outcomes = usage.record([shop.event(acme, input_tokens=n * DOLLAR) for n in (2, 2, 1, 1)])

    assert [outcome.status for outcome in outcomes] == ["charged", "rejected", "charged", "rejected"]
    assert spent(budget) == 3


def test_what_the_wallet_cannot_pay_does_not_count(shop: Shop) -> None:
    acme = shop.customer(usd="1")
    budget = shop.budget(acme, "10")

    assert isinstance(spend(shop, acme, 2).error, InsufficientFunds)
    assert spent(budget) == 0


def test_a_date_in_the_past_is_no_way_around(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "1", period="day")

    late = budget.created_at - timedelta(days=40)
    assert shop.record(acme, input_tokens=DOLLAR, time=late).status == "charged"
    assert shop.record(acme, input_tokens=DOLLAR, time=late).status == "rejected"


# --- At the cap -------------------------------------------------------------------------------------------------------


def test_throttled_usage_may_come_again_under_the_same_id(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "1", period="hour", at_cap="throttle")
    spend(shop, acme)

    refused = spend(shop, acme, id="again")

    assert isinstance(refused.error, RateLimited)
    assert 0 < refused.error.figures["retry_after"] <= 3600
    assert not UsageEvent.objects.filter(event_id="again").exists()
    BudgetCounter.objects.filter(budget=budget).update(window_end=budget.created_at)
    assert spend(shop, acme, id="again").status == "charged"


def test_the_customers_own_key_is_paused_and_the_operators_is_not(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "1", at_cap="pause_key")
    own, _ = api_keys.issue(name="agent", scopes=["events:write"], organization=acme.organization)
    gateway, _ = api_keys.issue(name="gateway", scopes=["events:write"])
    event = shop.event(acme, input_tokens=2 * DOLLAR)

    event.api_key_id = gateway.pk
    assert isinstance(usage.record([event])[0].error, BudgetExceeded)
    event = shop.event(acme, input_tokens=2 * DOLLAR)
    event.api_key_id, event.organization_id = own.pk, acme.organization_id
    assert isinstance(usage.record([event])[0].error, BudgetExceeded)

    assert ApiKey.objects.get(pk=gateway.pk).paused_at is None
    paused = ApiKey.objects.get(pk=own.pk)
    assert paused.paused_at is not None
    assert api_keys.resume(paused)
    assert not api_keys.resume(paused)


# --- Windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["hour", "day", "week", "month"])
def test_a_new_window_begins_at_zero(shop: Shop, period: str) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "1", period=period, alert_at=[Decimal(1)])
    assert [spend(shop, acme).status, spend(shop, acme).status] == ["charged", "rejected"]

    BudgetCounter.objects.filter(budget=budget).update(window_end=budget.created_at)

    assert [spend(shop, acme).status, spend(shop, acme).status] == ["charged", "rejected"]
    assert told() == [("budget.threshold_reached", "1"), ("budget.exceeded", None)] * 2
    assert BudgetCounter.objects.filter(budget=budget).count() == 1


def test_what_its_window_has_seen_before_it_was_made_counts(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    spend(shop, acme, 3, user="a")
    spend(shop, acme, 1, user="b")
    taken_back = spend(shop, acme, 5, user="b", id="wrong")
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(pk=taken_back.transaction_id), reason="x")

    everything = shop.budget(acme, "5")
    each = shop.budget(acme, "5", scope={"user": "*"})
    runs = shop.budget(acme, "5", counts="events")
    total = shop.budget(acme, "5", period="total")

    assert [spent(everything), spent(each, "a"), spent(each, "b"), spent(runs), spent(total)] == [4, 3, 1, 2, 0]


def test_what_comes_in_while_it_is_made_counts_once(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The past is added up without the lock: what is debited meanwhile is looked for under it."""
    acme, add_up, times = shop.customer(usd="100"), managing._so_far, iter([2, 0])
    spend(shop, acme, 3)

    def add_up_slowly(*what: Any, **how: Any) -> Any:
        found = add_up(*what, **how)
        for _ in range(next(times)):
            spend(shop, acme, 1)
        return found

    monkeypatch.setattr(managing, "_so_far", add_up_slowly)

    assert spent(shop.budget(acme, "50")) == 5


def test_what_is_taken_back_no_longer_counts(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget, runs = shop.budget(acme, "5"), shop.budget(acme, "5", counts="events")
    outcome = spend(shop, acme, 5)
    event = UsageEvent.objects.get(pk=outcome.transaction_id)

    corrections.refund(actor=SYSTEM, event=event, asset=shop.usd, amount=Decimal(2), reason="x")
    assert (spent(budget), spent(runs)) == (3, 1)
    corrections.reverse(actor=SYSTEM, event=event, reason="x")
    assert (spent(budget), spent(runs)) == (0, 0)
    assert spend(shop, acme, 5).status == "charged"


def test_collected_usage_counts_and_is_never_refused(shop: Shop) -> None:
    acme = shop.customer(usd="1", on_insufficient_funds="overdraft")
    budget = shop.budget(acme, "4")
    assert spend(shop, acme, 4).status == "unpaid"
    lower = shop.budget(acme, "3", name="Lower")
    shop.fund(acme, "9")

    assert unpaid.collect_due() == 1

    assert (spent(budget), spent(lower)) == (4, 4)


# --- Authorizations ---------------------------------------------------------------------------------------------------


def test_open_authorizations_count(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5", scope={"user": "a"})
    authorization = authorize(acme, 3, user="a")
    authorize(acme, 50, user="b")

    assert isinstance(spend(shop, acme, 3, user="a").error, BudgetExceeded)
    with pytest.raises(BudgetExceeded) as refusal:
        authorize(acme, 3, user="a")
    assert refusal.value.figures["left"] == 2
    assert told() == [("budget.exceeded", None)]
    (now,) = selector.now(acme, [budget])
    assert now.only is not None
    assert (now.only.spent, now.only.held, now.only.left) == (0, 3, 2)

    authorizations.void(authorization=authorization)
    assert authorize(acme, 5, user="a").status == "open"


def test_what_was_set_aside_may_be_captured_whatever_became_of_the_budget(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5")
    authorization = authorize(acme, 3)
    budgets.change(actor=SYSTEM, budget=budget, changes={"limit": Decimal(1)})

    authorizations.capture_usage(authorization=authorization, event=shop.event(acme, input_tokens=DOLLAR), final=False)
    captured = authorizations.capture_usage(
        authorization=authorization, event=shop.event(acme, input_tokens=2 * DOLLAR)
    )

    assert captured.authorization.status == "captured"
    assert spent(budget) == 3
    assert spend(shop, acme).status == "rejected"


def test_a_plain_amount_counts_when_it_is_set_aside_and_when_it_is_captured(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5")
    opened = authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(4))
    with pytest.raises(BudgetExceeded):
        authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(2))
    authorization = Authorization.objects.select_related("customer", "asset").get(pk=opened.authorization.pk)

    authorizations.capture_amount(authorization=authorization, amount=Decimal(3))

    assert spent(budget) == 3
    assert spend(shop, acme, 2).status == "charged"


def test_beyond_what_was_set_aside_only_what_the_budget_allows_is_charged(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5")
    authorization = authorize(acme, 3)
    event = shop.event(acme, input_tokens=7 * DOLLAR)

    captured = authorizations.capture_usage(authorization=authorization, event=event)

    assert captured.authorization.status == "captured"
    assert captured.outcome is not None
    assert (captured.outcome.status, captured.outcome.cost) == ("charged", {"usd": Decimal(5)})
    assert captured.outcome.refused is not None
    assert captured.outcome.refused["code"] == "budget_exceeded"
    assert captured.outcome.refused["refused"] == {"usd": "2"}
    assert (shop.balance(acme).available, shop.balance(acme).held, spent(budget)) == (95, 0, 5)
    assert told() == [("budget.exceeded", None)]
    # The same event again gets the first answer again, and the receipt says what was left out.
    again = usage.record([event])[0]
    assert (again.replayed, again.cost, again.refused) == (True, {"usd": Decimal(5)}, captured.outcome.refused)
    receipt = receipts.of(UsageEvent.objects.get(event_id=event.id))
    assert [(line.kind, line.amount) for line in receipt.charges[0].lines] == [("units", 7), ("refused", -2)]


def test_what_was_set_aside_is_charged_where_the_budget_has_nothing_left(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5", at_cap="throttle")
    authorization = authorize(acme, 3)
    spend(shop, acme, 2)
    event = shop.event(acme, input_tokens=2 * DOLLAR, output_tokens=200_000)

    captured = authorizations.capture_usage(authorization=authorization, event=event)

    assert captured.outcome is not None
    assert [line.amount for line in captured.outcome.charges] == [2, 1]
    assert captured.outcome.refused is not None
    assert (captured.outcome.refused["code"], captured.outcome.refused["refused"]) == ("rate_limited", {"usd": "1"})
    assert spent(budget) == 5


def test_work_that_counts_as_done_is_charged_whole(shop: Shop) -> None:
    acme = shop.customer(usd="100", on_insufficient_funds="overdraft")
    budget = shop.budget(acme, "5")
    authorization = authorize(acme, 3)

    event = shop.event(acme, input_tokens=7 * DOLLAR)
    captured = authorizations.capture_usage(authorization=authorization, event=event)

    assert captured.outcome is not None
    assert (captured.outcome.cost, captured.outcome.refused) == ({"usd": Decimal(7)}, None)
    assert spent(budget) == 7
    assert told() == [("budget.exceeded", None)]


def test_a_part_of_a_stream_is_refused_once_nothing_is_left_to_charge_it_to(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "4")
    authorization = authorize(acme, 3)

    def part(dollars: int) -> usage.Outcome | None:
        event = shop.event(acme, input_tokens=dollars * DOLLAR)
        return authorizations.capture_usage(authorization=authorization, event=event, final=False).outcome

    first, second = part(2), part(9)

    assert first is not None
    assert second is not None
    assert (first.refused, second.cost) == (None, {"usd": Decimal(2)})
    with pytest.raises(BudgetExceeded):
        part(1)
    assert spent(budget) == 4
    assert authorizations.void(authorization=authorization).captured == 4


def test_of_a_plain_amount_only_what_the_budget_allows_is_captured(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "5")
    opened = authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(4))
    authorization = Authorization.objects.select_related("customer", "asset").get(pk=opened.authorization.pk)

    captured = authorizations.capture_amount(authorization=authorization, amount=Decimal(6))

    assert (captured.authorization.captured, captured.authorization.status) == (5, "captured")
    assert captured.refused is not None
    assert captured.refused["refused"] == {"usd": "1"}
    assert (spent(budget), shop.balance(acme).available) == (5, 95)


def test_a_capture_that_takes_the_last_event_of_a_budget_is_the_final_one(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "3", counts="events", scope={"session": "*"}, period="total")
    authorization = authorize(acme, 3, session="run")

    def part() -> str:
        event = shop.event(acme, input_tokens=DOLLAR // 2, session="run")
        return authorizations.capture_usage(authorization=authorization, event=event, final=False).authorization.status

    assert [part(), part(), part()] == ["open", "open", "captured"]

    assert (spent(budget, "run"), shop.balance(acme).held) == (3, 0)
    with pytest.raises(InvalidState):
        part()
    assert spend(shop, acme, session="run").status == "rejected"


def test_affordable_respects_budgets(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "5")
    event = usage.IncomingEvent(id="", source="", type=LLM, subject="acme", time=None, data={"output_tokens": 100_000})

    opened = authorizations.open_for_usage(event=event)
    assert opened.affordable["output_tokens"] == 500_000
    again = authorizations.open_for_usage(event=event)
    assert again.affordable["output_tokens"] == 400_000


def test_authorizations_count_as_the_events_to_come(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.budget(acme, "2", counts="events", scope={"session": "*"}, period="total")
    first = authorize(acme, session="s")
    authorize(acme, session="s")

    with pytest.raises(BudgetExceeded):
        authorize(acme, session="s")
    event = shop.event(acme, input_tokens=1, session="s")
    assert authorizations.capture_usage(authorization=first, event=event).authorization.status == "captured"


# --- Whose ------------------------------------------------------------------------------------------------------------


def test_a_keys_budget_goes_along_when_the_key_is_renewed(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    key, _ = api_keys.issue(name="agent", scopes=["events:write"], organization=acme.organization)
    budget = shop.budget(acme, "2", api_key=key)
    renewed, _ = api_keys.rotate(key, overlap=timedelta(days=1))

    for id_ in (key.pk, renewed.pk, None):
        event = shop.event(acme, input_tokens=DOLLAR)
        event.api_key_id = id_
        assert usage.record([event])[0].status == "charged"
    assert spent(budget) == 2


def test_a_members_budget_counts_what_they_use_and_what_their_keys_report(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    person = shop.member(acme, "dev@acme.test", "developer")
    key, _ = api_keys.issue(name="x", scopes=["events:write"], organization=acme.organization, created_by=person)
    budget = shop.budget(acme, "2", member=Membership.objects.get(user=person))
    by_key = shop.event(acme, input_tokens=DOLLAR, user="somebody")
    by_key.api_key_id = key.pk

    assert usage.record([by_key])[0].status == "charged"
    assert spend(shop, acme, user="Dev@acme.test").status == "charged"
    assert spend(shop, acme, user="other@acme.test").status == "charged"
    assert spend(shop, acme, user="dev@acme.test").status == "rejected"
    assert spent(budget) == 2


def test_a_members_budget_holds_when_the_team_lets_the_member_go_and_takes_them_in_again(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    owner = Membership.objects.get(user=shop.member(acme))
    person = shop.member(acme, "dev@acme.test", "developer")
    key, _ = api_keys.issue(name="x", scopes=["events:write"], organization=acme.organization, created_by=person)
    budget = shop.budget(acme, "2", member=Membership.objects.get(user=person))
    by_key = shop.event(acme, input_tokens=2 * DOLLAR)
    by_key.api_key_id = key.pk
    assert usage.record([by_key])[0].status == "charged"

    team.remove(Membership.objects.get(user=person), by=owner, actor=SYSTEM)

    assert spend(shop, acme, user="dev@acme.test").status == "rejected"
    Membership.objects.create(organization=acme.organization, user=person, role="developer")
    assert spend(shop, acme, user="dev@acme.test").status == "rejected"
    assert spent(budget) == 2
    with pytest.raises(ProtectedError):
        person.delete()


def test_an_organization_a_team_and_a_person_draw_on_limits_within_each_other(shop: Shop) -> None:
    """Ten for the organization, three that two people share, two at most for one of them."""
    acme = shop.customer(usd="100")
    ann, ben = (shop.member(acme, f"{name}@acme.test", "developer") for name in ("ann", "ben"))
    key, _ = api_keys.issue(name="x", scopes=["events:write"], organization=acme.organization, created_by=ben)
    people = Membership.objects.filter(user__in=[ann, ben])
    whole = shop.budget(acme, "10")
    shared = shop.budget(acme, "3", members=list(people))
    anns = shop.budget(acme, "2", member=people.get(user=ann))
    each = [spend(shop, acme, user="Ann@acme.test").status for _ in range(3)]
    assert each == ["charged", "charged", "rejected"]
    by_key = shop.event(acme, input_tokens=DOLLAR, user="somebody")
    by_key.api_key_id = key.pk

    assert usage.record([by_key])[0].status == "charged"
    assert spend(shop, acme, user="ben@acme.test").status == "rejected"
    assert spend(shop, acme, user="carl@acme.test").status == "charged"
    assert [spent(budget) for budget in (whole, shared, anns)] == [4, 3, 2]
    assert spent(shop.budget(acme, "9", members=list(people))) == 3
    budgets.change(actor=SYSTEM, budget=shared, changes={"members": [people.get(user=ann)]})
    assert spend(shop, acme, user="ben@acme.test").status == "charged"


# --- Telling ----------------------------------------------------------------------------------------------------------


def test_each_share_is_told_once(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "10", alert_at=[Decimal("0.5"), Decimal("0.8"), Decimal(1)])

    for _ in range(12):
        spend(shop, acme)

    assert told() == [
        ("budget.threshold_reached", "0.5"),
        ("budget.threshold_reached", "0.8"),
        ("budget.threshold_reached", "1"),
        ("budget.exceeded", None),
    ]
    budgets.change(actor=SYSTEM, budget=budget, changes={"limit": Decimal(20)})
    spend(shop, acme, 6)
    assert told()[4:] == [("budget.threshold_reached", "0.8")]


def test_a_removed_budget_limits_nothing(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "1")
    budgets.remove(actor=SYSTEM, budget=budget)

    assert spend(shop, acme, 5).status == "charged"
    assert not Customer.objects.get(pk=acme.pk).has_budgets


def test_of_customers_without_budgets_nothing_is_asked(shop: Shop) -> None:
    acme, globex = shop.customer(usd="100"), shop.customer("globex", usd="100")
    shop.budget(globex, "50")
    spend(shop, acme)
    spend(shop, globex)
    use = shop.event(acme).use

    assert budgets.Reading([acme.pk], lambda: [use]).queries == []
    assert len(budgets.Reading([acme.pk, globex.pk], lambda: [use]).queries) == 2


# --- Races ------------------------------------------------------------------------------------------------------------


def spender(shop: Shop, customer: Customer, number: int) -> Callable[[], usage.Outcome]:
    event = shop.event(customer, id=f"race-{number}", input_tokens=DOLLAR)
    return lambda: usage.record([event])[0]


@pytest.mark.parametrize("period", PERIODS)
def test_of_a_hundred_events_exactly_ten_pass_a_budget_for_ten(committed_db: None, shop: Shop, period: str) -> None:
    acme = shop.customer(usd="1000")
    budget = shop.budget(acme, "10", period=period)

    outcomes = workers([spender(shop, acme, n) for n in range(100)])

    assert Counter(outcome.status for outcome in outcomes) == {"charged": 10, "rejected": 90}
    assert spent(budget) == 10
    assert shop.balance(acme).available == 990
    assert told() == [("budget.exceeded", None)]


def test_authorizations_and_events_share_the_room(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="1000")
    budget = shop.budget(acme, "10")

    def opening() -> Any:
        try:
            return authorize(acme)
        except BudgetExceeded as refusal:
            return refusal

    results = workers([*(spender(shop, acme, n) for n in range(30)), *[opening] * 30])

    passed = [r for r in results if isinstance(r, Authorization) or getattr(r, "status", "") == "charged"]
    assert len(passed) == 10
    assert spent(budget) + Authorization.objects.count() == 10


@pytest.fixture
def too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: four callers decide on what a check in front of the debit would see."""
    barrier = threading.Barrier(4)
    asking, load = budgets.Reading._asking, budgets.Reading.load
    before: dict[int, list[Any]] = {}

    def ask_too_early(self: Any, ids: Any) -> Any:
        queries = asking(self, ids)
        pipeline.run(queries)
        before[id(self)] = [query.rows for query in queries]
        barrier.wait(timeout=60)
        return queries

    def take_the_early_answer(self: Any, *args: Any) -> Any:
        for query, rows in zip(self.queries, before[id(self)], strict=True):
            query.rows = rows
        return load(self, *args)

    monkeypatch.setattr(budgets.Reading, "_asking", ask_too_early)
    monkeypatch.setattr(budgets.Reading, "load", take_the_early_answer)


@pytest.mark.parametrize("period", PERIODS)
def test_that_race_is_real_where_budgets_are_read_before_the_lock(
    committed_db: None, shop: Shop, request: pytest.FixtureRequest, period: str
) -> None:
    acme = shop.customer(usd="1000")
    budget = shop.budget(acme, "2", period=period)
    spend(shop, acme)
    request.getfixturevalue("too_early")

    outcomes = together(*(spender(shop, acme, n) for n in range(4)))

    assert [outcome.status for outcome in outcomes] == ["charged"] * 4
    assert spent(budget) == 2


def capturer(shop: Shop, customer: Customer, number: int) -> Callable[[], usage.Outcome | None]:
    """Captures two dollars of an authorization for one."""
    authorization = authorize(customer)
    event = shop.event(customer, id=f"capture-{number}", input_tokens=2 * DOLLAR)
    return lambda: authorizations.capture_usage(authorization=authorization, event=event).outcome


def test_captures_share_what_a_budget_has_beyond_what_they_set_aside(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="1000")
    budget = shop.budget(acme, "30")

    outcomes = workers([capturer(shop, acme, n) for n in range(20)])

    assert Counter(outcome.cost["usd"] for outcome in outcomes) == {2: 10, 1: 10}
    assert (spent(budget), shop.balance(acme).available, shop.balance(acme).held) == (30, 970, 0)


def test_that_race_is_real_too_where_budgets_are_read_before_the_lock(
    committed_db: None, shop: Shop, request: pytest.FixtureRequest
) -> None:
    acme = shop.customer(usd="1000")
    shop.budget(acme, "6")
    spend(shop, acme)
    calls = [capturer(shop, acme, n) for n in range(4)]
    request.getfixturevalue("too_early")

    outcomes = together(*calls)

    assert [outcome.cost["usd"] for outcome in outcomes] == [2] * 4
