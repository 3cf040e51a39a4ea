"""Signing in at one's company: what opens by it, and what a hostile provider does not get."""

import base64
import html
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import jwt
import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts import oidc, outgoing
from accounts.models import AuditEvent, Authenticator, Identity, IdentityProvider, Membership, OutgoingMail, User
from accounts.services import attempts, devices, factors, single_sign_on, staff, team
from accounts.services.audit import SYSTEM
from billing.models import Customer
from portal.pages import company
from tests.builders import Shop, browser_of
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, key, provider

PASSWORD = "correct horse battery"
NOT_RIGHT = "What the provider answered is not right"
OVER = "was begun in another browser, or is over"
NEW = {"short_name": "acme", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@pytest.fixture(autouse=True)
def _settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.BASE_URL = "http://testserver"


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers of these tests are on this machine, where an organization's never is."""
    usual = outgoing._may_be_asked

    def may(address: Any, allowed: Any, *, plain: bool) -> bool:
        return address.is_loopback or usual(address, allowed, plain=plain)

    monkeypatch.setattr(outgoing, "_may_be_asked", may)
    check = outgoing.check
    monkeypatch.setattr(outgoing, "check", lambda url, *, allowed=(): check(url, allowed=allowed or ["192.0.2.0/32"]))


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="10")


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> User:
    return shop.member(acme)


@pytest.fixture
def viewer(shop: Shop, acme: Customer, row: IdentityProvider) -> User:
    return shop.member(acme, "viewer@acme.test", "viewer")


@pytest.fixture
def row(acme: Customer, idp: Provider, loopback: None) -> IdentityProvider:
    return single_sign_on.set_up(acme.organization, issuer=idp.issuer, actor=SYSTEM, **NEW)


Comes = Callable[..., Any]


def begin(client: Client, idp: Provider, name: str = "acme", after: str = "") -> dict[str, str]:
    """Go to the company and sign in there; what the browser brings back."""
    sent = client.post("/sign-in/company", {"name": name, "next": after})
    assert sent.status_code == 200, sent.content.decode()
    onward = re.search(r'href="([^"]+/authorize[^"]+)"', page(sent))
    assert onward is not None
    return idp.authorize(html.unescape(onward[1]))


def back(client: Client, row: IdentityProvider, brought: dict[str, str]) -> Any:
    return client.get(f"/sign-in/company/back/{row.organization_id}", brought)


def come(idp: Provider, row: IdentityProvider, client: Client | None = None, after: str = "") -> tuple[Client, Any]:
    """To the company and back."""
    client = client or Client()
    return client, back(client, row, begin(client, idp, after=after))


def connected(row: IdentityProvider, user: User, subject: str = "u-1") -> Identity:
    return single_sign_on.connect(single_sign_on.of_organization(row), user, subject, actor=SYSTEM)


def page(response: Any) -> str:
    return str(response.content.decode())


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
    letter = OutgoingMail.objects.get()
    assert letter.recipient == viewer.email
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


# --- Tokens that are not believed ------------------------------------------------------------------------------------


def signed(claims: dict[str, Any], by: str, kid: str | None = "signing") -> str:
    return jwt.encode(claims, key(by), "RS256", {"kid": kid} if kid else {})


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", {"kid": "signing"})


