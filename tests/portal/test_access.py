"""Who sees whose rows: the portal's one door."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Organization, User
from tests.builders import Shop, browser_of

SignedIn = Callable[[User], Client]
PAGES = ["/", "/usage", "/statement", "/top-up", "/top-up/quote", "/activity", "/usage.csv", "/statement.csv"]


def test_strangers_are_asked_to_sign_in_and_brought_back(shop: Shop, client: Client) -> None:
    for page in PAGES:
        response = client.get(page)
        assert response.status_code == 302
        assert response["Location"] == f"/sign-in?next={page}"


def test_a_stranger_gets_no_balance(shop: Shop, client: Client) -> None:
    assert client.get("/balance.json").status_code == 401


def test_a_member_sees_their_customer_and_nobody_elses(shop: Shop, signed_in: SignedIn) -> None:
    acme, umbrella = shop.customer("acme", usd="10"), shop.customer("umbrella", usd="77")
    shop.record(acme, id="event-of-acme", input_tokens=1000)
    shop.record(umbrella, id="event-of-umbrella", input_tokens=1000)
    client = signed_in(shop.member(acme))
    for page in ["/", "/statement", "/statement.csv"]:
        response = client.get(page)
        body = (b"".join(response) if response.streaming else response.content).decode()
        assert "event-of-acme" in body
        assert "event-of-umbrella" not in body


def test_an_id_of_another_customers_event_finds_nothing(shop: Shop, signed_in: SignedIn) -> None:
    acme, umbrella = shop.customer("acme", usd="10"), shop.customer("umbrella", usd="77")
    outcome = shop.record(umbrella, id="event-of-umbrella", input_tokens=1000)
    client = signed_in(shop.member(acme))
    for search in ["event-of-umbrella", str(outcome.transaction_id)]:
        assert "Nothing matches" in client.get("/statement", {"q": search}).content.decode()


def test_another_organization_cannot_be_chosen(shop: Shop, signed_in: SignedIn) -> None:
    acme, umbrella = shop.customer("acme"), shop.customer("umbrella", usd="77")
    client = signed_in(shop.member(acme))
    for organization in [str(umbrella.organization_id), "nonsense", ""]:
        assert client.post("/organization", {"organization": organization}).status_code == 404
    assert [b["available"] for b in client.get("/balance.json").json()["balances"]] == ["0"]


def test_one_with_several_organizations_switches_between_them(shop: Shop, signed_in: SignedIn) -> None:
    acme, umbrella = shop.customer("acme", usd="10"), shop.customer("umbrella", usd="77")
    user = shop.member(acme)
    Membership.objects.create(organization=umbrella.organization, user=user, role="viewer")
    client = signed_in(user)
    assert client.get("/balance.json").json()["balances"][0]["available"] == "10"
    response = client.post("/organization", {"organization": str(umbrella.organization_id), "next": "/usage"})
    assert response["Location"] == "/usage"
    assert client.get("/balance.json").json()["balances"][0]["available"] == "77"


def test_switching_does_not_lead_to_another_site(shop: Shop, signed_in: SignedIn) -> None:
    acme = shop.customer("acme")
    client = signed_in(shop.member(acme))
    body = {"organization": str(acme.organization_id), "next": "https://elsewhere.test/"}
    assert client.post("/organization", body)["Location"] == "/"


def test_one_who_was_removed_sees_nothing_more(shop: Shop, signed_in: SignedIn) -> None:
    acme = shop.customer("acme", usd="10")
    user = shop.member(acme)
    client = signed_in(user)
    assert client.get("/").status_code == 200
    Membership.objects.filter(user=user).delete()
    assert client.get("/").status_code == 403
    assert client.get("/balance.json").status_code == 401


def test_staff_without_a_customer_go_to_the_back_office(shop: Shop, signed_in: SignedIn) -> None:
    staff = User.objects.create_superuser("finance@ante.test", "correct horse battery")
    assert browser_of(staff).get("/")["Location"] == "/admin/"
    assert signed_in(staff).get("/")["Location"].startswith("/sign-in/code")


def test_one_who_belongs_nowhere_is_told_so(shop: Shop, signed_in: SignedIn) -> None:
    user = User.objects.create_user("nobody@nowhere.test", "correct horse battery")
    Membership.objects.create(organization=Organization.objects.create(name="No wallet"), user=user)
    response = signed_in(user).get("/")
    assert response.status_code == 403
    assert "You belong to no organization yet" in response.content.decode()


def test_pages_are_kept_by_no_cache_and_allow_nothing_inline(shop: Shop, signed_in: SignedIn) -> None:
    client = signed_in(shop.member(shop.customer("acme")))
    for page in ["/", "/usage", "/statement"]:
        response = client.get(page)
        assert "no-store" in response["Cache-Control"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert "HX-Request" in response["Vary"]


def test_times_are_shown_in_the_customers_zone(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme", usd="10", timezone="Asia/Tokyo")
    moment = (timezone.now() - timedelta(days=3)).replace(hour=20, minute=15, second=0, microsecond=0)
    shop.record(customer, time=moment, input_tokens=1000)
    page = signed_in(shop.member(customer)).get("/statement").content.decode()
    assert ", 05:15</time>" in page
    assert "Asia/Tokyo" in page


def test_a_zone_that_does_not_exist_counts_as_utc(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme")
    type(customer).objects.filter(pk=customer.pk).update(timezone="Mars/Olympus")
    assert "UTC" in signed_in(shop.member(customer)).get("/").content.decode()


def test_a_nul_in_the_address_matches_nothing(shop: Shop, signed_in: SignedIn) -> None:
    acme = shop.customer("acme", usd="10")
    client = signed_in(shop.member(acme))
    nul = "us\x00d"
    assert "Nothing matches" in client.get("/statement", {"asset": nul}).content.decode()
    assert b"".join(client.get("/statement.csv", {"asset": nul})).count(b"\r\n") == 1
    names = ["asset", "kind", "from", "to", "q", "before", "group", "meter", "period", "whole", "next"]
    for page in [*PAGES, "/balance.json", "/sign-in"]:
        assert client.get(page, dict.fromkeys(names, nul)).status_code in {200, 302}


@pytest.mark.parametrize("path", ["/", "/sign-in", "/admin/", "/usage", "/balance.json"])
@pytest.mark.parametrize("name", ["ante_session", "ante_csrf", "other"])
def test_a_cookie_with_a_control_character_counts_as_not_sent(db: None, path: str, name: str) -> None:
    client = Client(raise_request_exception=False, headers={"cookie": rf'{name}="abcdefghijkl\000mnop"'})

    assert client.get(path).status_code in {200, 302, 401}
