"""What staff change of an organization: its name, who acts for it, and from where."""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.backoffice import AuditedAdmin
from accounts.models import AuditEvent, Membership, Organization, User
from accounts.services import api_keys
from billing.models import Customer


def change(office: Client, organization: Organization, **fields: str) -> None:
    sent = {"name": organization.name, "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0", **fields}
    assert office.post(reverse("admin:accounts_organization_change", args=[organization.pk]), sent).status_code == 302
    organization.refresh_from_db()


def member(membership: Membership, **fields: str) -> dict[str, str]:
    sent = {
        "id": membership.pk,
        "organization": membership.organization_id,
        "user": membership.user_id,
        "role": membership.role,
        **fields,
    }
    counts = {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1"}
    return counts | {f"memberships-0-{name}": str(value) for name, value in sent.items()}


def test_what_a_form_of_people_and_access_takes_is_in_the_trail(office: Client) -> None:
    request: Any = RequestFactory().get("/")
    request.user = User.objects.get(is_superuser=True)
    pages = [page for page in admin.site._registry.values() if isinstance(page, AuditedAdmin)]
    assert len(pages) > 3
    for page in pages:
        taken = set(page.get_form(request, page.model(), change=True).base_fields) - {"password"}
        assert taken <= {*page.audited_fields, *page.audited_relations}, page


def test_allowed_addresses_are_read_told_and_hold_at_once(
    office: Client, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization: Organization = acme.organization
    page = reverse("admin:accounts_organization_allow_from", args=[organization.pk])
    forgotten: list[bool] = []
    monkeypatch.setattr(api_keys, "forget", lambda: forgotten.append(True))

    change(office, organization, allowed_networks="the office")
    assert organization.allowed_networks == []
    refused = office.post(page, {"networks": "192.0.2.0/24\nthe office"})
    assert "the office is no address and no CIDR block." in refused.content.decode()
    assert (forgotten, AuditEvent.objects.filter(action="organization.networks_changed").count()) == ([], 0)

    assert office.post(page, {"networks": "192.0.2.7, 2001:DB8::/32"}).status_code == 302

    organization.refresh_from_db()
    blocks = ["192.0.2.7/32", "2001:db8::/32"]
    assert (organization.allowed_networks, forgotten) == (blocks, [True])
    line = AuditEvent.objects.get(action="organization.networks_changed")
    assert (line.before, line.after) == ({"allowed_networks": []}, {"allowed_networks": blocks})
    assert (line.organization_id, line.actor_label) == (organization.pk, "finance@ante.test")
    assert "2001:db8::/32" in office.get(page).content.decode()
    change(office, organization, name="Acme Limited")
    assert (organization.name, organization.allowed_networks) == ("Acme Limited", blocks)


def test_a_place_that_is_given_to_another_person_and_one_that_ends(office: Client, acme: Customer) -> None:
    membership = Membership.objects.select_related("user").get()
    former, heir = membership.user, User.objects.create_user("heir@acme.test")

    change(office, acme.organization, **member(membership, user=str(heir.pk), role="viewer"))

    line = AuditEvent.objects.get(action="organization.membership_changed")
    assert line.before == {"user": former.email, "role": "owner"}
    assert line.after == {"user": heir.email, "role": "viewer"}
    assert User.objects.get(pk=former.pk).security_epoch > former.security_epoch  # Signed out.

    membership.refresh_from_db()
    change(office, acme.organization, **member(membership, role="admin", DELETE="on"))

    line = AuditEvent.objects.get(action="organization.membership_deleted")
    assert (line.before, line.after) == ({"user": heir.email, "role": "viewer"}, None)
    assert not Membership.objects.exists()


def test_no_place_moves_to_another_organization(office: Client, acme: Customer) -> None:
    membership = Membership.objects.get()
    other = Organization.objects.create(name="Other")
    sent = {"organization": other.pk, "user": User.objects.create_user("x@acme.test").pk, "role": "viewer"}

    office.post(reverse("admin:accounts_membership_change", args=[membership.pk]), sent)

    now = Membership.objects.get()
    assert (now.organization_id, now.user_id) == (membership.organization_id, membership.user_id)
    assert now.role == "viewer"
