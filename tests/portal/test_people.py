"""Keys, team, trail and allowed addresses: who may, what it shows, what it asks for."""

import csv
import io
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as sent
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import roles, second_factor, steps
from accounts.models import (
    ApiKey,
    AuditEvent,
    IdentityProvider,
    Invitation,
    Membership,
    OutgoingMail,
    TrustedDevice,
    User,
)
from accounts.services import api_keys, audit, factors, mail, team
from accounts.services.audit import SYSTEM
from accounts.sessions import name_of
from billing.models import Customer
from billing.services.wallet import wallets
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests.builders import Shop, browser_of

PASSWORD = "correct horse battery"
NEW_KEY = {"name": "gateway", "scopes": ["events:write", "wallets:read"], "days": "90", "networks": ""}


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> User:
    return shop.member(acme)


def stale(client: Client) -> Client:
    session = client.session
    session["second_factor_at"] -= second_factor.FRESH_SECONDS + 1
    session.save()
    return client


def asking(shop: Shop, acme: Customer) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """What each page and action needs: scope → (method, path, body)."""
    key, _ = api_keys.issue(name="k", scopes=["wallets:read"], organization=acme.organization)
    other = shop.member(acme, "other@acme.test", "viewer").memberships.get()
    boss = shop.member(acme, "boss@acme.test", "owner").memberships.get()
    invited, _ = team.invite(organization=acme.organization, email="i@acme.test", role="viewer", by=boss, actor=SYSTEM)
    endpoint, _ = endpoints.create(actor=SYSTEM, may=anything, customer=acme, url="https://hooks.test/", events=["*"])
    return {
        "GET /keys": ("keys:read", "/keys", {}),
        "POST /keys/new": ("keys:write", "/keys/new", NEW_KEY | {"scopes": ["wallets:read"]}),
        "POST rotate": ("keys:write", f"/keys/{key.pk}/rotate", {}),
        "GET key networks": ("keys:write", f"/keys/{key.pk}/networks", {}),
        "POST key networks": ("keys:write", f"/keys/{key.pk}/networks", {"networks": ""}),
        "POST resume": ("limits:write", f"/keys/{key.pk}/resume", {}),
        "GET /webhooks": ("webhooks:read", "/webhooks", {}),
        "GET webhook": ("webhooks:read", f"/webhooks/{endpoint.pk}", {}),
        "POST /webhooks/new": ("webhooks:write", "/webhooks/new", {"url": "https://hooks.test/", "events": ["*"]}),
        "POST webhook rotate": ("webhooks:write", f"/webhooks/{endpoint.pk}/rotate", {}),
        "POST webhook test": ("webhooks:write", f"/webhooks/{endpoint.pk}/act", {"do": "test"}),
        "POST revoke": ("keys:write", f"/keys/{key.pk}/revoke", {}),
        "GET /team": ("team:read", "/team", {}),
        "POST /team/invite": ("team:write", "/team/invite", {"email": "n@acme.test", "role": "viewer"}),
        "POST withdraw": ("team:write", f"/team/invitations/{invited.pk}/withdraw", {}),
        "POST role": ("team:write", f"/team/{other.pk}/role", {"role": "billing"}),
        "POST remove": ("team:write", f"/team/{other.pk}/remove", {}),
        "GET /trail": ("audit:read", "/trail", {}),
        "GET /trail.csv": ("audit:read", "/trail.csv", {}),
        "GET /networks": ("security:write", "/networks", {}),
        "POST /networks": ("security:write", "/networks", {"networks": ""}),
    }


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "billing", "viewer"])
def test_every_role_gets_what_the_table_says(shop: Shop, acme: Customer, role: str) -> None:
    client = browser_of(shop.member(acme, "me@acme.test", role))
    for name, (scope, path, body) in asking(shop, acme).items():
        response = client.get(path) if name.startswith("GET") else client.post(path, body)
        assert (response.status_code != 403) == roles.may(role, scope), name
        assert response.status_code < 404, name


