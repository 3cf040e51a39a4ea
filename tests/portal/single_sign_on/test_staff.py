"""The operator's own people, signing in at the operator's own provider."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Identity, User
from accounts.services import single_sign_on, staff
from accounts.services.audit import SYSTEM
from tests.builders import Shop, browser_of
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.portal.single_sign_on.steps import PASSWORD, begin, page


@pytest.fixture
def operators(idp: Provider, settings: Any, db: None) -> User:
    """Somebody of the staff, where the operator has a provider in its own network."""
    settings.STAFF_SSO_ISSUER, settings.STAFF_SSO_CLIENT_ID = idp.issuer, CLIENT_ID
    settings.STAFF_SSO_CLIENT_SECRET = CLIENT_SECRET
    settings.STAFF_SSO_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    user = User.objects.create_user("finance@ante.test", PASSWORD)
    staff.join(user, staff.FINANCE)
    return user


def come_as_staff(idp: Provider, client: Client) -> Any:
    return client.get("/sign-in/company/back/staff", begin(client, idp, "staff"))


def test_staff_come_in_by_the_operators_provider_and_still_give_their_second_factor(
    idp: Provider, operators: User
) -> None:
    client = browser_of(operators)
    assert come_as_staff(idp, client)["Location"] == "/sign-in/company/connect"
    assert client.post("/sign-in/company/connect")["Location"] == "/admin/"

    fresh = Client()
    response = come_as_staff(idp, fresh)

    assert response["Location"] == "/admin/"
    assert fresh.get("/admin/")["Location"].startswith("/sign-in/code?")
    come_as_staff(idp, client)
    assert client.get("/admin/").status_code == 200


def test_the_operators_provider_makes_nobody_staff(idp: Provider, operators: User, shop: Shop) -> None:
    member = shop.member(shop.customer("acme"))
    client = browser_of(member)
    come_as_staff(idp, client)

    assert client.post("/sign-in/company/connect").status_code == 400

    assert not Identity.objects.exists()
    single_sign_on.connect(_staff_door(), operators, "u-1", actor=SYSTEM)
    operators.is_staff = operators.is_superuser = False
    operators.save()
    assert come_as_staff(idp, Client())["Location"] == "/sign-in/company/connect"


def test_where_staff_must_come_by_it_superusers_need_not(idp: Provider, operators: User, settings: Any) -> None:
    settings.STAFF_SSO_REQUIRED = True
    client = browser_of(operators)
    assert client.get("/admin/")["Location"].startswith("/sign-in/staff?")
    assert "short name" in page(client.get("/sign-in/staff"))
    come_as_staff(idp, client)
    client.post("/sign-in/company/connect")
    assert client.get("/admin/").status_code == 200
    administrator = User.objects.create_superuser("admin@ante.test", PASSWORD)
    assert browser_of(administrator).get("/admin/").status_code == 200


@pytest.mark.parametrize("name", ["STAFF_SSO_ISSUER", "STAFF_SSO_CLIENT_ID"])
def test_another_provider_of_the_operators_ends_what_the_one_before_opened(
    idp: Provider, operators: User, settings: Any, name: str
) -> None:
    client = browser_of(operators)
    come_as_staff(idp, client)
    client.post("/sign-in/company/connect")
    assert client.get("/admin/").status_code == 200
    before = getattr(settings, name)

    for other in ("https://login.example.com", ""):
        setattr(settings, name, other)
        assert client.get("/admin/")["Location"].startswith("/sign-in?"), other
        setattr(settings, name, before)
        come_as_staff(idp, client := browser_of(operators))
        assert client.get("/admin/").status_code == 200, "the control"


def _staff_door() -> single_sign_on.Door:
    found = single_sign_on.door("staff")
    assert found is not None
    return found


def test_without_a_provider_staff_have_no_such_way_in(db: None) -> None:
    assert "No company signs in here" in page(Client().post("/sign-in/company", {"name": "staff"}))