def with_the_public_key_as_secret(claims: dict[str, Any], secret: bytes) -> str:
    """As PyJWT would refuse to make it."""
    import hashlib
    import hmac

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "signing"}).encode())
    body = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{body}.{part(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


FALSE_CLAIMS: dict[str, dict[str, Any]] = {
    "another attempt's nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "for somebody else": {"aud": "another-client"},
    "for two, made for the other": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "for two, made for nobody": {"aud": [CLIENT_ID, "another"]},
    "made for another": {"azp": "another"},
    "no audience": {"aud": None},
    "of another issuer": {"iss": "https://accounts.example.com"},
    "of no issuer": {"iss": None},
    "expired": {"exp": 1_700_000_000},
    "for ever": {"exp": None},
    "of no time": {"iat": None},
    "of tomorrow": {"iat": int(time.time()) + 86_400},
    "about nobody": {"sub": None},
    "about the empty one": {"sub": ""},
    "about a number": {"sub": 7},
    "about too long a name": {"sub": "x" * 256},
    "about what no database takes": {"sub": "\ud800"},
    "about an end of text": {"sub": "u\x00"},
    "expiring when no clock gets": {"exp": float("inf")},
}


@pytest.mark.parametrize("claims", FALSE_CLAIMS.values(), ids=FALSE_CLAIMS)
def test_a_token_that_says_something_else_is_not_believed(
    idp: Provider, row: IdentityProvider, viewer: User, claims: dict[str, Any]
) -> None:
    connected(row, viewer)
    if claims.get("sub") == "":
        connected(row, viewer, "")
    idp.claims = claims

    client, response = come(idp, row)

    assert response.status_code == 400
    assert NOT_RIGHT in page(response)
    assert "_auth_user_id" not in client.session


def test_a_token_that_is_not_signed_by_the_provider_is_not_believed(
    idp: Provider, row: IdentityProvider, viewer: User
) -> None:
    connected(row, viewer)
    pem = idp.public_pem()
    forgeries = [
        unsigned,
        lambda claims: with_the_public_key_as_secret(claims, pem),
        lambda claims: with_the_public_key_as_secret(claims, CLIENT_SECRET.encode()),
        lambda claims: signed(claims, "attackers"),
        lambda claims: signed(claims, "other"),
        lambda claims: signed(claims, "signing", "unknown key"),
        lambda claims: signed(claims, "signing", None),
        lambda claims: jwt.encode(claims, key("signing"), "RS512", {"kid": "signing"}),
        lambda claims: signed(claims, "signing")[:-8] + "AAAAAAAA",
        lambda claims: signed(claims, "attackers").replace(".", "..", 1),
        lambda claims: "",
        lambda claims: {"not": "a token"},
    ]
    for number, forge in enumerate(forgeries):
        idp.forge = forge
        client, response = come(idp, row)
        assert response.status_code == 400, number
        assert NOT_RIGHT in page(response), number
        assert "_auth_user_id" not in client.session

    idp.forge = lambda claims: jwt.encode(claims, key("signing"), "PS256", {"kid": "signing"})
    assert come(idp, row)[1]["Location"] == "/", "the control: another signature that is believed"


# --- Whom the server asks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example.com",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://10.0.0.7:8443/realms/a",
        "https://[::1]",
        "https://name:secret@login.example.com",
        "ftp://login.example.com",
        "https://login.example.com/#a",
        "not an address",
    ],
)
def test_an_organizations_provider_is_on_the_public_internet(
    owner: User, issuer: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.STAFF_SSO_ALLOWED_NETWORKS = ["10.0.0.0/8", "127.0.0.0/8"]
    monkeypatch.setattr(outgoing.socket, "create_connection", lambda *_, **__: pytest.fail("It was asked."))

    response = browser_of(owner).post("/single-sign-on", {**NEW, "issuer": issuer})

    assert response.status_code == 400
    assert "could not be reached at its public address" in page(response)
    assert not IdentityProvider.objects.exists()


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_what_it_names_is_too(idp: Provider, loopback: None, owner: User, name: str) -> None:
    client = browser_of(owner)
    for url in ("http://169.254.169.254/latest", "javascript:alert(1)", None):
        idp.metadata = {name: url}
        response = client.post("/single-sign-on", {**NEW, "issuer": idp.issuer})
        assert response.status_code == 400
        assert "an address that is not public" in page(response)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://accounts.example.com"}, "calls itself https://accounts.example.com"),
        ({"issuer": None}, "calls itself None"),
        ({"issuer": "\ud800https://accounts.example.com"}, "calls itself https://accounts.example.com"),
        ({"padding": "x" * oidc.BYTES_MAX}, "could not be reached"),
    ],
    ids=["another issuer", "no issuer", "what no page takes", "too long"],
)
def test_a_provider_that_says_something_odd_is_not_taken(
    idp: Provider, loopback: None, owner: User, metadata: dict[str, Any], said: str
) -> None:
    idp.metadata = metadata

    response = browser_of(owner).post("/single-sign-on", {**NEW, "issuer": idp.issuer})

    assert response.status_code == 400
    assert said in page(response)


def test_few_wait_for_providers_and_fewer_for_one(row: IdentityProvider) -> None:
    clients = [oidc.Client("https://login.test", "a", "b", f"https://ante.test/{number}") for number in range(3)]
    with ExitStack() as waiting:
        for client in clients[:2] * 2:
            waiting.enter_context(oidc._waiting(client))
        for client in clients:
            with pytest.raises(oidc.Refused, match="Many people"), oidc._waiting(client):
                pass
        assert "Many people sign in just now." in page(Client().post("/sign-in/company", {"name": "acme"}))
    for client in clients:
        with oidc._waiting(client), oidc._waiting(client):
            pass
    assert not oidc._waits


def test_who_does_not_answer_is_left_alone_for_a_while(
    idp: Provider, row: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(oidc, "SECONDS_MAX", -1.0)
        assert "could not be reached" in page(Client().post("/sign-in/company", {"name": "acme"}))
    idp.asked.clear()
    assert "could not be reached" in page(Client().post("/sign-in/company", {"name": "acme"}))
    assert idp.asked == []

    single_sign_on.set_up(row.organization, issuer=idp.issuer, actor=SYSTEM, **NEW)

    assert Client().post("/sign-in/company", {"name": "acme"}).status_code == 200


@pytest.mark.parametrize("short_name", ["staff", "a", "Acme Inc", "acme/../x", "-acme"])
def test_a_short_name_that_is_none_or_taken_is_refused(
    idp: Provider, row: IdentityProvider, shop: Shop, short_name: str
) -> None:
    globex = shop.customer("globex").organization
    for name in (short_name, "acme"):
        with pytest.raises(oidc.Refused, match="short name"):
            single_sign_on.set_up(globex, issuer=idp.issuer, actor=SYSTEM, **{**NEW, "short_name": name})


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


# --- Staff -----------------------------------------------------------------------------------------------------------


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
