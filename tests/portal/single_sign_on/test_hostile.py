"""What a hostile provider does not get, and what a browser brings back in vain."""

import pytest
from django.test import Client, RequestFactory

from accounts import oidc
from accounts.models import Authenticator, Identity, IdentityProvider, Membership, OutgoingMail, User
from accounts.services import devices, single_sign_on, staff, team
from accounts.services.audit import SYSTEM
from portal.pages import company
from tests.builders import Shop, browser_of
from tests.identity_provider import Provider
from tests.portal.single_sign_on.steps import NEW, PASSWORD, back, begin, come, connected, page

OVER = "was begun in another browser, or is over"


# --- Whom a provider does not let in ---------------------------------------------------------------------------------


def test_an_address_that_it_claims_signs_nobody_in(idp: Provider, row: IdentityProvider, owner: User) -> None:
    """A hostile provider names an owner's address, verified and all: it is asked for that owner's password."""
    for claims in ({}, {"email_verified": False}, {"email": None}):
        idp.claims = claims
        client, response = come(idp, row)
        assert response["Location"] == "/sign-in/company/connect"
        assert client.get("/")["Location"].startswith("/sign-in?")
        assert client.post("/sign-in/company/connect").status_code == 200
    assert not Identity.objects.exists()


def test_who_is_a_member_elsewhere_is_not_let_in_nor_connected(
    idp: Provider, row: IdentityProvider, shop: Shop
) -> None:
    stranger = shop.member(shop.customer("globex"), "owner@globex.test")
    client, _ = come(idp, row)
    client.post("/sign-in", {"username": stranger.email, "password": PASSWORD})

    refused = client.post("/sign-in/company/connect")

    assert refused.status_code == 400
    assert "owner@globex.test is no member of Acme" in page(refused)
    assert not Identity.objects.exists()


def test_what_it_opens_is_that_organization_alone(
    idp: Provider, row: IdentityProvider, viewer: User, shop: Shop
) -> None:
    """Somebody is in two organizations. The provider of the one does not open the other, nor their account."""
    globex = shop.customer("globex", usd="77")
    Membership.objects.create(organization=globex.organization, user=viewer, role="owner")
    connected(row, viewer)
    client, _ = come(idp, row)

    assert "Globex" not in page(client.get("/"))
    assert client.post("/organization", {"organization": str(globex.organization_id)}).status_code == 404
    for path in ("/security", "/security/authenticator", "/privacy", "/profile"):
        refused = client.get(path)
        assert refused.status_code == 403
        assert "sign in with your own password" in page(refused)
    for path in ("/security/sessions/end", "/security/password", "/security/passkeys/begin", "/profile"):
        assert client.post(path, {"name": "Mallory"}).status_code == 403, path
    assert client.get("/privacy/my-data.zip")["Location"].startswith("/security/authenticator")
    assert not Authenticator.objects.exists()
    by_password = Client()
    by_password.post("/sign-in", {"username": viewer.email, "password": PASSWORD})
    assert "Globex" in page(by_password.get("/"))


def test_a_browser_that_it_opened_is_not_known_to_the_password(
    idp: Provider, row: IdentityProvider, viewer: User, rf: RequestFactory
) -> None:
    """It is told once, and the password is told again; and there are no more attempts at that one by it."""
    Client().post("/sign-in", {"username": viewer.email, "password": PASSWORD})
    connected(row, viewer)
    client, _ = come(idp, row)
    come(idp, row, client)
    OutgoingMail.objects.exclude(subject="Sign-in from a new browser").delete()
    assert OutgoingMail.objects.count() == 1
    request = rf.get("/", headers={"cookie": client.cookies.output(header="", sep=";", attrs=[])})
    assert not devices.knows(request, viewer)

    client.post("/sign-out")
    client.post("/sign-in", {"username": viewer.email, "password": PASSWORD})

    assert OutgoingMail.objects.count() == 2
    request = rf.get("/", headers={"cookie": client.cookies.output(header="", sep=";", attrs=[])})
    assert devices.knows(request, viewer), "the control"


def test_who_was_connected_by_mistake_is_out_when_the_person_connects_anew(
    idp: Provider, row: IdentityProvider, viewer: User
) -> None:
    connected(row, viewer, "mallory")
    idp.subject = "mallory"
    mallory, _ = come(idp, row)
    assert mallory.get("/usage").status_code == 200
    idp.subject = "u-1"
    client = Client()
    client.post("/sign-in", {"username": viewer.email, "password": PASSWORD})
    come(idp, row, client)

    assert client.post("/sign-in/company/connect")["Location"] == "/"

    assert client.get("/usage").status_code == 200
    assert mallory.get("/usage")["Location"].startswith("/sign-in?")


