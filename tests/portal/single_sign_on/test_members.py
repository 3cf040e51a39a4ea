"""Signing in at one's company: what opens by it, and where members come in by it alone."""

import json

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts.models import AuditEvent, Authenticator, Identity, IdentityProvider, Membership, OutgoingMail, User
from accounts.services import attempts, devices, factors, single_sign_on
from accounts.services.audit import SYSTEM
from billing.models import Customer
from tests.builders import Shop, browser_of
from tests.identity_provider import CLIENT_SECRET, Provider
from tests.portal.single_sign_on.steps import NEW, PASSWORD, back, begin, come, connected, page

# --- As it should be -------------------------------------------------------------------------------------------------


def test_a_member_says_once_who_they_are_and_then_comes_in_by_it(
    idp: Provider, row: IdentityProvider, viewer: User
) -> None:
    client, response = come(idp, row, after="/usage")
    assert response["Location"] == "/sign-in/company/connect"
    unknown = page(client.get("/sign-in/company/connect"))
    assert "Who are you here?" in unknown
    assert "owner@acme.test" in unknown
    client.post("/sign-in", {"username": viewer.email, "password": PASSWORD, "next": "/sign-in/company/connect"})
    assert "for Acme alone" in page(client.get("/sign-in/company/connect"))
    assert not Identity.objects.exists()
    OutgoingMail.objects.all().delete()

    done = client.post("/sign-in/company/connect")

    assert done["Location"] == "/usage"
    assert client.get("/usage").status_code == 200
    identity = Identity.objects.get()
    assert (identity.user, identity.subject, identity.issuer) == (viewer, "u-1", idp.issuer)
    assert [letter.subject for letter in OutgoingMail.objects.all()] == ["Your company's sign-in was connected"]
    line = AuditEvent.objects.get(action="single_sign_on.connected")
    assert (line.actor_id, line.object_id) == (viewer.pk, str(viewer.pk))
    OutgoingMail.objects.all().delete()

    again, response = come(idp, row, after="/usage")

    assert response["Location"] == "/usage"
    assert again.get("/usage").status_code == 200
    assert again.session["_auth_user_id"] == str(viewer.pk)
    assert [letter.subject for letter in OutgoingMail.objects.all()] == ["Sign-in from a new browser"]
    assert Identity.objects.get().last_used_at is not None


