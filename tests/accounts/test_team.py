"""Roles, invitations, and the owner who stays."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.utils import timezone

from accounts import roles
from accounts.models import AuditEvent, Invitation, Membership, Organization, OutgoingMail, Role, User
from accounts.services import api_keys, privacy, team
from accounts.services.audit import SYSTEM

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def acme(request: pytest.FixtureRequest) -> Organization:
    request.getfixturevalue("committed_db" if "committed_db" in request.fixturenames else "db")
    return Organization.objects.create(name="Acme")


def member(acme: Organization, role: str, email: str = "") -> Membership:
    user = User.objects.create_user(email or f"{role}{Membership.objects.count()}@acme.test")
    return Membership.objects.create(organization=acme, user=user, role=role)


def test_the_table_of_roles() -> None:
    assert set(api_keys.CUSTOMER_SCOPES) <= set(roles.SCOPES)
    assert roles.scopes_of(Role.OWNER) == set(roles.SCOPES)
    assert roles.scopes_of(Role.ADMIN) == set(roles.SCOPES) - {"owners:write", "privacy:write", "sign_on:write"}
    assert {scope for scope in roles.scopes_of(Role.VIEWER) if not scope.endswith(":read")} == set()
    assert not roles.may(Role.DEVELOPER, "wallet:fund")
    assert not roles.may(Role.BILLING, "keys:write")
    assert roles.may(Role.BILLING, "wallet:fund")
    with pytest.raises(KeyError):
        roles.may(Role.OWNER, "no:such")


def test_an_invitation_is_good_once_and_for_its_address(acme: Organization) -> None:
    owner = member(acme, "owner")
    invitation, token = team.invite(organization=acme, email=" New@Acme.test", role="developer", by=owner, actor=SYSTEM)
    assert team.find("x" * 43) is None
    found = team.find(token)
    assert found is not None
    assert f"/invitations/{token}" in OutgoingMail.objects.get().text
    with pytest.raises(team.Refused, match=r"is for new@acme\.test"):
        team.accept(found, User.objects.create_user("other@acme.test"), actor=SYSTEM)

    joined = team.accept(found, User.objects.create_user("new@acme.test"), actor=SYSTEM)

    assert joined.role == "developer"
    assert team.find(token) is None
    with pytest.raises(team.Refused, match="used, withdrawn or has lapsed"):
        team.accept(invitation, joined.user, actor=SYSTEM)


def test_one_that_was_withdrawn_replaced_or_has_lapsed_opens_nothing(acme: Organization) -> None:
    owner = member(acme, "owner")

    def invite(email: str) -> tuple[Invitation, str]:
        return team.invite(organization=acme, email=email, role="viewer", by=owner, actor=SYSTEM)

    withdrawn, first = invite("a@acme.test")
    assert team.withdraw(withdrawn, actor=SYSTEM)
    assert not team.withdraw(withdrawn, actor=SYSTEM)
    _, replaced = invite("b@acme.test")
    invite("b@acme.test")
    lapsed, third = invite("c@acme.test")
    Invitation.objects.filter(pk=lapsed.pk).update(expires_at=timezone.now())

    assert [team.find(token) for token in (first, replaced, third)] == [None] * 3


def test_letters_are_counted_and_names_in_them_are_no_links(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = member(acme, "owner")
    acme.name = "Win now https://evil.test\nBcc: all"

    def invite(email: str) -> Invitation:
        return team.invite(organization=acme, email=email, role="viewer", by=owner, actor=SYSTEM)[0]

    invite("a@acme.test")
    letter = OutgoingMail.objects.get()
    assert "\n" not in letter.subject
    assert "evil.test" not in letter.subject + letter.text

    monkeypatch.setattr(team, "OPEN_MAX", 2)
    second = invite("b@acme.test")
    with pytest.raises(team.Refused, match="2 invitations are open"):
        invite("c@acme.test")
    invite("b@acme.test")  # In place of the one before.
    team.withdraw(second, actor=SYSTEM)
    monkeypatch.setattr(team, "OPEN_MAX", 50)
    monkeypatch.setattr(team, "SENT_A_DAY_MAX", 3)
    with pytest.raises(team.Refused, match="within a day"):
        invite("c@acme.test")
    assert OutgoingMail.objects.count() == 3


def test_tokens_and_letters_are_nowhere_in_clear(acme: Organization) -> None:
    from django.db import connection

    _, token = team.invite(
        organization=acme, email="a@acme.test", role="viewer", by=member(acme, "owner"), actor=SYSTEM
    )
    with connection.cursor() as cursor:
        for table in ("invitation", "outgoingmail", "auditevent"):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM accounts_{table} t")
            assert token not in cursor.fetchone()[0]


def test_the_last_owner_stays(acme: Organization) -> None:
    owner = member(acme, "owner")
    for change in (
        lambda: team.remove(owner, by=owner, actor=SYSTEM),
        lambda: team.change_role(owner, "viewer", by=owner, actor=SYSTEM),
    ):
        with pytest.raises(team.Refused, match="last owner"):
            change()
    second = member(acme, "owner")
    team.remove(owner, by=second, actor=SYSTEM)
    assert list(acme.memberships.values_list("pk", flat=True)) == [second.pk]


def test_only_owners_make_and_unmake_owners(acme: Organization) -> None:
    owner, admin, viewer = member(acme, "owner"), member(acme, "admin"), member(acme, "viewer")
    member(acme, "owner")
    for change in (
        lambda: team.change_role(viewer, "owner", by=admin, actor=SYSTEM),
        lambda: team.change_role(owner, "viewer", by=admin, actor=SYSTEM),
        lambda: team.remove(owner, by=admin, actor=SYSTEM),
        lambda: team.invite(organization=acme, email="x@acme.test", role="owner", by=admin, actor=SYSTEM),
    ):
        with pytest.raises(team.Refused, match="Only an owner"):
            change()
    with pytest.raises(team.Refused, match="no such role"):
        team.change_role(viewer, "emperor", by=owner, actor=SYSTEM)


def test_an_invitation_lasts_no_longer_than_the_power_to_send_it(acme: Organization) -> None:
    owner, second, admin = member(acme, "owner"), member(acme, "owner"), member(acme, "admin")

    def invite(role: str, by: Membership) -> tuple[Invitation, User, str]:
        email = f"new{Invitation.objects.count()}@acme.test"
        invitation, token = team.invite(organization=acme, email=email, role=role, by=by, actor=SYSTEM)
        return invitation, User.objects.create_user(email), token

    def withdrawn() -> list[str]:
        lines = AuditEvent.objects.filter(action="invitation.withdrawn").order_by("id")
        return list(lines.values_list("object_id", flat=True))

    others, to_own = invite("viewer", owner), invite("owner", second)
    still, of_admin = invite("admin", second), invite("admin", admin)

    team.change_role(second, "admin", by=owner, actor=SYSTEM)
    assert withdrawn() == [str(to_own[0].pk)]
    team.change_role(second, "developer", by=owner, actor=SYSTEM)
    assert withdrawn() == [str(each[0].pk) for each in (to_own, still)]
    team.remove(admin, by=owner, actor=SYSTEM)
    assert withdrawn() == [str(each[0].pk) for each in (to_own, still, of_admin)]

    for invitation, invited, token in (to_own, still, of_admin):
        assert team.find(token) is None
        with pytest.raises(team.Refused, match="used, withdrawn or has lapsed"):
            team.accept(invitation, invited, actor=SYSTEM)
    assert team.accept(others[0], others[1], actor=SYSTEM).role == "viewer"


def test_another_role_ends_the_sessions_and_is_in_the_trail(acme: Organization) -> None:
    owner, viewer = member(acme, "owner"), member(acme, "viewer", "v@acme.test")
    before = viewer.user.get_session_auth_hash()

    team.change_role(viewer, "billing", by=owner, actor=SYSTEM)

    assert User.objects.get(pk=viewer.user_id).get_session_auth_hash() != before
    line = AuditEvent.objects.get(action="membership.changed")
    assert (line.before, line.after) == (
        {"user": "v@acme.test", "role": "viewer"},
        {"user": "v@acme.test", "role": "billing"},
    )
    assert line.organization_id == acme.pk


def test_of_two_owners_who_remove_each_other_one_stays(committed_db: None, acme: Organization) -> None:
    one, two = member(acme, "owner"), member(acme, "owner")
    together = threading.Barrier(2)

    def remove(pair: tuple[Membership, Membership]) -> str:
        together.wait(30)
        try:
            team.remove(pair[0], by=pair[1], actor=SYSTEM)
        except (team.Refused, Membership.DoesNotExist) as refusal:
            return str(refusal)
        finally:
            connections.close_all()
        return "removed"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(remove, [(one, two), (two, one)]))

    assert outcomes.count("removed") == 1
    assert Membership.objects.filter(organization=acme, role="owner").count() == 1


def test_who_was_removed_or_demoted_meanwhile_invites_and_changes_nobody(acme: Organization) -> None:
    owner, viewer = member(acme, "owner"), member(acme, "viewer")
    removed, demoted = member(acme, "admin"), member(acme, "admin")
    team.remove(Membership.objects.get(pk=removed.pk), by=owner, actor=SYSTEM)
    team.change_role(Membership.objects.get(pk=demoted.pk), "viewer", by=owner, actor=SYSTEM)

    for by in (removed, demoted):  # As their requests found them.
        for change in (
            lambda by=by: team.invite(organization=acme, email="x@acme.test", role="viewer", by=by, actor=SYSTEM),
            lambda by=by: team.change_role(viewer, "admin", by=by, actor=SYSTEM),
            lambda by=by: team.remove(viewer, by=by, actor=SYSTEM),
        ):
            with pytest.raises(team.Refused, match="changed meanwhile"):
                change()
    with pytest.raises(team.Refused, match="changed meanwhile"):
        team.change_role(removed, "viewer", by=owner, actor=SYSTEM)
    team.remove(demoted, by=demoted, actor=SYSTEM)

    assert set(acme.memberships.values_list("pk", flat=True)) == {owner.pk, viewer.pk}


@pytest.mark.parametrize("locked", [True, False], ids=["locked", "control"])
def test_of_who_is_removed_while_they_invite_no_invitation_is_left(
    committed_db: None, acme: Organization, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    owner, admin = member(acme, "owner"), member(acme, "admin")
    looked, gone = threading.Event(), threading.Event()
    look = team._check_may_give

    def slowly(by: Membership, role: str) -> None:
        look(by, role)
        looked.set()
        gone.wait(1 if locked else 30)  # Until the other has removed them, if anything lets it.

    def invite() -> None:
        team.invite(organization=acme, email="x@acme.test", role="viewer", by=admin, actor=SYSTEM)
        connections.close_all()

    def remove() -> None:
        looked.wait(30)
        team.remove(Membership.objects.get(pk=admin.pk), by=owner, actor=SYSTEM)
        gone.set()
        connections.close_all()

    monkeypatch.setattr(team, "_check_may_give", slowly)
    if not locked:
        monkeypatch.setattr(team, "lock", lambda *ids: None)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(invite), pool.submit(remove)]:
            done.result()

    assert Invitation.objects.filter(revoked_at=None).count() == (0 if locked else 1)
    assert not team.open_invitations().exists()


def test_an_invitation_ends_with_who_sent_it_however_they_went(acme: Organization) -> None:
    member(acme, "owner")
    ends: list[Callable[[Membership], object]] = [
        lambda admin: admin.delete(),
        lambda admin: admin.user.delete(),
        lambda admin: User.objects.filter(pk=admin.user_id).update(is_active=False),
        lambda admin: Membership.objects.filter(pk=admin.pk).update(role="developer"),
        lambda admin: privacy.erase_person(actor=SYSTEM, user=admin.user),
    ]
    for number, end in enumerate(ends):
        admin, invited = member(acme, "admin", f"by{number}@acme.test"), User.objects.create_user(f"{number}@new.test")
        invitation, token = team.invite(organization=acme, email=invited.email, role="viewer", by=admin, actor=SYSTEM)
        assert team.find(token) is not None

        end(admin)

        assert team.find(token) is None
        with pytest.raises(team.Refused, match="used, withdrawn or has lapsed"):
            team.accept(invitation, invited, actor=SYSTEM)

    owners, heir = member(acme, "owner"), User.objects.create_user("heir@new.test")
    invitation, token = team.invite(organization=acme, email=heir.email, role="owner", by=owners, actor=SYSTEM)
    Membership.objects.filter(pk=owners.pk).update(role="admin")
    assert team.find(token) is None
