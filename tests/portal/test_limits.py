"""Budgets, alerts and the inbox: who may, what they show, what they refuse."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import second_factor
from accounts.models import ApiKey, User
from accounts.services import api_keys
from billing.config import settings as shipped
from billing.models import Alert, Budget, Customer, NoticeDelivery, NoticePreference
from billing.services import alerts, notices
from tests.builders import Shop, browser_of

NEW_BUDGET = {
    "name": "Support",
    "covers": "user",
    "value": "u_17",
    "unit": "usd",
    "limit": "1,000.50",
    "period": "month",
    "at_cap": "refuse",
    "alert_at": "50, 80, 100",
}
NEW_ALERT = {"when": "balance_below:last_top_up", "at": "50, 20, 10", "asset": "usd"}
SignedIn = Callable[[User], Client]


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> Client:
    return browser_of(shop.member(acme))


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "billing", "viewer"])
def test_who_may_set_limits(shop: Shop, acme: Customer, role: str) -> None:
    client = browser_of(shop.member(acme, "me@acme.test", role))
    may = role in {"owner", "admin", "billing"}
    for path in ("/budgets", "/alerts", "/inbox"):
        assert ("A new budget" in page(client, path)) == (may and path == "/budgets")

    assert client.post("/budgets/new", NEW_BUDGET).status_code == (302 if may else 403)
    assert client.post("/alerts/new", NEW_ALERT).status_code == (302 if may else 403)
    assert client.post("/alerts/usual").status_code == (302 if may else 403)
    assert client.post("/alerts/mine", {"email_topics": ["balance"]}).status_code == 302
    assert Budget.objects.count() == Alert.objects.count() == int(may)


def test_without_a_fresh_second_factor_no_limit_is_changed(shop: Shop, acme: Customer, owner: Client) -> None:
    session = owner.session
    session["second_factor_at"] -= second_factor.FRESH_SECONDS + 1
    session.save()
    budget = shop.budget(acme, "5", set_by="customer")

    for path in ("/budgets/new", f"/budgets/{budget.pk}/change", f"/budgets/{budget.pk}/remove", "/alerts/new"):
        assert owner.post(path, NEW_BUDGET | NEW_ALERT)["Location"].startswith("/sign-in/code")

    assert Budget.objects.get().removed_at is None
    assert not Alert.objects.exists()


def test_a_budget_is_set_changed_and_removed(acme: Customer, owner: Client) -> None:
    assert owner.post("/budgets/new", NEW_BUDGET).status_code == 302
    budget = Budget.objects.get()
    assert (budget.scope, budget.limit, budget.set_by) == ({"user": "u_17"}, Decimal("1000.5"), "customer")
    assert budget.alert_at == ["0.5", "0.8", "1"]
    shown = page(owner, "/budgets")
    assert "user u_17 · each month · refuses what is beyond" in shown
    assert "tells at 50%, 80%, 100%" in shown

    path = f"/budgets/{budget.pk}/change"
    assert 'value="1000.5"' in page(owner, path)
    assert owner.post(path, {"name": "S", "limit": "2", "at_cap": "tell", "alert_at": ""}).status_code == 302
    budget.refresh_from_db()
    assert (budget.name, budget.limit, budget.hard, budget.alert_at) == ("S", 2, False, [])
    assert owner.post(f"/budgets/{budget.pk}/remove").status_code == 302
    assert "No budgets yet" in page(owner, "/budgets")


def test_the_operators_budget_is_shown_and_left_alone(shop: Shop, acme: Customer, owner: Client) -> None:
    budget = shop.budget(acme, "5", name="Trial", scope={"user": "*"})
    shop.record(acme, input_tokens=400_000, user="u_1")

    shown = page(owner, "/budgets")
    assert "Set by the operator" in shown
    assert "u_1" in shown
    for action in ("change", "remove"):
        assert owner.post(f"/budgets/{budget.pk}/{action}", NEW_BUDGET).status_code == 404
    other = shop.budget(shop.customer("globex"), "5", set_by="customer")
    assert owner.post(f"/budgets/{other.pk}/remove").status_code == 404
    assert Budget.objects.filter(removed_at=None).count() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "much"},
        {"limit": "1e18"},
        {"limit": "1e999"},
        {"limit": "-1"},
        {"alert_at": "soon"},
        {"alert_at": "0"},
        {"period": "fortnight"},
        {"covers": "member:1"},
        {"unit": "gold"},
        {"at_cap": "throttle", "period": "total"},
        {"name": ""},
    ],
    ids=str,
)
def test_a_budget_that_makes_no_sense_comes_back_with_the_reason(owner: Client, wrong: dict[str, str]) -> None:
    response = owner.post("/budgets/new", NEW_BUDGET | wrong)

    assert response.status_code == 400
    assert 'role="alert"' in response.content.decode()
    assert not Budget.objects.exists()


def test_budgets_cover_members_keys_and_runs(shop: Shop, acme: Customer, owner: Client) -> None:
    member = acme.organization.memberships.get()
    for covers in (f"member:{member.pk}", "session", ""):
        assert owner.post("/budgets/new", NEW_BUDGET | {"covers": covers, "value": "", "unit": "events", "limit": "5"})

    found = {(str(b.member_id or ""), str(b.scope), b.counts) for b in Budget.objects.all()}
    assert found == {(str(member.user_id), "{}", "events"), ("", "{'session': '*'}", "events"), ("", "{}", "events")}


def test_several_members_share_a_budget(shop: Shop, acme: Customer, owner: Client) -> None:
    assert "Who shares it" not in page(owner, "/budgets")
    shop.member(acme, "ann@acme.test", "developer", name="Ann Ames")
    mine, anns = acme.organization.memberships.order_by("created_at")
    shared = NEW_BUDGET | {"covers": "members", "value": "", "members": [mine.pk, anns.pk]}
    for wrong in (shared | {"members": []}, shared | {"covers": "user"}, shared | {"members": ["1"]}):
        assert owner.post("/budgets/new", wrong).status_code == 400

    assert owner.post("/budgets/new", shared).status_code == 302
    budget = Budget.objects.get()
    assert set(budget.people) == {mine.user_id, anns.user_id}
    assert "Ann Ames + owner@acme.test together" in page(owner, "/budgets")
    path = f"/budgets/{budget.pk}/change"
    assert page(owner, path).count("checked") == 2
    changed = {"name": "S", "limit": "2", "at_cap": "refuse", "alert_at": ""}
    assert owner.post(path, changed).status_code == 400
    assert owner.post(path, changed | {"members": [anns.pk]}).status_code == 302
    budget.refresh_from_db()
    assert budget.people == [anns.user_id]


def terms_of(customer: Customer) -> list[tuple[str, str, list[str]]]:
    return list(Alert.objects.filter(customer=customer).order_by("pk").values_list("kind", "of", "at"))


def test_who_has_no_alert_is_offered_what_new_customers_begin_with(
    shop: Shop, acme: Customer, owner: Client, settings: Any
) -> None:
    settings.DEFAULT_ALERTS = shipped.DEFAULT_ALERTS
    offered = page(owner, "/alerts")
    assert "50%, 20%, 10% of the last top-up" in offered
    owner.post("/alerts/usual")
    owner.post("/alerts/usual")

    assert terms_of(acme) == terms_of(shop.customer("newcomer")) != []
    assert "Tell us these" not in page(owner, "/alerts")
    Alert.objects.update(removed_at=timezone.now())
    settings.DEFAULT_ALERTS = {}
    assert "Nobody is told yet" in page(owner, "/alerts")
    assert "Tell us these" not in page(owner, "/alerts")


def test_alerts_are_made_told_and_read(shop: Shop, acme: Customer, owner: Client) -> None:
    assert owner.post("/alerts/new", {"when": "balance_below:amount", "at": "60", "asset": "usd"}).status_code == 302
    shop.record(acme, input_tokens=45 * 400_000)
    alerts.watch_balances()
    notices.address()

    assert "$55.00 left, below $60.00" in page(owner, "/inbox")
    assert 'aria-label="1 new"' in page(owner, "/")
    owner.post("/inbox/read")
    assert 'aria-label="1 new"' not in page(owner, "/inbox")
    alert = Alert.objects.order_by("pk").last()
    assert alert is not None
    assert owner.post(f"/alerts/{alert.pk}/remove").status_code == 302
    assert owner.post(f"/alerts/{alert.pk}/remove").status_code == 404
    for wrong in ({"at": "x"}, {"at": "0"}, {"when": "weather"}):
        assert owner.post("/alerts/new", NEW_ALERT | wrong).status_code == 400


def test_wishes_are_ones_own(shop: Shop, acme: Customer, owner: Client) -> None:
    body = {"email_topics": ["budgets"], "quiet_from": "22:00", "quiet_until": "07:00"}
    assert owner.post("/alerts/mine", body).status_code == 302
    assert owner.post("/alerts/mine", {**body, "quiet_until": ""}).status_code == 400
    assert owner.post("/alerts/mine", {**body, "quiet_until": "22:00"}).status_code == 400
    assert owner.post("/alerts/mine", {**body, "email_topics": ["gossip"]}).status_code == 400

    preference = NoticePreference.objects.get()
    assert (preference.email_topics, str(preference.quiet_from)) == (["budgets"], "22:00:00")


def test_nobody_reads_anothers_inbox(shop: Shop, acme: Customer, owner: Client) -> None:
    globex = shop.customer("globex", usd="1")
    shop.member(globex, "them@globex.test")
    shop.alert(globex, "5")
    alerts.watch_balances()
    notices.address()

    assert "Nothing yet" in page(owner, "/inbox")
    owner.post("/inbox/read")
    assert NoticeDelivery.objects.get(channel="inbox").read_at is None


def test_the_letters_of_a_demonstration_can_be_read(
    shop: Shop, acme: Customer, owner: Client, settings: Any, tmp_path: Path
) -> None:
    assert owner.get("/letters").status_code == 404
    settings.DEMO = True
    assert owner.get("/letters").status_code == 404
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    assert "No letters yet" in page(owner, "/letters")
    letter = mail.EmailMultiAlternatives("Low <b>", "Plain text", to=["a@acme.test"])
    letter.attach_alternative("<p style='color:red'>Rich</p>", "text/html")
    letter.send()

    name = next(tmp_path.glob("*.log")).stem
    assert "Low &lt;b&gt;" in page(owner, "/letters")
    assert "Plain text" in page(owner, f"/letters/{name}")
    html = owner.get(f"/letters/{name}/html")
    assert "Rich" in html.content.decode()
    assert "default-src 'none'" in html["Content-Security-Policy"]
    for nonsense in ("x", "..%2F..%2Fsecrets", "20260101-000000-1"):
        assert owner.get(f"/letters/{nonsense}").status_code == 404
    assert Client().get("/letters").status_code == 302


def test_a_paused_key_says_why_and_is_resumed_with_one_click(shop: Shop, acme: Customer, owner: Client) -> None:
    key, _ = api_keys.issue(name="agent", scopes=["events:write"], organization=acme.organization)
    api_keys.pause([key.pk], reason="A budget is used up.")

    shown = page(owner, "/keys")
    assert "Paused" in shown
    assert "A budget is used up." in shown
    # Those who make keys, but set no limits, leave it as it is, and no renewal goes around it.
    developer = browser_of(shop.member(acme, "dev@acme.test", "developer"))
    shown = page(developer, "/keys")
    assert "Resume agent" not in shown
    assert "Renew agent" not in shown
    assert developer.post(f"/keys/{key.pk}/resume").status_code == 403
    for client in (developer, owner):
        told = client.post(f"/keys/{key.pk}/rotate", follow=True).content.decode()
        assert "This key is paused: resume it first." in told
    assert not ApiKey.objects.filter(renews=key).exists()
    assert owner.post(f"/keys/{key.pk}/resume").status_code == 302
    key.refresh_from_db()
    assert key.paused_at is None
    assert "Resume agent" not in page(owner, "/keys")