def test_a_browser_that_was_left_open_connects_nobody(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    client = Client()
    client.post("/sign-in", {"username": viewer.email, "password": PASSWORD})
    session = client.session
    session["signed_in_at"] -= 3600
    session.save()
    come(idp, row, client)

    assert "Who are you here?" in page(client.post("/sign-in/company/connect", follow=True))

    assert not Identity.objects.exists()
    client.post("/sign-in", {"username": viewer.email, "password": PASSWORD})
    assert client.post("/sign-in/company/connect")["Location"] == "/"
    assert Identity.objects.get().user == viewer


def test_the_second_factor_stays_ones_own(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    connected(row, viewer)
    factors.begin(viewer, confirmed=True)

    client, _ = come(idp, row)

    assert client.get("/usage")["Location"].startswith("/sign-in/code?")


def test_an_owner_sets_it_up_connects_requires_and_removes_it(
    idp: Provider, loopback: None, owner: User, acme: Customer
) -> None:
    client = browser_of(owner)
    assert f"http://testserver/sign-in/company/back/{acme.organization_id}" in page(client.get("/single-sign-on"))

    assert client.post("/single-sign-on", {**NEW, "issuer": idp.issuer}).status_code == 302

    row = IdentityProvider.objects.get()
    assert row.client_secret == CLIENT_SECRET
    assert CLIENT_SECRET not in page(client.get("/single-sign-on"))
    client.post("/single-sign-on/require", {"required": "yes"})
    row.refresh_from_db()
    assert not row.required
    assert "Connect your own account first" in page(client.get("/single-sign-on"))

    _, response = come(idp, row, client, "/single-sign-on")
    assert client.post(response["Location"])["Location"] == "/single-sign-on"
    client.post("/single-sign-on/require", {"required": "yes"})

    row.refresh_from_db()
    assert row.required
    kept = {**NEW, "client_secret": "", "issuer": idp.issuer, "short_name": "acme-inc"}
    assert client.post("/single-sign-on", kept).status_code == 302
    row.refresh_from_db()
    assert (row.short_name, row.client_secret, row.required) == ("acme-inc", CLIENT_SECRET, True)
    assert client.post("/single-sign-on", {**kept, "client_id": "another"}).status_code == 400
    client.post("/single-sign-on/require", {"required": "no"})
    client.post("/single-sign-on/remove")
    assert not IdentityProvider.objects.exists()
    assert "Sign in with your company" in page(client.get("/")), "a session of a provider that is gone opens nothing"
    told = AuditEvent.objects.filter(action__startswith="single_sign_on", object_type="organization")
    assert list(told.order_by("id").values_list("action", flat=True)) == [
        "single_sign_on.set_up",
        "single_sign_on.required",
        "single_sign_on.set_up",
        "single_sign_on.optional",
        "single_sign_on.removed",
    ]
    assert CLIENT_SECRET not in json.dumps([[line.before, line.after] for line in told])


def test_another_issuer_or_client_disconnects_everybody(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    connected(row, viewer)
    client, _ = come(idp, row)

    new = single_sign_on.set_up(
        row.organization, issuer=idp.issuer, actor=SYSTEM, **{**NEW, "client_id": "another client"}
    )

    assert new.pk != row.pk
    assert not Identity.objects.exists()
    assert client.get("/").status_code == 403


def test_the_secret_may_be_sent_in_the_form(idp: Provider, row: IdentityProvider, viewer: User) -> None:
    idp.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    connected(row, viewer)

    assert come(idp, row)[1]["Location"] == "/"


def test_who_gives_an_address_gets_the_short_name_by_mail_and_nobody_learns_who_is_known(
    row: IdentityProvider, viewer: User
) -> None:
    known = Client().post("/sign-in/company", {"name": "Viewer@acme.test"})
    stranger = Client().post("/sign-in/company", {"name": "nobody@acme.test"})

    assert page(known) == page(stranger)
    letter, nobodys = OutgoingMail.objects.order_by("-recipient")
    assert (letter.recipient, nobodys.recipient) == (viewer.email, "")
    assert "http://testserver/sign-in/company?name=acme" in letter.text


def test_who_knows_a_companys_name_keeps_nobody_out_of_it(
    idp: Provider, row: IdentityProvider, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address goes too often and comes back never; from others people still come in, more of them than ten."""
    monkeypatch.setattr(attempts, "COMPANY_MAX", 12)
    connected(row, viewer)
    stranger = Client(REMOTE_ADDR="198.51.100.1")

    answers = [stranger.post("/sign-in/company", {"name": name}).status_code for name in ["acme", "nobody"] * 6]

    assert answers == [200, 400] * 6
    assert stranger.post("/sign-in/company", {"name": "acme"}).status_code == 429
    assert stranger.post("/sign-in", {"username": viewer.email, "password": PASSWORD}).status_code == 302
    away = [(client, begin(client, idp)) for client in (Client() for _ in range(12))]
    assert {back(client, row, brought)["Location"] for client, brought in away} == {"/"}
    assert [come(idp, row)[1]["Location"] for _ in range(3)] == ["/"] * 3, "who came back is not counted"


def test_letters_with_the_short_name_are_counted(row: IdentityProvider, viewer: User) -> None:
    client = Client()
    answers = [client.post("/sign-in/company", {"name": viewer.email}).status_code for _ in range(11)]

    assert (set(answers[:10]), answers[10]) == ({200}, 429)


# --- Required --------------------------------------------------------------------------------------------------------


def test_where_it_is_required_a_password_opens_nothing_but_ones_own_account(
    idp: Provider, row: IdentityProvider, viewer: User, shop: Shop
) -> None:
    connected(row, viewer)
    IdentityProvider.objects.update(required=True)
    client = Client()
    client.post("/sign-in", {"username": viewer.email, "password": PASSWORD})

    refused = client.get("/usage")

    assert refused.status_code == 403
    assert "Sign in with Acme" in page(refused)
    assert client.get("/balance.json").status_code == 401
    assert client.get("/security").status_code == 200
    come(idp, row, client)
    assert client.get("/usage").status_code == 200
    globex = shop.customer("globex")
    Membership.objects.create(organization=globex.organization, user=viewer)
    by_password = Client()
    by_password.post("/sign-in", {"username": viewer.email, "password": PASSWORD})
    shown = page(by_password.get("/"))
    assert "Globex" in shown
    assert "Acme" not in shown


def test_an_owner_is_never_locked_out(idp: Provider, row: IdentityProvider, owner: User) -> None:
    """With password and second factor, even one that they set up only then, and when the provider is away."""
    IdentityProvider.objects.update(required=True)
    idp.close()
    client = Client()
    client.post("/sign-in", {"username": owner.email, "password": PASSWORD})
    assert client.get("/").status_code == 403
    assert client.get("/security/authenticator").status_code == 200
    assert "could not be reached" in page(client.post("/sign-in/company", {"name": "acme"}))

    Authenticator.objects.filter(user=owner, confirmed=False).delete()
    with_factor = browser_of(owner)

    assert with_factor.get("/").status_code == 200
    assert with_factor.post("/single-sign-on/require", {"required": "no"}).status_code == 302
    row.refresh_from_db()
    assert not row.required


def test_an_owner_in_a_browser_that_they_trust_is_asked_for_the_code(row: IdentityProvider, owner: User) -> None:
    IdentityProvider.objects.update(required=True)
    device = devices.trust(RequestFactory().get("/"), HttpResponse(), owner, actor=SYSTEM)
    trusting = browser_of(owner)
    session = trusting.session
    del session["otp_device_id"]
    session["trusted_device"] = str(device.pk)
    session.save()

    asked = trusting.get("/usage")

    assert asked["Location"] == "/sign-in/code?next=%2Fusage"
    assert trusting.get(asked["Location"]).status_code == 200, "it asks, rather than lead back"
    IdentityProvider.objects.update(required=False)
    assert trusting.get("/usage").status_code == 200, "the control: the browser is trusted"


def test_another_secret_has_to_be_tried_before_it_is_required(
    idp: Provider, row: IdentityProvider, owner: User
) -> None:
    connected(row, owner)
    client = browser_of(owner)
    client.post("/single-sign-on/require", {"required": "yes"})
    row.refresh_from_db()
    assert row.required
    new = {**NEW, "client_secret": "not what the provider knows", "issuer": idp.issuer}
    client.post("/single-sign-on", new)

    row.refresh_from_db()
    assert not row.required
    client.post("/single-sign-on/require", {"required": "yes"})
    row.refresh_from_db()
    assert not row.required
    assert "did not take what was asked" in page(come(idp, row)[1])
    client.post("/single-sign-on", {**new, "client_secret": CLIENT_SECRET})
    come(idp, row, client)
    client.post("/single-sign-on/require", {"required": "yes"})
    row.refresh_from_db()
    assert row.required


def test_only_owners_set_it_up(row: IdentityProvider, shop: Shop, acme: Customer) -> None:
    admin = shop.member(acme, "admin@acme.test", "admin")
    client = browser_of(admin)

    assert client.get("/single-sign-on").status_code == 403
    for path in ("/single-sign-on", "/single-sign-on/require", "/single-sign-on/remove"):
        assert client.post(path).status_code == 403
    assert IdentityProvider.objects.count() == 1