def test_with_ones_own_factor_the_account_opens_too(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    connected(row, viewer)
    client = browser_of(viewer)
    come(idp, row, client)

    shown = page(client.get("/security"))

    assert idp.issuer in shown
    identity = Identity.objects.get()
    assert client.post(f"/security/company/{identity.pk}/disconnect").status_code == 302
    assert not Identity.objects.exists()


def test_who_left_is_out_and_is_asked_again_when_they_come_back(
    idp: Provider, row: IdentityProvider, viewer: User, owner: User
) -> None:
    connected(row, viewer)
    client, _ = come(idp, row)
    member, by = Membership.objects.get(user=viewer), Membership.objects.get(user=owner)

    team.remove(member, by=by, actor=SYSTEM)

    assert client.get("/")["Location"].startswith("/sign-in?")
    assert come(idp, row)[1]["Location"] == "/sign-in/company/connect"
    Membership.objects.create(organization=row.organization, user=viewer, role="viewer")
    assert come(idp, row)[1]["Location"] == "/sign-in/company/connect"


def test_a_closed_account_stays_closed(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    connected(row, viewer)
    User.objects.filter(pk=viewer.pk).update(is_active=False)

    assert come(idp, row)[1]["Location"] == "/sign-in/company/connect"


def test_an_organizations_provider_never_opens_the_back_office(
    idp: Provider, row: IdentityProvider, viewer: User
) -> None:
    """Neither for somebody who was staff before, nor for who became it meanwhile, in whatever way."""
    connected(row, viewer)
    client = browser_of(viewer)
    come(idp, row, client)
    staff.join(viewer, staff.FINANCE)

    assert client.get("/admin/")["Location"].startswith("/sign-in?")
    assert "_auth_user_id" not in client.session
    assert come(idp, row)[1]["Location"] == "/sign-in/company/connect"
    with pytest.raises(oidc.Refused):
        connected(row, viewer, "u-2")


def test_one_subject_is_one_person(idp: Provider, row: IdentityProvider, viewer: User, owner: User) -> None:
    connected(row, viewer)

    with pytest.raises(oidc.Refused, match="Another account"):
        connected(row, owner)

    connected(row, viewer, "u-2")
    assert Identity.objects.get().subject == "u-2"


def test_another_organizations_subject_of_the_same_issuer_is_somebody_else(
    idp: Provider, row: IdentityProvider, viewer: User, shop: Shop
) -> None:
    """Two organizations at one issuer: whom the first knows, the second does not bring in."""
    connected(row, viewer)
    other = single_sign_on.set_up(
        shop.customer("globex").organization, issuer=idp.issuer, actor=SYSTEM, **{**NEW, "short_name": "globex"}
    )
    client = Client()

    response = back(client, other, begin(client, idp, "globex"))

    assert response["Location"] == "/sign-in/company/connect"


def test_a_name_that_anybody_may_take_leads_nowhere_by_itself(idp: Provider, row: IdentityProvider) -> None:
    onward = Client().post("/sign-in/company", {"name": "acme"})

    assert not {"Refresh", "Location"} & set(onward.headers)
    assert "You sign in at 127.0.0.1." in page(onward)
    assert "Nobody has verified that “acme” is your company." in page(onward)


# --- What a browser brings back --------------------------------------------------------------------------------------


def test_what_another_browser_began_counts_for_nothing(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    connected(row, viewer)
    brought = begin(Client(), idp)
    victim = Client()
    assert OVER in page(back(victim, row, brought))
    begin(victim, idp)

    refused = back(victim, row, brought)

    assert refused.status_code == 400
    assert OVER in page(refused)
    assert "_auth_user_id" not in victim.session


def test_an_answer_counts_once(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    connected(row, viewer)
    client = Client()
    brought = begin(client, idp)
    assert back(client, row, brought)["Location"] == "/"
    client.post("/sign-out")

    assert OVER in page(back(client, row, brought))

    again = begin(client, idp)
    replayed = back(client, row, {"code": brought["code"], "state": again["state"]})
    assert "did not take what was asked" in page(replayed)


def test_it_does_not_wait_for_ever(
    idp: Provider, row: IdentityProvider, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    brought = begin(client, idp)
    monkeypatch.setattr(company, "SECONDS_MAX", -1)

    assert OVER in page(back(client, row, brought))


def test_one_providers_answer_is_not_taken_at_anothers_address(
    idp: Provider, row: IdentityProvider, viewer: User, shop: Shop
) -> None:
    connected(row, viewer)
    other = shop.customer("globex").organization
    client = Client()

    assert OVER in page(client.get(f"/sign-in/company/back/{other.pk}", begin(client, idp)))
    mixed = back(client, row, {**begin(client, idp), "iss": "https://elsewhere.test"})
    assert "did not let you in" in page(mixed)
    denied = back(client, row, {"state": begin(client, idp)["state"], "error": "<script>access_denied"})
    assert "did not let you in" in page(denied)
    assert "<script>access" not in page(denied)


@pytest.mark.parametrize("after", ["//evil.test/", "https://evil.test/", "/\\evil.test"])
def test_it_leads_back_within_the_site(idp: Provider, row: IdentityProvider, viewer: User, after: str) -> None:
    connected(row, viewer)

    assert come(idp, row, after=after)[1]["Location"] == "/"