def test_without_a_fresh_second_factor_nothing_is_changed(shop: Shop, acme: Customer, owner: User) -> None:
    wanted = {name: asked for name, asked in asking(shop, acme).items() if name.startswith("POST")}
    plain = Client()
    plain.force_login(shop.member(acme, "plain@acme.test", "owner"))
    before = AuditEvent.objects.count()
    for _, path, body in wanted.values():
        assert stale(browser_of(owner)).post(path, body)["Location"].startswith("/sign-in/code?next=")
        assert plain.post(path, body)["Location"].startswith("/security/authenticator?next=")
        refused = plain.post(path, body, headers={"accept": "application/json"})
        assert (refused.status_code, refused.json()["code"]) == (403, "two_factor_required")
    assert AuditEvent.objects.count() == before
    viewer = stale(browser_of(shop.member(acme, "viewer@acme.test", "viewer")))
    for name, (_, path, body) in wanted.items():
        assert viewer.post(path, body).status_code == 403, f"{name}: no code helps, so none is asked for"


def test_another_organizations_rows_are_not_there(shop: Shop, acme: Customer) -> None:
    paths = [path for name, (_, path, _) in asking(shop, acme).items() if "-" in path and name.startswith("POST")]
    client = browser_of(shop.member(shop.customer("umbrella"), "owner@umbrella.test"))
    assert len(paths) == 9
    for path in paths:
        assert client.post(path, {"role": "viewer"}).status_code == 404


def test_owners_and_administrators_hear_of_a_key_whoever_made_it(shop: Shop, acme: Customer, owner: User) -> None:
    """An owner whom the operator's staff put there makes themselves no key that nobody knows of."""
    puppet = shop.member(acme, "puppet@acme.test")
    for email, role in [("admin@acme.test", "admin"), ("dev@acme.test", "developer"), ("viewer@acme.test", "viewer")]:
        shop.member(acme, email, role, language="de")
    shop.member(acme, "gone@acme.test", is_active=False)
    shop.member(shop.customer("globex"), "owner@globex.test")
    told = {owner.email, puppet.email, "admin@acme.test"}

    page = browser_of(puppet).post("/keys/new", NEW_KEY | {"name": "see http://evil.test"}).content.decode()

    letters = {letter.recipient: letter for letter in OutgoingMail.objects.all()}
    assert letters.keys() == told
    secret = re.search(r"ck_live_[\w-]{43}", page)
    assert secret is not None
    for email, letter in letters.items():
        assert (letter.subject == "Ein neuer API-Schlüssel") == (email == "admin@acme.test")
        assert puppet.email in letter.text
        assert "/keys" in letter.text
        assert not {part for part in ("http://evil.test", secret[0]) if part in letter.text}
    browser_of(puppet).post(f"/keys/{ApiKey.objects.get().pk}/rotate")
    assert OutgoingMail.objects.count() == 2 * len(told)


def test_a_key_is_shown_once_and_works(shop: Shop, acme: Customer, owner: User) -> None:
    client = browser_of(owner)

    page = client.post("/keys/new", NEW_KEY).content.decode()

    secret = re.search(r"ck_live_[\w-]{43}", page)
    assert secret is not None
    principal = api_keys.authenticate(secret[0])
    assert principal is not None
    assert principal.scopes == {"events:write", "wallets:read"}
    assert principal.organization_id == acme.organization_id
    assert secret[0] not in client.get("/keys").content.decode()
    key = ApiKey.objects.get()
    assert key.expires_at is not None
    assert key.expires_at > timezone.now() + timedelta(days=89)
    assert AuditEvent.objects.get(action="api_key.issued").actor_label == owner.email


