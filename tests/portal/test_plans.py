"""Wallet, plan, calculator, price page and sign-up."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, Membership, OutgoingMail, User
from accounts.services.audit import SYSTEM
from billing.models import Asset, Customer, Plan, Subscription
from billing.services import subscriptions
from billing.services.catalog import plans
from billing.services.wallet import recurring
from portal.pages import wallet
from tests.builders import Shop, browser_of

HTMX = {"HX-Request": "true"}
SignedIn = Callable[[User], Client]


@pytest.fixture
def team(shop: Shop) -> Plan:
    """A plan on offer: $20 a month, $5 of usage included, output at $8 a million."""
    prices = [shop.price(shop.meter("llm_output", "output_tokens"), "8", per="1000000")]
    allowances = [plans.AllowanceTerms(shop.usd, Decimal(5))]
    version = shop.plan("team", prices, base_fee=Decimal(20), allowances=allowances)
    plans.offer(actor=SYSTEM, plan=version.plan, offered=True)
    return version.plan


@pytest.fixture
def pro_offered(shop: Shop) -> Plan:
    plan = shop.plan("pro").plan
    plans.offer(actor=SYSTEM, plan=plan, offered=True)
    plan.refresh_from_db()
    return plan


def text(response: Any) -> str:
    return str(response.content.decode())


# --- What is included -------------------------------------------------------------------------------------------------


def test_what_is_included_is_seen_before_any_money(shop: Shop, signed_in: SignedIn, team: Plan) -> None:
    rich = shop.customer("rich", plan=None, usd="100")
    browser = signed_in(shop.member(rich, "owner@rich.test"))
    assert "Included this period" not in text(browser.get("/"))
    subscriptions.start(actor=SYSTEM, customer=rich, plan=team)
    shop.asset("calls")
    calls = recurring.Terms(asset=shop.asset("calls"), amount=Decimal(30), interval="week", name="Weekly calls")
    recurring.create(actor=SYSTEM, customer=rich, terms=calls)
    shop.record(rich, output_tokens=125_000)  # $1 of the $5.

    for page, money in (("/", "Available balance"), ("/wallet", "Grant, in the order of burning")):
        shown = text(browser.get(page))
        block, _, rest = shown.partition("Included this period")[2].partition("</section>")
        assert re.findall(r">([^<>]*)</data>", block) == ["30", "30", "$4.00", "$5.00"]
        assert money in rest
    assert "Comes again:" in shown
    assert "30" in shown.partition("Comes again:")[2].partition(", next grant on")[0]


# --- Wallet -----------------------------------------------------------------------------------------------------------


def test_the_wallet_lists_grants_in_burn_order_and_all_that_there_were(
    shop: Shop, acme: Customer, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = timezone.now() + timedelta(days=3)
    shop.fund(acme, "5", kind="promotional", name="Welcome", expires_at=soon)
    shop.fund(acme, "1", kind="promotional", name="Gone", priority=1)
    shop.record(acme, output_tokens=100_000)  # $1: the whole of Gone.
    client = signed_in(shop.member(acme))
    page = text(client.get("/wallet"))
    burning, _, table = page.partition("All grants")
    assert burning.index("Welcome") < burning.index("Purchase grant")
    assert "Gone" not in burning
    assert "Gone" in table
    assert "Depleted" in table
    assert "$105" in page
    monkeypatch.setattr(wallet, "STACK_ROWS", 1)
    burning, _, table = text(client.get("/wallet")).partition("All grants")
    assert "Purchase grant" not in burning
    assert 'href="/wallet?state=open#grants">1 more' in burning


def test_the_wallet_tells_what_it_held_on_a_past_day(shop: Shop, acme: Customer, signed_in: SignedIn) -> None:
    client = signed_in(shop.member(acme))
    today, yesterday = timezone.now().date(), timezone.now().date() - timedelta(days=1)
    part = text(client.get(f"/wallet?on={today}", headers=HTMX))
    assert 'value="100"' in part
    assert "<html" not in part
    assert 'value="0"' in text(client.get(f"/wallet?on={yesterday}", headers=HTMX))
    assert "Choose a day" in text(client.get(f"/wallet?on={today + timedelta(days=2)}", headers=HTMX))
    assert "Choose a day" in text(client.get("/wallet?on=never", headers=HTMX))


def test_another_customers_grants_are_not_in_the_wallet(shop: Shop, acme: Customer, signed_in: SignedIn) -> None:
    other = shop.customer("other", usd="7")
    shop.fund(other, "3", kind="promotional", name="Secret gift")
    assert "Secret gift" not in text(signed_in(shop.member(acme)).get("/wallet"))


# --- Plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_that_was_agreed_is_not_left_by_a_click(
    shop: Shop, acme: Customer, team: Plan, signed_in: SignedIn
) -> None:
    page = text(signed_in(shop.member(acme)).get("/plan"))
    assert "Team" in page
    assert "Change to Team" not in page
    subscription = Subscription.objects.get(customer=acme)
    client = browser_of(shop.member(acme, "boss@acme.test"))
    assert client.get(f"/plan/{subscription.pk}/change/team").status_code == 404
    assert client.post(f"/plan/{subscription.pk}/cancel").status_code == 404


def test_a_change_shows_what_it_comes_to_and_posts_just_that(
    shop: Shop, acme: Customer, team: Plan, pro_offered: Plan
) -> None:
    client = browser_of(shop.member(acme))
    subscription = Subscription.objects.get(customer=acme)
    address = f"/plan/{subscription.pk}/change/team"
    page = text(client.get(address))
    shown = re.search(r'Taken from the wallet</dt><dd><data class="money" value="([0-9.]+)"', page)
    at = re.search(r'name="at" value="([^"]+)"', page)
    assert shown
    assert at
    assert client.post(address, {"when": "now", "at": at[1]}).status_code == 302
    subscription.refresh_from_db()
    assert subscription.plan_id == team.pk
    paid = subscription.fees.get()
    assert paid.amount == Decimal(shown[1])
    assert 0 < paid.amount <= 20
    trail = AuditEvent.objects.get(action="subscription.changed")
    assert trail.actor_kind == AuditEvent.Actor.USER


def test_a_change_with_the_next_period_changes_nothing_before(
    shop: Shop, acme: Customer, team: Plan, pro_offered: Plan
) -> None:
    client = browser_of(shop.member(acme))
    subscription = Subscription.objects.get(customer=acme)
    client.post(f"/plan/{subscription.pk}/change/team", {"when": "period_end"})
    subscription.refresh_from_db()
    assert subscription.plan_id == pro_offered.pk
    assert subscription.next_version is not None
    assert subscription.next_version.plan_id == team.pk
    assert not subscription.fees.exists()


def test_a_change_that_the_wallet_cannot_pay_is_refused_in_words(shop: Shop, team: Plan, pro_offered: Plan) -> None:
    poor = shop.customer("poor", usd="0.01")
    client = browser_of(shop.member(poor, "o@poor.test"))
    subscription = Subscription.objects.get(customer=poor)
    at = re.search(r'name="at" value="([^"]+)"', text(client.get(f"/plan/{subscription.pk}/change/team")))
    assert at
    page = client.post(f"/plan/{subscription.pk}/change/team", {"when": "now", "at": at[1]}, follow=True)
    assert 'role="alert"' in text(page)
    subscription.refresh_from_db()
    assert subscription.plan_id == pro_offered.pk


@pytest.mark.parametrize("role", ["developer", "viewer"])
def test_who_may_not_pay_sees_no_button_and_is_refused(
    shop: Shop, acme: Customer, team: Plan, pro_offered: Plan, role: str
) -> None:
    client = browser_of(shop.member(acme, f"{role}@acme.test", role))
    page = text(client.get("/plan"))
    assert "Change to Team" not in page
    assert "Cancel the plan" not in page
    subscription = Subscription.objects.get(customer=acme)
    assert client.post(f"/plan/{subscription.pk}/change/team", {"when": "now"}).status_code == 403
    assert client.post(f"/plan/{subscription.pk}/cancel").status_code == 403
    assert client.post("/plan/start/team").status_code == 403


def test_nobody_changes_the_plan_of_another_customer(shop: Shop, acme: Customer, team: Plan, pro_offered: Plan) -> None:
    stranger = browser_of(shop.member(shop.customer("other", usd="100"), "o@other.test"))
    subscription = Subscription.objects.get(customer=acme)
    assert stranger.get(f"/plan/{subscription.pk}/change/team").status_code == 404
    assert stranger.post(f"/plan/{subscription.pk}/change/team", {"when": "now"}).status_code == 404
    assert stranger.post(f"/plan/{subscription.pk}/cancel").status_code == 404


def test_a_cancellation_can_be_taken_back(shop: Shop, acme: Customer, pro_offered: Plan) -> None:
    client = browser_of(shop.member(acme))
    subscription = Subscription.objects.get(customer=acme)
    client.post(f"/plan/{subscription.pk}/cancel")
    subscription.refresh_from_db()
    assert subscription.ends_at is not None
    assert "Keep the plan" in text(client.get("/plan"))
    client.post(f"/plan/{subscription.pk}/reactivate")
    subscription.refresh_from_db()
    assert subscription.ends_at is None


def test_a_first_plan_can_be_chosen_once(shop: Shop, team: Plan) -> None:
    customer = shop.customer("fresh", plan=None, usd="50")
    client = browser_of(shop.member(customer, "o@fresh.test"))
    assert "Choose Team" in text(client.get("/plan"))
    client.post("/plan/start/team")
    client.post("/plan/start/team")
    assert Subscription.objects.get(customer=customer).plan_id == team.pk


@pytest.mark.parametrize("at", ["2026-13-45T99:00:00Z", "2026-11-21T10:00:00", "yesterday", ""])
def test_what_is_no_time_is_no_trouble(acme: Customer, shop: Shop, team: Plan, pro_offered: Plan, at: str) -> None:
    client = browser_of(shop.member(acme))
    subscription = Subscription.objects.get(customer=acme)
    assert client.post(f"/plan/{subscription.pk}/change/team", {"when": "now", "at": at}).status_code == 302


def test_what_a_plan_includes_is_not_had_again_by_going_to_and_fro(
    shop: Shop, acme: Customer, team: Plan, pro_offered: Plan
) -> None:
    client = browser_of(shop.member(acme))
    subscription = Subscription.objects.get(customer=acme)
    client.post(f"/plan/{subscription.pk}/change/team", {"when": "now"})
    page = text(client.get(f"/plan/{subscription.pk}/change/pro"))
    assert "Only a plan that costs more can begin now" in page
    assert 'name="at"' not in page
    client.post(f"/plan/{subscription.pk}/change/pro", {"when": "now"})
    subscription.refresh_from_db()
    assert (subscription.plan_id, subscription.fees.count()) == (team.pk, 1)
    client.post(f"/plan/{subscription.pk}/change/pro", {"when": "period_end"})
    subscription.refresh_from_db()
    assert subscription.next_version is not None


def test_a_trial_is_had_once(shop: Shop) -> None:
    plan = shop.plan("tried", trial_days=14).plan
    plans.offer(actor=SYSTEM, plan=plan, offered=True)
    customer = shop.customer("fresh", plan=None, usd="50")
    client = browser_of(shop.member(customer, "o@fresh.test"))
    client.post("/plan/start/tried")
    first = Subscription.objects.get(customer=customer)
    assert first.trial_ends_at is not None
    subscriptions.cancel(actor=SYSTEM, subscription=first, when="now")
    client.post("/plan/start/tried")
    second = Subscription.objects.exclude(pk=first.pk).get(customer=customer)
    assert second.trial_ends_at is None


@pytest.mark.parametrize(("own", "goes"), [(0, False), (13, False), (14, True)])
def test_a_trial_goes_along_only_to_a_plan_with_one_as_long(shop: Shop, own: int, goes: bool) -> None:
    tried, dear = shop.plan("tried", trial_days=14).plan, shop.plan("dear", trial_days=own, base_fee=Decimal(90)).plan
    for plan in (tried, dear):
        plans.offer(actor=SYSTEM, plan=plan, offered=True)
    customer = shop.customer("fresh", plan=None, usd="500")
    client = browser_of(shop.member(customer, "o@fresh.test"))
    client.post("/plan/start/tried")
    subscription = Subscription.objects.get(customer=customer)
    address = f"/plan/{subscription.pk}/change/dear"

    assert ("This plan has no trial as long as yours" in text(client.get(address))) is not goes
    client.post(address, {"when": "now"})
    subscription.refresh_from_db()
    assert subscription.plan_id == (dear.pk if goes else tried.pk)
    if not goes:  # With the end of the trial it can be had.
        client.post(address, {"when": "period_end"})
        subscription.refresh_from_db()
        assert subscription.next_version is not None
        assert subscription.next_version.plan_id == dear.pk


# --- Calculator and prices --------------------------------------------------------------------------------------------


def test_the_calculator_compares_plans_by_the_engine_that_charges(
    shop: Shop, acme: Customer, team: Plan, signed_in: SignedIn
) -> None:
    # 1,000 a day × 30 × 1,000 tokens = 30M output: pro $300; team $20 and 30M × $8 = $240, of which $5 included.
    query = "requests=1000&n.output_tokens=1000&n.input_tokens=0"
    part = text(signed_in(shop.member(acme)).get(f"/calculator?{query}", headers=HTMX))
    assert 'value="300"' in part
    assert 'value="260"' in part
    assert part.index("Team") < part.index("Pro")
    assert "30,000,000" in part


@pytest.mark.parametrize(
    "query", ["requests=0", "requests=1.5", "requests=x", "requests=1e12", "n.output_tokens=-1", "n.output_tokens=NaN"]
)
def test_the_calculator_says_what_makes_no_sense(shop: Shop, acme: Customer, signed_in: SignedIn, query: str) -> None:
    response = signed_in(shop.member(acme)).get(f"/calculator?{query}", headers=HTMX)
    assert response.status_code == 200
    assert 'data-variant="warn"' in text(response)


def test_the_price_page_is_for_everybody_and_shows_only_offers(shop: Shop, acme: Customer, team: Plan) -> None:
    page = text(Client().get("/prices"))
    assert "Team" in page
    assert "Pro" not in page
    assert "What would yours cost?" in page


def test_plans_of_different_currencies_are_not_compared(shop: Shop, team: Plan) -> None:
    eur = Asset.objects.get(pk="eur")
    prices = [shop.price(shop.meter("llm_output", "output_tokens"), "4", per="1000000", asset=eur)]
    version = plans.create(actor=SYSTEM, code="europe", name="Europe", currency=eur, prices=prices, interval="month")
    plans.offer(actor=SYSTEM, plan=version.plan, offered=True)
    part = text(Client().get("/prices?requests=1000&n.output_tokens=1000", headers=HTMX))
    assert part.index("In EUR") < part.index("Europe") < part.index("In USD") < part.index("Team")
    assert "€120.00" in part
    assert 'value="260"' in part
    assert "cheapest" not in part


def test_the_price_page_asks_no_more_for_more_prices(
    shop: Shop, team: Plan, django_assert_max_num_queries: Any
) -> None:
    Client().get("/prices")
    with django_assert_max_num_queries(14):
        Client().get("/prices")


def test_the_price_page_without_offers_says_so(shop: Shop, acme: Customer) -> None:
    assert "No plan is offered here" in text(Client().get("/prices"))


# --- Sign-up ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_door(settings: Any) -> None:
    settings.SELF_SIGN_UP = True


ASKED = {"company": "Fresh Ideas", "name": "Sample Person", "email": "New@Fresh.test", "plan": "team"}


def link() -> str:
    letter = OutgoingMail.objects.latest("pk")
    found = re.search(r"(/sign-up/\S+)", letter.text)
    assert found
    return found[1]


@pytest.mark.usefixtures("open_door")
def test_sign_up_ends_in_a_wallet_of_ones_own(shop: Shop, team: Plan, settings: Any) -> None:
    client = Client()
    settings.DEMO = True
    shown = text(client.post("/sign-up", ASKED))
    assert link() in shown
    settings.DEMO = False
    shown = text(client.post("/sign-up", ASKED))
    assert "Look into your mail" in shown
    assert "/sign-up/" not in shown
    assert not User.objects.exists()
    address = link()
    assert "Fresh Ideas" in text(client.get(address))
    assert not User.objects.exists()
    browser = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
    assert client.post(address, {"password": "correct horse battery"}, headers=browser).status_code == 302
    assert "Firefox on Linux" in text(client.get("/security"))
    user = User.objects.get()
    membership = Membership.objects.get(user=user)
    assert (user.email, membership.role) == ("new@fresh.test", "owner")
    customer = membership.organization.customer
    assert customer.name == "Fresh Ideas"
    assert Subscription.objects.get(customer=customer).plan_id == team.pk
    page = text(client.get("/"))
    assert "First steps" in page
    # The link is spent.
    assert client.get(address).status_code == 404
    assert Client().post(address, {"password": "correct horse battery"}).status_code == 404
    assert User.objects.count() == 1


@pytest.mark.usefixtures("open_door")
def test_a_known_address_gets_the_same_answer_and_another_letter(shop: Shop, acme: Customer, team: Plan) -> None:
    member = shop.member(acme)
    unknown = text(Client().post("/sign-up", ASKED))
    known = text(Client().post("/sign-up", ASKED | {"email": member.email}))
    assert unknown.replace("new@fresh.test", "").replace("New@Fresh.test", "") == known.replace(member.email, "")
    assert "There is an account" in OutgoingMail.objects.latest("pk").text


@pytest.mark.usefixtures("open_door")
def test_a_link_that_was_changed_or_is_old_opens_nothing(shop: Shop, team: Plan, monkeypatch: Any) -> None:
    client = Client()
    client.post("/sign-up", ASKED)
    address = link()
    assert client.get(address[:-2]).status_code == 404
    assert client.post("/sign-up/nonsense", {"password": "correct horse battery"}).status_code == 404
    monkeypatch.setattr("billing.services.customer.sign_up.VALID_FOR", timedelta(seconds=-1))
    assert client.get(address).status_code == 404
    assert not User.objects.exists()


@pytest.mark.usefixtures("open_door")
def test_a_weak_password_is_refused(shop: Shop, team: Plan) -> None:
    client = Client()
    client.post("/sign-up", ASKED)
    assert client.post(link(), {"password": "password"}).status_code == 400
    assert not User.objects.exists()


@pytest.mark.usefixtures("open_door")
def test_a_plan_that_is_not_offered_cannot_be_signed_up_for(shop: Shop, acme: Customer, team: Plan) -> None:
    assert Client().post("/sign-up", ASKED | {"plan": "pro"}).status_code == 400
    client = Client()
    client.post("/sign-up", ASKED)
    plans.offer(actor=SYSTEM, plan=team, offered=False)
    client.post(link(), {"password": "correct horse battery"})
    customer = Membership.objects.get(user__email="new@fresh.test").organization.customer
    assert not customer.subscriptions.exists()


@pytest.mark.parametrize("path", ["/sign-up", "/sign-up/some-token"])
def test_where_the_door_is_shut_there_is_none(db: None, settings: Any, path: str) -> None:
    settings.SELF_SIGN_UP = False
    assert Client().get(path).status_code == 404


def test_offering_needs_a_version_and_leaves_a_trail(shop: Shop) -> None:
    plan = shop.plan("pro").plan
    plans.offer(actor=SYSTEM, plan=plan, offered=True)
    plans.offer(actor=SYSTEM, plan=plan, offered=True)
    assert AuditEvent.objects.filter(action="plan.offered").count() == 1
