"""Privacy in the portal and the back office, and consent to the terms."""

import io
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts import second_factor
from accounts.models import AuditEvent, Consent, Membership, User
from accounts.services import audit, staff, team
from billing.models import Approval, Customer
from billing.services import four_eyes, subscriptions
from tests.builders import Shop, browser_of

SignedIn = Callable[[User], Client]


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="10", plan=None)


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> Client:
    return browser_of(shop.member(acme))


def names(response: Any) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content))).namelist())


def stale(client: Client) -> Client:
    session = client.session
    session["second_factor_at"] -= second_factor.FRESH_SECONDS + 1
    session.save()
    return client


def test_data_is_taken_along(owner: Client) -> None:
    assert "person.json" in names(owner.get("/privacy/my-data.zip"))
    assert {"organization.json", "ledger.jsonl", "audit.jsonl"} <= names(owner.get("/privacy/organization-data.zip"))
    assert set(AuditEvent.objects.filter(action__endswith=".exported").values_list("action", flat=True)) == {
        "user.exported",
        "customer.exported",
    }


def test_without_a_fresh_second_factor_nothing_is_taken_or_erased(owner: Client, acme: Customer) -> None:
    stale(owner)
    for path in ("/privacy/my-data.zip", "/privacy/organization-data.zip"):
        assert owner.get(path)["Location"].startswith("/sign-in/code")
    for path, prefix in (("/privacy/erase", "person"), ("/privacy/organization/erase", "organization")):
        assert owner.post(path, {f"{prefix}-typed": "Acme"}).status_code == 302
    acme.refresh_from_db()
    assert acme.erased_at is None


@pytest.mark.parametrize("role", ["admin", "developer", "billing", "viewer"])
def test_only_owners_take_or_erase_the_organization(shop: Shop, acme: Customer, role: str) -> None:
    shop.member(acme)
    client = browser_of(shop.member(acme, "me@acme.test", role))

    shown = client.get("/privacy").content.decode()

    assert "Erase your account" in shown
    assert "Download all of it" not in shown
    assert client.get("/privacy/organization-data.zip").status_code == 403
    assert client.post("/privacy/organization/erase", {"organization-typed": "Acme"}).status_code == 403


def test_an_organization_is_erased_when_its_name_is_typed(owner: Client, acme: Customer) -> None:
    wrong = owner.post("/privacy/organization/erase", {"organization-typed": "acme"})
    assert wrong.status_code == 400
    assert "Type Acme, exactly so." in wrong.content.decode()

    done = owner.post("/privacy/organization/erase", {"organization-typed": "Acme"})

    assert "is erased" in done.content.decode()
    acme.refresh_from_db()
    assert acme.erased_at is not None
    assert owner.get("/")["Location"].startswith("/sign-in")


def test_what_stands_in_the_way_is_shown_in_place_of_the_button(shop: Shop, owner: Client, acme: Customer) -> None:
    subscriptions.start(actor=audit.SYSTEM, customer=acme, plan=shop.plan().plan)

    shown = owner.get("/privacy").content.decode()

    assert "A plan still runs" in shown
    assert "Erase the organization" not in shown
    assert "no other owner" in shown
    refused = owner.post("/privacy/organization/erase", {"organization-typed": "Acme"})
    assert refused.status_code == 400


def test_a_person_erases_themselves(shop: Shop, acme: Customer, owner: Client) -> None:
    client = browser_of(shop.member(acme, "me@acme.test", "viewer"))

    assert client.post("/privacy/erase", {"person-typed": "me@acme.test"}).status_code == 200

    assert not User.objects.filter(email="me@acme.test").exists()
    assert client.get("/")["Location"].startswith("/sign-in")


def test_nobody_is_asked_for_consent_where_no_version_is_set(owner: Client) -> None:
    assert owner.get("/").status_code == 200
    assert owner.get("/terms").status_code == 404