def test_keys_say_which_mode_they_are_for(acme: Customer, owner: User, settings: Any) -> None:
    client = browser_of(owner)
    api_keys.issue(name="k", scopes=["wallets:read"], organization=acme.organization)
    settings.TEST_MODE = True

    assert re.search(r"ck_test_[\w-]{43}", client.post("/keys/new", NEW_KEY).content.decode())
    page = client.get("/keys").content.decode()
    live = ApiKey.objects.get(live=True)
    client.post(f"/keys/{live.pk}/rotate")

    assert (page.count(">Test<"), page.count(">Not accepted here<"), page.count('brand">Active<')) == (1, 1, 1)
    assert ">Test mode<" in page
    assert f"/keys/{live.pk}/rotate" not in page
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize(
    "bad",
    [{"name": ""}, {"scopes": []}, {"scopes": ["*"]}, {"scopes": ["grants:write"]}, {"days": "9"}, {"networks": "x"}],
)
def test_a_key_that_makes_no_sense_is_refused(owner: User, bad: dict[str, Any]) -> None:
    assert browser_of(owner).post("/keys/new", NEW_KEY | bad).status_code == 400
    assert not ApiKey.objects.exists()


def test_a_keys_addresses_are_changed_by_whoever_may_do_as_much(shop: Shop, acme: Customer) -> None:
    client = browser_of(shop.member(acme, "dev@acme.test", "developer"))
    issued = [
        api_keys.issue(name="k", scopes=[scope], organization=acme.organization)
        for scope in ("events:write", "limits:write")
    ]
    (key, secret), (beyond, _) = issued
    path = f"/keys/{key.pk}/networks"
    assert path in client.get("/keys").content.decode()
    refused = {"192.0.2.1/24": "no CIDR block", "192.0.2.0/24": "Your own address 127.0.0.1 is in none"}
    for typed, why in refused.items():
        response = client.post(path, {"networks": typed})
        assert (response.status_code, why in response.content.decode()) == (400, True)
    client.post(f"/keys/{beyond.pk}/networks", {"networks": "127.0.0.1"})
    assert not ApiKey.objects.exclude(allowed_networks=[]).exists()

    assert client.post(path, {"networks": "192.0.2.0/24\n", "sure": "on"})["Location"] == "/keys"

    principal = api_keys.authenticate(secret)
    assert principal is not None
    assert [principal.admits(peer, "") for peer in ("192.0.2.9", "127.0.0.1")] == [True, False]
    assert "192.0.2.0/24</textarea>" in client.get(path).content.decode()
    line = AuditEvent.objects.get(action="api_key.networks_changed")
    assert (line.object_id, line.actor_label) == (str(key.pk), "dev@acme.test")
    api_keys.revoke(key)
    assert client.post(path, {"networks": ""}).status_code == 404


def test_a_renewed_key_overlaps_with_the_old_one(acme: Customer, owner: User) -> None:
    old, old_secret = api_keys.issue(
        name="k", scopes=["wallets:read"], organization=acme.organization, allowed_networks=["192.0.2.0/24"]
    )
    client = browser_of(owner)

    page = client.post(f"/keys/{old.pk}/rotate").content.decode()

    secret = re.search(r"ck_live_[\w-]{43}", page)
    assert secret is not None
    assert api_keys.authenticate(secret[0]) is not None
    assert api_keys.authenticate(old_secret) is not None
    new = ApiKey.objects.get(renews=old)
    assert (new.scopes, new.allowed_networks) == (["wallets:read"], ["192.0.2.0/24"])
    old.refresh_from_db()
    assert old.expires_at is not None
    assert old.expires_at <= timezone.now() + timedelta(hours=24)
    assert client.post(f"/keys/{old.pk}/rotate").status_code == 302
    assert ApiKey.objects.count() == 2
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now())
    api_keys.forget()
    assert api_keys.authenticate(old_secret) is None


