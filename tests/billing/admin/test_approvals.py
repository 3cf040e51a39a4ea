"""The inbox: what waits for a second person, who sees which button, and what pressing it does."""

import ast
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.services import staff
from billing.models import Approval, Balance, Customer, UsageEvent
from tests.architecture.sources import nodes
from tests.billing.admin.test_grant_form import FORM, page
from tests.builders import Shop, browser_of

WORD = {"reason": "Agreed on the phone"}


@pytest.fixture(autouse=True)
def _limits(settings: Any) -> None:
    settings.APPROVAL_ABOVE = {"usd": Decimal(100)}


@pytest.fixture
def customer(shop: Shop) -> Customer:
    return shop.customer(usd="10")


def desk(group: str, name: str = "") -> Client:
    person = User.objects.create_user(f"{name or group.lower()}@ante.test", "correct horse battery")
    staff.join(person, group)
    return browser_of(person)


@pytest.fixture
def maker(db: None) -> Client:
    return desk(staff.FINANCE, "maker")


@pytest.fixture
def asked(maker: Client, customer: Customer) -> Approval:
    maker.post(page(customer), {**FORM, "amount": "150", "confirm": "1"})
    return Approval.objects.get()


def url(approval: Approval, action: str = "") -> str:
    change = reverse("admin:billing_approval_change", args=[approval.pk])
    return change.replace("/change/", f"/{action}/") if action else change


def available(customer: Customer) -> Decimal:
    return Balance.objects.get(customer=customer, asset_id="usd").available


def test_the_form_says_beforehand_that_it_will_wait(maker: Client, customer: Customer) -> None:
    assert "second person" in maker.post(page(customer), {**FORM, "amount": "150"}).content.decode()
    assert "second person" not in maker.post(page(customer), {**FORM, "amount": "100"}).content.decode()


def test_the_menu_counts_what_somebody_can_decide_and_nothing_where_there_is_nothing(
    maker: Client, asked: Approval
) -> None:
    home = reverse("admin:index")

    assert "ante-waiting" not in maker.get(home).content.decode(), "nobody decides what they asked for"
    assert "ante-waiting" not in desk(staff.SUPPORT).get(home).content.decode(), "nobody counts what others decide"
    assert '<span class="ante-badge ante-warn ante-waiting">1</span>' in desk(staff.FINANCE).get(home).content.decode()


def test_a_large_grant_waits_and_a_second_click_asks_once(maker: Client, customer: Customer) -> None:
    for _ in range(2):
        response = maker.post(page(customer), {**FORM, "amount": "150", "confirm": "1"}, follow=True)
    assert "Nothing is done a second time" in response.content.decode()
    assert Approval.objects.count() == 1
    assert available(customer) == 10


def test_another_person_finds_it_in_the_inbox_and_approves(asked: Approval, customer: Customer) -> None:
    other = desk(staff.FINANCE)
    assert "maker@ante.test" in other.get(reverse("admin:billing_approval_changelist")).content.decode()
    assert "Approve" in other.get(url(asked)).content.decode()
    shown = other.get(url(asked, "approve")).content.decode()
    assert "Outage on Tuesday" in shown
    assert "150" in shown
    assert available(customer) == 10

    assert "reason" in other.post(url(asked, "approve"), {"reason": ""}).context["form"].errors
    done = other.post(url(asked, "approve"), WORD, follow=True).content.decode()

    assert "Approved, and done." in done
    assert "Agreed on the phone" in done
    assert available(customer) == 160
    again = other.post(url(asked, "approve"), WORD)
    assert "This request is approved already." in again.content.decode()
    assert other.get(url(asked, "approve")).status_code == 403
    assert available(customer) == 160


def test_the_maker_sees_no_button_and_may_not_press_it(asked: Approval, maker: Client, customer: Customer) -> None:
    shown = maker.get(url(asked)).content.decode()
    assert "Withdraw" in shown
    assert "Approve…" not in shown
    for action in ("approve", "reject"):
        assert maker.post(url(asked, action), WORD).status_code == 403
    assert "Withdrawn" in maker.post(url(asked, "withdraw"), WORD, follow=True).content.decode()
    assert available(customer) == 10


@pytest.mark.parametrize("group", [staff.SUPPORT, staff.AUDITOR])
def test_who_only_looks_only_looks(asked: Approval, customer: Customer, group: str) -> None:
    other = desk(group)
    assert other.get(url(asked)).status_code == 200
    for action in ("approve", "reject", "withdraw"):
        assert other.post(url(asked, action), WORD).status_code == 403
    assert available(customer) == 10


def test_deciding_asks_for_a_fresh_second_factor(asked: Approval, customer: Customer) -> None:
    other = desk(staff.FINANCE)
    session = other.session
    session["second_factor_at"] -= 16 * 60
    session.save()
    response = other.post(url(asked, "approve"), WORD)
    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in/code")
    assert available(customer) == 10


def test_a_rejection_says_why(asked: Approval, customer: Customer) -> None:
    done = desk(staff.ADMINISTRATOR).post(url(asked, "reject"), WORD, follow=True).content.decode()
    assert "Nothing has moved" in done
    assert "Agreed on the phone" in done
    assert available(customer) == 10


def test_a_large_adjustment_and_reversal_wait_too(maker: Client, customer: Customer, shop: Shop) -> None:
    shop.fund(customer, "500")
    adjust = page(customer).replace("grant-credit", "adjust")
    form = {"asset": "usd", "amount": "-150", "reason": "Too much", "key": FORM["key"], "confirm": "1"}
    assert "has to approve it" in maker.post(adjust, form, follow=True).content.decode()
    shop.record(customer, id="dear", input_tokens=80_000_000)
    reverse_url = reverse("admin:billing_usageevent_change", args=[UsageEvent.objects.get().pk]).replace(
        "/change/", "/reverse/"
    )
    assert "has to approve it" in maker.post(reverse_url, WORD, follow=True).content.decode()
    assert sorted(Approval.objects.values_list("kind", flat=True)) == ["adjustment", "reversal"]
    assert available(customer) == 310


def _named_terms() -> set[str]:
    """The names of all terms that any kind is done from."""
    found = []
    for _, node in nodes("billing/services/approval_kinds.py"):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "terms":
            found.append(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "terms.get":
            found.append(node.args[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "_grant_of":
            found.append(node.args[1])
    return {name.value for name in found if isinstance(name, ast.Constant)}


def test_whoever_decides_is_shown_every_term_and_whom_it_is_about(customer: Customer) -> None:
    """Also one that has no words yet; a person by their address, as a reason can name another."""
    victim = User.objects.create_user("zuzanna@canary.test")
    named = _named_terms() - {"customer", "reason", "expires_at", "at", "seen"}
    assert {"person", "subscription", "grant", "extends", "event", "top_up", "invoice", "draft"} <= named
    terms = {name: str(uuid4()) for name in (*named, "something_new")} | {"person": str(victim.pk)}
    asked = Approval.objects.create(
        kind="erasure",
        terms=terms,
        amounts={},
        reason="viewer@other.test asked for it",
        requested_by=User.objects.create_user("maker@ante.test", is_staff=True),
        expires_at=timezone.now() + timedelta(hours=1),
    )
    checker = desk(staff.ADMINISTRATOR)

    for address in (url(asked), url(asked, "approve")):
        shown = checker.get(address).content.decode()
        assert {name for name, value in terms.items() if value not in shown} == set()
        assert victim.email in shown