def test_consent_is_asked_for_once_and_again_with_another_version(owner: Client, settings: Any) -> None:
    settings.TERMS_VERSION, settings.TERMS_URL = "2026-11", "https://acme.test/terms"

    asked = owner.get("/usage?period=7d")

    assert asked["Location"] == "/terms?next=%2Fusage%3Fperiod%3D7d"
    assert "https://acme.test/terms" in owner.get(asked["Location"]).content.decode()
    assert owner.post(asked["Location"], {"version": "2026-11"}).status_code == 400
    assert owner.post("/terms", {"version": "2026-10", "agree": "yes"}).status_code == 400
    assert owner.get("/usage").status_code == 302
    agreed = owner.post(asked["Location"], {"version": "2026-11", "agree": "yes"})
    assert agreed["Location"] == "/usage?period=7d"
    assert owner.get("/usage").status_code == 200
    consent = Consent.objects.get()
    assert (consent.version, consent.url, consent.ip_address) == ("2026-11", "https://acme.test/terms", "127.0.0.1")
    settings.TERMS_VERSION = "2027-01"
    assert owner.get("/usage").status_code == 302
    assert owner.get("/security").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test", "/\\evil.test", "abc"])
def test_consent_leads_nowhere_else(owner: Client, settings: Any, target: str) -> None:
    settings.TERMS_VERSION = "1"
    agreed = owner.post(f"/terms?next={target}", {"version": "1", "agree": "yes"})

    assert agreed["Location"] == "/"


def test_the_back_office_asks_for_a_second_person(shop: Shop, acme: Customer) -> None:
    staff.make_groups()
    maker = User.objects.create_user("admin@ante.test")
    staff.join(maker, staff.ADMINISTRATOR)
    client = browser_of(maker)
    page = f"/admin/billing/customer/{acme.pk}"

    assert "organization.json" in names(client.get(f"{page}/export-data/"))
    assert client.post(f"{page}/erase/", {"reason": "They asked"}).status_code == 302

    asked = Approval.objects.get(kind="erasure")
    assert (asked.customer_id, asked.state) == (acme.pk, "waiting")
    shown = client.get(f"/admin/billing/approval/{asked.pk}/change/")
    assert "Erasure of personal data" in shown.content.decode()
    acme.refresh_from_db()
    assert acme.erased_at is None


@pytest.mark.parametrize(
    "how", ["an owner whom staff put in", "one whom that owner invited", "an owner with a new password"]
)
def test_one_of_the_staff_erases_nobody_by_acting_as_an_owner(
    shop: Shop, acme: Customer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, puppet, real = (User.objects.create_user(f"{name}@x.test") for name in ("root", "puppet", "real"))
    staff.join(admin, staff.ADMINISTRATOR)
    Membership.objects.create(user=real, organization=acme.organization, role="owner")
    office, owner = browser_of(admin), real
    if how == "an owner with a new password":
        word = {"password1": "a-quite-long-phrase-1", "password2": "a-quite-long-phrase-1", "usable_password": "true"}
        assert office.post(f"/admin/accounts/user/{real.pk}/password/", word).status_code == 302
    else:
        owner = puppet
        sent = {"user": str(puppet.pk), "organization": str(acme.organization_id), "role": "owner"}
        assert office.post("/admin/accounts/membership/add/", sent).status_code == 302
    if how == "one whom that owner invited":
        owner = User.objects.create_user("second@x.test")
        Membership.objects.create(user=owner, organization=acme.organization, role="owner")
        put_in = Membership.objects.get(user=puppet)
        team.remove(put_in, by=put_in, actor=audit.Actor.of_user(puppet, ip_address=None, request_id=""))
    owner.refresh_from_db()

    refused = browser_of(owner).post("/privacy/organization/erase", {"organization-typed": "Acme"})

    assert "within seven days" in refused.content.decode()
    acme.refresh_from_db()
    assert acme.erased_at is None
    monkeypatch.setattr(four_eyes, "HANDS_OFF", timedelta(0))
    browser_of(owner).post("/privacy/organization/erase", {"organization-typed": "Acme"})
    acme.refresh_from_db()
    assert acme.erased_at is not None