def test_who_is_invited_makes_an_account_and_is_in(shop: Shop, acme: Customer, owner: User) -> None:
    browser_of(owner).post("/team/invite", {"email": "new@acme.test", "role": "billing"})
    link = re.search(r"/invitations/\S+", OutgoingMail.objects.get(recipient="new@acme.test").text)
    assert link is not None
    client = Client()
    assert "Join Acme" in client.get(link[0]).content.decode()
    assert client.post(link[0], {"name": "New", "password": "short"}).status_code == 400

    done = client.post(link[0], {"name": "New Person", "password": "another-long-phrase-1"})

    assert done["Location"] == "/"
    assert client.get("/").status_code == 200
    assert Membership.objects.get(user__email="new@acme.test").role == "billing"
    assert Client().get(link[0]).status_code == 404


def test_the_only_owner_is_not_offered_what_would_be_refused(shop: Shop, acme: Customer, owner: User) -> None:
    offered = f'action="/team/{owner.memberships.get().pk}/remove"'
    client = browser_of(owner)
    assert offered not in client.get("/team").content.decode()
    shop.member(acme, "second@acme.test")
    assert offered in client.get("/team").content.decode()


@pytest.mark.parametrize("how", ["remove", "role"])
def test_keys_of_who_goes_are_spoken_of(shop: Shop, acme: Customer, owner: User, how: str) -> None:
    leaving = shop.member(acme, "dev@acme.test", "developer")
    member = leaving.memberships.get()
    for name in ("one", "two"):
        api_keys.issue(name=name, scopes=["wallets:read"], organization=acme.organization, created_by=leaving)
    api_keys.revoke(ApiKey.objects.get(name="two"))
    client = browser_of(owner)

    said = client.post(f"/team/{member.pk}/{how}", {"role": "admin"}, follow=True).content.decode()
    assert ("1 API key that they made goes on working" in said) == (how == "remove")
    if how == "role":
        said = client.post(f"/team/{member.pk}/{how}", {"role": "viewer"}, follow=True).content.decode()
        assert "1 API key that they made goes on working" in said


def test_an_invitation_does_not_take_over_an_account(shop: Shop, acme: Customer, owner: User) -> None:
    known = User.objects.create_user("known@acme.test", PASSWORD)
    _, token = team.invite(
        organization=acme.organization, email=known.email, role="viewer", by=owner.memberships.get(), actor=SYSTEM
    )
    path = f"/invitations/{token}"
    body = {"name": "Thief", "password": "another-long-phrase-1"}
    assert "Sign in to accept" in Client().get(path).content.decode()
    Client().post(path, body)
    other = Client()
    other.force_login(User.objects.create_user("other@acme.test"))
    assert "is for known@acme.test" in other.post(path, body).content.decode()
    factors.begin(known, confirmed=True)
    half = Client()
    half.force_login(known)
    assert half.post(path)["Location"].startswith("/sign-in/code")
    known.refresh_from_db()
    assert known.check_password(PASSWORD)
    assert not Membership.objects.filter(user=known).exists()
    assert Invitation.objects.get().accepted_at is None

    assert browser_of(known).post(path)["Location"] == "/"


def test_the_trail_shows_the_organizations_own_lines_and_exports_them(shop: Shop, acme: Customer, owner: User) -> None:
    client = browser_of(owner)
    client.post("/keys/new", NEW_KEY | {"name": "=HYPERLINK(1)"})
    umbrella = shop.customer("umbrella")
    api_keys.issue(name="theirs", scopes=["wallets:read"], organization=umbrella.organization)

    page = client.get("/trail").content.decode()
    assert "api_key.issued" in page
    assert "theirs" not in page
    assert "Nothing fits" in client.get("/trail?who=nobody&action=x&from=2020-01-01&to=2020-01-02").content.decode()
    assert client.get("/trail?before=nonsense&from=x&who=%00").status_code == 200
    exported = b"".join(client.get("/trail.csv?action=api_key.issued")).decode()
    assert exported.count("\r\n") == 2
    assert owner.email in exported


