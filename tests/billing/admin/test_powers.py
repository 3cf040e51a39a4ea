"""Who may give whom which powers, and that it is in the trail."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, AuditEvent, OutgoingMail, User
from accounts.services import api_keys, staff
from billing.models import Customer
from tests.builders import browser_of

NEW_PASSWORD = {"password1": "another-long-phrase-1", "password2": "another-long-phrase-1", "usable_password": "true"}


def page(person: User, name: str = "change") -> str:
    if name == "password":
        return reverse("admin:auth_user_password_change", args=[person.pk])
    return reverse(f"admin:accounts_user_{name}", args=[person.pk])


@pytest.fixture
def clerk(db: None) -> User:
    """Staff who look after people and groups, and are no superuser."""
    clerk = User.objects.create_user("clerk@ante.test", "correct horse battery", is_staff=True)
    names = [f"{what}_{model}" for what in ("view", "add", "change", "delete") for model in ("user", "group", "apikey")]
    names.remove("change_apikey")
    clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
    return clerk


@pytest.fixture
def desk(clerk: User) -> Client:
    return browser_of(clerk)


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user("somebody@acme.test", "correct horse battery")


def powers(person: User) -> tuple[object, ...]:
    person.refresh_from_db()
    return (person.is_staff, person.is_superuser, person.groups.count(), person.user_permissions.count())


def asking_for_everything(person: User, group: Group) -> dict[str, object]:
    permission = Permission.objects.get(codename="add_grant")
    return {
        "email": person.email,
        "name": "Changed",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [group.pk],
        "user_permissions": [permission.pk],
    }


def test_a_superusers_gift_of_groups_and_permissions_is_in_the_trail(office: Client, person: User):
    group = Group.objects.create(name="Clerks")

    assert office.post(page(person), asking_for_everything(person, group)).status_code == 302

    assert powers(person) == (True, True, 1, 1)
    line = AuditEvent.objects.get(action="user.permissions_changed")
    assert line.object_id == str(person.pk)
    assert line.actor_label == "finance@ante.test"
    assert line.before == {"groups": [], "user_permissions": []}
    assert line.after is not None
    assert line.after["groups"] == ["Clerks"]
    assert "Can add grant" in line.after["user_permissions"][0]
    office.post(page(person), asking_for_everything(person, group))
    assert AuditEvent.objects.filter(action="user.permissions_changed").count() == 1


def test_what_a_groups_members_may_do_is_in_the_trail(office: Client):
    group = Group.objects.create(name="Clerks")
    permission = Permission.objects.get(codename="add_grant")
    url = reverse("admin:auth_group_change", args=[group.pk])

    assert office.post(url, {"name": "Clerks", "permissions": [permission.pk]}).status_code == 302

    line = AuditEvent.objects.get(action="group.permissions_changed")
    assert line.before == {"permissions": []}
    assert line.after == {"permissions": [str(permission)]}


def test_anothers_password_set_is_in_the_trail(office: Client, person: User):
    assert office.post(page(person, "password"), NEW_PASSWORD | {"password2": "different"}).status_code == 200
    assert not AuditEvent.objects.filter(action="user.password_set").exists()

    assert office.post(page(person, "password"), NEW_PASSWORD).status_code == 302

    person.refresh_from_db()
    assert person.check_password("another-long-phrase-1")
    line = AuditEvent.objects.get(action="user.password_set")
    assert (line.object_id, line.actor_label) == (str(person.pk), "finance@ante.test")
    assert "another-long" not in str(line.after)
    assert [letter.recipient for letter in OutgoingMail.objects.all()] == [person.email]


def test_nobody_is_deleted(office: Client, person: User):
    assert office.post(page(person, "delete"), {"post": "yes"}).status_code == 403
    office.post(
        reverse("admin:accounts_user_changelist"),
        {"action": "delete_selected", "_selected_action": [str(person.pk)], "post": "yes", "index": "0"},
    )
    assert User.objects.filter(pk=person.pk).exists()


def test_access_is_given_and_taken_with_a_factor_given_just_now(office: Client, person: User):
    key, secret = api_keys.issue(name="gateway", scopes=["events:read"])
    keys = reverse("admin:accounts_apikey_change", args=[key.pk])
    session = office.session
    session["second_factor_at"] -= 3600
    session.save()

    for path in (
        *(page(person), page(person, "password"), reverse("admin:accounts_user_add")),
        *(page(person).replace("change/", "reset-factor/"), keys.replace("change/", "renew/")),
        *(keys.replace("change/", "allow-from/"), keys.replace("change/", "revoke/")),
    ):
        answer = office.post(path, NEW_PASSWORD | {"email": "other@acme.test", "hours": "2"})
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("portal:second-factor"))

    person.refresh_from_db()
    assert person.email == "somebody@acme.test"
    assert person.check_password("correct horse battery")
    assert User.objects.filter(email="other@acme.test").count() == 0
    assert ApiKey.objects.count() == 1
    assert api_keys.authenticate(secret) is not None
    auditor = User.objects.create_user("auditor@ante.test")
    staff.join(auditor, staff.AUDITOR)
    looking = browser_of(auditor)
    session = looking.session
    session["second_factor_at"] -= 3600
    session.save()
    assert looking.get(page(person)).status_code == 200


@pytest.mark.parametrize("scopes", [["*"], ["events:write", "grants:write"]])
def test_no_page_shows_the_secret_of_a_key_that_does_what_takes_two_people(office: Client, scopes: list[str]):
    key, _ = api_keys.issue(name="gateway", scopes=scopes)
    renew = reverse("admin:accounts_apikey_change", args=[key.pk]).replace("change/", "renew/")

    assert "renew_api_key" in office.post(renew, {"hours": "2"}, follow=True).content.decode()

    assert ApiKey.objects.count() == 1


def test_customers_renew_their_keys_themselves(office: Client, acme: Customer):
    key, _ = api_keys.issue(name="their own", scopes=["events:write"], organization=acme.organization)
    renew = reverse("admin:accounts_apikey_change", args=[key.pk]).replace("change/", "renew/")

    assert "in the portal" in office.post(renew, {"hours": "2"}, follow=True).content.decode()

    assert not ApiKey.objects.filter(renews=key).exists()


def test_staff_who_are_no_superuser_give_no_powers(desk: Client, person: User, clerk: User):
    group = Group.objects.create(name="Clerks")

    assert desk.post(page(person), asking_for_everything(person, group)).status_code == 302

    assert powers(person) == (False, False, 0, 0)
    assert person.name == "Changed"
    held = powers(clerk)
    assert desk.post(page(clerk), asking_for_everything(clerk, group)).status_code == 403
    assert powers(clerk) == held


def test_staff_who_are_no_superuser_take_over_nobody_with_powers(desk: Client, finance: User, clerk: User):
    for somebody in (finance, clerk):
        before = somebody.password
        assert desk.post(page(somebody, "password"), NEW_PASSWORD).status_code == 403
        assert desk.post(page(somebody), {"email": "mine@ante.test"}).status_code == 403
        assert desk.post(page(somebody, "delete"), {"post": "yes"}).status_code == 403
        desk.post(
            reverse("admin:accounts_user_changelist"),
            {"action": "delete_selected", "_selected_action": [str(somebody.pk)], "post": "yes", "index": "0"},
        )
        somebody.refresh_from_db()
        assert somebody.password == before


def test_staff_who_are_no_superuser_give_a_group_no_permissions(desk: Client):
    group = Group.objects.create(name="Clerks")
    permission = Permission.objects.get(codename="add_grant")

    desk.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "F", "permissions": [permission.pk]})
    desk.post(reverse("admin:auth_group_add"), {"name": "New", "permissions": [permission.pk]})

    made = Group.objects.exclude(name__in=staff.GROUPS)
    assert set(made.values_list("name", "permissions")) == {("F", None), ("New", None)}


def test_a_key_is_revoked_after_being_asked_once_more(office: Client, acme: Customer):
    key, secret = api_keys.issue(name="gateway", scopes=["*"])
    url = reverse("admin:accounts_apikey_change", args=[key.pk])
    revoke = url.replace("change/", "revoke/")
    assert "Revoke" in office.get(url).content.decode()

    assert "Revoke it" in office.get(revoke).content.decode()
    assert ApiKey.objects.get(pk=key.pk).revoked_at is None
    done = office.post(revoke, follow=True).content.decode()

    assert "is revoked" in done
    assert "Revoked" in done
    assert api_keys.authenticate(secret) is None
    line = AuditEvent.objects.get(action="api_key.revoked")
    assert (line.object_id, line.actor_label) == (str(key.pk), "finance@ante.test")
    assert "Revoke it" not in office.get(revoke).content.decode()


def test_a_paused_key_says_so_and_why_and_is_resumed(office: Client):
    key, secret = api_keys.issue(name="gateway", scopes=["*"])
    url = reverse("admin:accounts_apikey_change", args=[key.pk])
    resume = url.replace("change/", "resume/")
    assert (resume in office.get(url).content.decode(), office.get(resume).status_code) == (False, 302)
    api_keys.pause([key.pk], reason="The budget Night is used up.")
    listed = office.get(reverse("admin:accounts_apikey_changelist")).content.decode()
    shown = office.get(url).content.decode()
    assert ("Paused" in listed, "Active" in listed) == (True, False)
    assert ("The budget Night is used up." in shown, resume in shown) == (True, True)
    assert url.replace("change/", "renew/") not in shown

    assert "The budget Night is used up." in office.get(resume).content.decode()
    assert ApiKey.objects.get().paused_at is not None
    assert "Resume: done." in office.post(resume, follow=True).content.decode()

    principal = api_keys.authenticate(secret)
    assert principal is not None
    assert principal.paused == ""
    line = AuditEvent.objects.get(action="api_key.resumed")
    assert (line.object_id, line.actor_label) == (str(key.pk), "finance@ante.test")


def test_a_key_is_revoked_only_by_those_who_may(desk: Client):
    key, secret = api_keys.issue(name="gateway", scopes=["*"])
    revoke = reverse("admin:accounts_apikey_change", args=[key.pk]).replace("change/", "revoke/")

    assert desk.post(revoke).status_code == 403

    assert api_keys.authenticate(secret) is not None
