"""The four groups of staff, what each may, and the pages that give and take access."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, AuditEvent, Authenticator, Identity, IdentityProvider, User
from accounts.services import api_keys, factors, staff
from billing.models import Customer
from tests.builders import browser_of

BOOKS = ["billing_customer", "billing_ledgerentry", "billing_grant", "accounts_auditevent"]


def desk(group: str) -> Client:
    person = User.objects.create_user(f"{group.lower()}@ante.test", "correct horse battery")
    staff.join(person, group)
    return browser_of(person)


@pytest.mark.parametrize("group", staff.GROUPS)
def test_every_group_sees_the_books(acme: Customer, group: str):
    client = desk(group)
    for page in BOOKS:
        assert client.get(reverse(f"admin:{page}_changelist")).status_code == 200


@pytest.mark.parametrize(
    ("group", "credit", "customer", "keys"),
    [
        ("Administrator", True, True, True),
        ("Finance", True, True, False),
        ("Support", False, True, False),
        ("Auditor", False, False, False),
    ],
)
def test_what_each_group_may_change(acme: Customer, group: str, credit: bool, customer: bool, keys: bool):
    client = desk(group)
    key, _ = api_keys.issue(name="gateway", scopes=["*"])
    change = reverse("admin:billing_customer_change", args=[acme.pk])
    asked: dict[str, tuple[Any, bool]] = {
        "credit": (client.get(change.replace("change/", "grant-credit/")), credit),
        "customer": (client.post(change, {"name": "Other"}), customer),
    }
    for action in ("renew", "resume", "allow-from", "revoke"):
        path = reverse("admin:accounts_apikey_change", args=[key.pk]).replace("change/", f"{action}/")
        asked[action] = (client.get(path), keys)
    for name, (response, may) in asked.items():
        assert (response.status_code != 403) == may, name


def test_a_groups_page_asks_for_no_permission_by_itself(db: None, django_assert_max_num_queries: Any):
    browser = desk(staff.AUDITOR)
    group = Group.objects.get(name=staff.ADMINISTRATOR)
    with django_assert_max_num_queries(20):
        browser.get(reverse("admin:auth_group_change", args=[group.pk]))


def test_a_migration_restores_the_groups(db: None):
    support = Group.objects.get(name=staff.SUPPORT)
    held = set(support.permissions.values_list("codename", flat=True))
    support.permissions.clear()

    staff.make_groups()

    assert set(support.permissions.values_list("codename", flat=True)) == held
    auditor = Group.objects.get(name=staff.AUDITOR)
    assert all(code.startswith("view_") for code in auditor.permissions.values_list("codename", flat=True))


def test_the_page_of_powers(office: Client):
    staff.join(User.objects.create_user("support@ante.test"), staff.SUPPORT)
    answer = office.get(reverse("admin:accounts_user_powers"))
    page = answer.content.decode()
    assert "support@ante.test" in page
    assert staff.DESCRIPTIONS[staff.AUDITOR] in page
    may = {(row.subject, row.deed): row.may for row in answer.context["rows"]}
    assert may["Customers", "Freeze"] == [True, False, True, False]
    assert may["Customers", "Note"] == [True, False, True, True]
    assert may["Customers", "Erase"] == [True, False, False, False]
    assert may["API keys", "Revoke"] == [True, False, False, False]
    assert not any(subject == "Ledger entries" for subject, _ in may)
    reads = {deed for (_, deed), (_, auditor, _, _) in may.items() if auditor}
    assert reads == {"Evidence (PDF)", "Evidence (JSON)"}


def test_an_administrator_resets_a_second_factor(office: Client):
    person = User.objects.create_user("lost@acme.test")
    factors.begin(person, confirmed=True)
    path = reverse("admin:accounts_user_change", args=[person.pk]).replace("change/", "reset-factor/")
    assert "Be sure that it is they" in office.get(path).content.decode()
    assert factors.enrolled(person)

    assert office.post(path).status_code == 302

    assert not Authenticator.objects.filter(user=person).exists()
    assert AuditEvent.objects.get(action="second_factor.reset").actor_label == "finance@ante.test"
    assert desk(staff.SUPPORT).post(path).status_code == 403


def test_other_powers_end_the_sessions(office: Client):
    person = User.objects.create_user("new@ante.test", "correct horse battery", is_staff=True)
    theirs = browser_of(person)
    assert theirs.get(reverse("admin:index")).status_code == 200
    url = reverse("admin:accounts_user_change", args=[person.pk])

    assert office.post(url, {"email": person.email, "name": "", "is_active": "on"}).status_code == 302

    assert theirs.get(reverse("admin:index")).status_code == 302
    assert "_auth_user_id" not in theirs.session


def test_an_operators_key_is_renewed_and_bound_to_addresses(office: Client):
    key, old = api_keys.issue(name="gateway", scopes=["customers:read"])
    url = reverse("admin:accounts_apikey_change", args=[key.pk])
    assert office.post(url.replace("change/", "allow-from/"), {"networks": "x"}).status_code == 200
    assert office.post(url.replace("change/", "allow-from/"), {"networks": "192.0.2.0/24"}).status_code == 302

    page = office.post(url.replace("change/", "renew/"), {"hours": "2"})

    secret = re.search(r"sk_live_[\w-]{43}", page.content.decode())
    assert secret is not None
    assert "no-store" in page["Cache-Control"]
    for one in (old, secret[0]):
        principal = api_keys.authenticate(one)
        assert principal is not None
        assert principal.admits("192.0.2.1", "")
        assert not principal.admits("198.51.100.1", "")
    assert "renewed before" in office.post(url.replace("change/", "renew/"), {"hours": "2"}).content.decode()
    assert ApiKey.objects.count() == 2


def test_administrators_take_a_customers_identity_provider_away(acme: Customer) -> None:
    provider = IdentityProvider.objects.get()
    page, listed = (
        reverse("admin:accounts_identityprovider_change", args=[provider.pk]),
        reverse("admin:accounts_identityprovider_changelist"),
    )
    remove = page.replace("/change/", "/remove/")
    support, administrator = desk(staff.SUPPORT), desk(staff.ADMINISTRATOR)
    for path in (page, listed):
        shown = support.get(path).content.decode()
        assert "https://login.acme.test" in shown
        assert "By it alone" in shown
        assert "kept" not in shown
    (row,) = support.get(listed, {"q": "login.acme", "required__exact": "1"}).context["cl"].result_list
    assert (row.people_count, row.used_at) == (1, Identity.objects.get().last_used_at)
    assert not support.get(listed, {"q": "globex"}).context["cl"].result_list
    assert support.post(remove).status_code == 403

    assert "is out with their next click" in administrator.get(remove).content.decode()
    assert IdentityProvider.objects.exists()
    assert administrator.post(remove)["Location"] == listed

    assert not IdentityProvider.objects.exists()
    assert not Identity.objects.exists()
    line = AuditEvent.objects.get(action="single_sign_on.removed")
    assert (line.actor_label, line.organization_id) == ("administrator@ante.test", acme.organization_id)
    assert administrator.post(remove).status_code == 404