@pytest.mark.parametrize("first", ["newest", "oldest"])
def test_the_trail_is_exported_whole_with_its_requests(
    acme: Customer, owner: User, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = audit.Actor.of_key(acme.pk, "=1+1", ip_address=None, request_id="r-7")
    about = {"object_type": "customer", "organization_id": acme.organization_id, "action": "test.done"}
    made = [str(audit.record(actor=by, object_id=f"@{number}", **about).pk) for number in range(7)]
    monkeypatch.setattr(steps, "STEP", 3)

    exported = b"".join(browser_of(owner).get(f"/trail.csv?action=test.done&first={first}")).decode()

    rows = list(csv.DictReader(io.StringIO(exported, newline="")))
    assert [row["id"] for row in rows] == (made if first == "oldest" else made[::-1])
    assert {(row["request_id"], row["actor"], row["object_id"][:2]) for row in rows} == {("r-7", "'=1+1", "'@")}


def test_what_staff_write_down_for_themselves_stays_with_them(acme: Customer, owner: User) -> None:
    finance = User.objects.create_user("finance@ante.test", is_staff=True)
    by = audit.Actor.of_user(finance, ip_address="198.51.100.7", request_id="")
    wallets.freeze(actor=by, customer=acme, reason="Their bank called us")
    client = browser_of(owner)

    archive = client.get("/privacy/organization-data.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(archive))) as files:
        taken = files.read(next(name for name in files.namelist() if name.endswith("audit.jsonl"))).decode()
    for shown in (client.get("/trail").content.decode(), b"".join(client.get("/trail.csv")).decode(), taken):
        assert "wallet.frozen" in shown
        assert "finance@ante.test" in shown
        assert "Their bank called us" not in shown
        assert "198.51.100.7" not in shown


def test_what_the_operators_programs_write_down_stays_with_it(shop: Shop, acme: Customer, owner: User) -> None:
    def by(secret: str, address: str) -> audit.Actor:
        principal = api_keys.authenticate(secret)
        assert principal is not None
        return audit.Actor.of_key(principal.key_id, principal.label, ip_address=address, request_id="")

    ours, theirs = shop.key(), shop.key(organization=acme.organization)
    wallets.freeze(actor=by(ours, "198.51.100.7"), customer=acme, reason="Their bank called us")
    targets = {"object_type": "customer", "object_id": str(acme.pk), "organization_id": acme.organization_id}
    audit.record(actor=by(theirs, "203.0.113.9"), action="test.done", **targets, after={"reason": "As we like"})
    client = browser_of(owner)

    archive = client.get("/privacy/organization-data.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(archive))) as files:
        taken = files.read(next(name for name in files.namelist() if name.endswith("audit.jsonl"))).decode()
    for shown in (client.get("/trail").content.decode(), b"".join(client.get("/trail.csv")).decode(), taken):
        assert "wallet.frozen" in shown
        assert "Their bank called us" not in shown
        assert "198.51.100.7" not in shown
        assert "203.0.113.9" in shown
        assert "As we like" in shown


def test_it_stays_with_them_when_they_have_left(acme: Customer, owner: User) -> None:
    finance = User.objects.create_user("finance@ante.test", is_staff=True)
    by = audit.Actor.of_user(finance, ip_address="198.51.100.7", request_id="")
    wallets.freeze(actor=by, customer=acme, reason="Their bank called us")
    admin = browser_of(User.objects.create_superuser("admin@ante.test"))

    left = admin.post(f"/admin/accounts/user/{finance.pk}/change/", {"email": finance.email, "name": "Finance"})

    finance.refresh_from_db()
    assert (left.status_code, finance.is_staff) == (302, False)
    shown = browser_of(owner).get("/trail").content.decode()
    assert "wallet.frozen" in shown
    assert "Their bank called us" not in shown
    assert "198.51.100.7" not in shown


def test_an_allow_list_that_shuts_oneself_out_asks_twice(shop: Shop, acme: Customer, owner: User) -> None:
    client = browser_of(owner, REMOTE_ADDR="192.0.2.9")
    assert client.post("/networks", {"networks": "nonsense"}).status_code == 400

    asked = client.post("/networks", {"networks": "198.51.100.0/24"})

    assert asked.status_code == 400
    assert "Your own address 192.0.2.9" in asked.content.decode()
    assert client.post("/networks", {"networks": "192.0.2.0/24\n2001:db8::/32"}).status_code == 302
    acme.organization.refresh_from_db()
    assert acme.organization.allowed_networks == ["192.0.2.0/24", "2001:db8::/32"]
    assert client.get("/").status_code == 200
    for elsewhere in ("198.51.100.1", "2001:db9::1"):
        outside = browser_of(owner, REMOTE_ADDR=elsewhere)
        assert "Not from this address" in outside.get("/").content.decode()
        assert outside.get("/statement.csv").status_code == 403
        assert outside.get("/balance.json").status_code == 401
    assert browser_of(owner, REMOTE_ADDR="2001:db8::1").get("/").status_code == 200
    assert client.post("/networks", {"networks": "198.51.100.0/24", "sure": "on"}).status_code == 302
    assert client.get("/").status_code == 403


def test_staff_work_from_allowed_addresses_only(db: None, settings: Any) -> None:
    settings.STAFF_NETWORKS = ["192.0.2.0/24"]
    staff = User.objects.create_superuser("finance@ante.test", PASSWORD)
    assert browser_of(staff, REMOTE_ADDR="192.0.2.1").get("/admin/").status_code == 200
    assert browser_of(staff, REMOTE_ADDR="198.51.100.1").get("/admin/").status_code == 403


def sign_in(client: Client, user: User) -> Any:
    return client.post("/sign-in", {"username": user.email, "password": PASSWORD})


def trusting(owner: User) -> Client:
    factors.begin(owner, confirmed=True)
    codes = factors.new_recovery_codes(owner, actor=SYSTEM)
    client = Client()
    sign_in(client, owner)
    client.post("/sign-in/code", {"code": codes[0], "trust": "1"})
    client.post("/sign-out")
    sign_in(client, owner)
    return client


def test_a_trusted_browser_looks_without_a_code_but_changes_nothing(owner: User) -> None:
    client = trusting(owner)

    assert client.get("/").status_code == 200
    assert client.post("/keys/new", NEW_KEY)["Location"].startswith("/sign-in/code")
    assert not ApiKey.objects.exists()


def test_trust_ends_with_the_device_the_password_or_the_factor(shop: Shop, acme: Customer) -> None:
    for number, end in enumerate(("revoked", "password", "factor", "lapsed", "copied")):
        user = shop.member(acme, f"{number}@acme.test")
        client = trusting(user)
        assert client.get("/").status_code == 200
        other = shop.member(acme, f"other{number}@acme.test")
        if end == "revoked":
            browser_of(user).post(f"/security/devices/{TrustedDevice.objects.get(user=user).pk}/revoke")
        elif end == "password":
            user.set_password(PASSWORD)
            user.save()
        elif end == "factor":
            factors.end_sessions(user)
        elif end == "lapsed":
            TrustedDevice.objects.filter(user=user).update(expires_at=timezone.now())
        else:
            factors.begin(other, confirmed=True)
            user = other
        assert end == "copied" or client.get("/").status_code == 302
        client.post("/sign-out")
        sign_in(client, user)
        assert client.get("/")["Location"].startswith("/sign-in/code"), end


def test_staff_trust_no_browser(db: None) -> None:
    staff = User.objects.create_superuser("finance@ante.test", PASSWORD)
    client = trusting(staff)
    assert not TrustedDevice.objects.exists()
    assert client.get("/admin/")["Location"].startswith("/sign-in/code")


def test_sessions_are_listed_and_ended(owner: User, shop: Shop) -> None:
    mine, other = Client(headers={"user-agent": "Mozilla Firefox/1 Linux"}), Client()
    for client in (mine, other):
        sign_in(client, owner)
    page = mine.get("/security").content.decode()
    assert "Firefox on Linux" in page
    assert page.count("This one") == 1
    stranger = shop.member(shop.customer("umbrella"), "owner@umbrella.test")
    theirs = browser_of(stranger)
    assert mine.post("/security/sessions/end", {"session": name_of(theirs.session.session_key)}).status_code == 404

    mine.post("/security/sessions/end", {"session": name_of(other.session.session_key)})

    assert other.get("/").status_code == 302
    sign_in(other, owner)
    mine.post("/security/sessions/end")
    assert other.get("/").status_code == 302
    assert mine.get("/").status_code == 200
    assert theirs.get("/").status_code == 200


def test_a_new_browser_is_told_by_mail_and_a_known_one_is_not(owner: User) -> None:
    known = Client()
    sign_in(known, owner)
    known.post("/sign-out")
    sign_in(known, owner)
    assert not OutgoingMail.objects.exists()
    sign_in(Client(), owner)
    assert OutgoingMail.objects.get().subject == "Sign-in from a new browser"


def test_a_forgotten_password_is_set_by_a_link_once_and_opens_nothing_by_itself(owner: User) -> None:
    factors.begin(owner, confirmed=True)
    elsewhere = browser_of(owner)
    for email in (owner.email, "nobody@acme.test"):
        assert Client().post("/reset", {"email": email})["Location"] == "/reset/sent"
    link = re.search(r"/reset/\S+/\S+", OutgoingMail.objects.get(recipient=owner.email).text)
    assert link is not None
    client = Client()
    form = client.get(link[0])["Location"]
    new = {"new_password1": "another-long-phrase-1", "new_password2": "another-long-phrase-1"}

    assert client.post(form, new)["Location"] == "/sign-in"

    assert "_auth_user_id" not in client.session
    assert elsewhere.get("/").status_code == 302
    assert "This link opens nothing" in Client().get(link[0]).content.decode()
    client.post("/sign-in", {"username": owner.email, "password": "another-long-phrase-1"})
    assert client.get("/")["Location"].startswith("/sign-in/code")


@pytest.mark.parametrize(("page", "field"), [("/reset", "email"), ("/sign-in/company", "name")])
def test_an_unknown_address_takes_as_many_rows_as_a_known_one(owner: User, page: str, field: str) -> None:
    """Counted and not timed: the letter that nobody gets is written, and dropped by the worker."""
    IdentityProvider.objects.create(
        organization=owner.memberships.get().organization, short_name="acme", issuer="https://login.test"
    )
    asked = []
    for email in (owner.email, "nobody@acme.test"):
        with CaptureQueriesContext(connection) as queries:
            assert Client().post(page, {field: email}).status_code in {200, 302}
        asked.append([re.split(r" WHERE | VALUES ", query["sql"])[0] for query in queries])
    assert asked[0] == asked[1]
    assert sum("INSERT" in statement for statement in asked[1]) == 1

    assert mail.send_due() == 1
    assert not OutgoingMail.objects.exists()
    assert [letter.to for letter in sent.outbox] == [[owner.email]]


def test_ones_own_password_is_changed_with_the_old_one(owner: User) -> None:
    client, other = browser_of(owner), browser_of(owner)
    new = {"new_password1": "another-long-phrase-1", "new_password2": "another-long-phrase-1"}
    assert client.post("/security/password", new | {"old_password": "wrong"}).status_code == 400
    assert client.post("/security/password", new | {"old_password": PASSWORD})["Location"] == "/security"
    assert client.get("/").status_code == 200
    assert other.get("/").status_code == 302
