"""What is booked or published can be changed by nobody, whatever way they come."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Membership, Organization, User
from accounts.services import team
from accounts.services.audit import SYSTEM
from billing.models import Charge, Customer, LedgerEntry, LedgerTransaction, Plan, PlanVersion, Price, UsageEvent
from tests.billing.admin.test_pages import MODELS, name
from tests.builders import browser_of

EDITABLE = {"accounts.User", "accounts.Organization", "accounts.Membership", "auth.Group", "billing.Customer"}
EDITABLE |= {"billing.PlanDraft"}  # In an editor of its own.
# Through a form that calls the service.
ADDED_BY_HAND = {
    "billing.Budget",
    "billing.WebhookEndpoint",
    "billing.ProviderCost",
    "billing.Overhead",
    "billing.Plan",
    "billing.Meter",
    "billing.Asset",
    "billing.Partner",
    "billing.PartnerCustomer",
    "billing.TaxRule",
    "billing.TaxProfile",
}
READ_ONLY = [model for model in MODELS if model._meta.label not in EDITABLE | ADDED_BY_HAND]
APPEND_ONLY = [LedgerEntry, LedgerTransaction, UsageEvent, Charge, PlanVersion, Price, AuditEvent]


def test_a_superuser_cannot_add_change_or_delete(office: Client, acme: Customer):
    for model in READ_ONLY:
        before = list(model._default_manager.values())
        row = model._default_manager.all()[0]
        fields = {field.name: "1" for field in model._meta.fields}
        add, change, delete = (
            reverse(name(model, "add")),
            reverse(name(model, "change"), args=[row.pk]),
            reverse(name(model, "delete"), args=[row.pk]),
        )
        assert office.get(add).status_code == 403, model
        assert office.post(add, fields).status_code == 403, model
        assert office.post(change, fields).status_code == 403, model
        assert office.get(delete).status_code == 403, model
        assert office.post(delete, {"post": "yes"}).status_code == 403, model
        assert list(model._default_manager.values()) == before, model


def test_there_is_no_bulk_deletion(office: Client, acme: Customer):
    request: Any = type("Request", (), {"user": None, "GET": {}})()
    for model in READ_ONLY:
        before = model._default_manager.count()
        pks = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
        office.post(
            reverse(name(model, "changelist")),
            {"action": "delete_selected", "_selected_action": pks, "post": "yes", "index": "0"},
        )
        assert model._default_manager.count() == before, model
        assert admin.site._registry[model].get_actions(request) == {}, model


@pytest.mark.parametrize(("model", "added"), [(LedgerEntry, False), (Customer, False), (Plan, True)])
def test_an_empty_list_offers_to_add_where_one_may(office: Client, model: Any, added: bool):
    whole = office.get(reverse(name(model, "changelist"))).content.decode()
    narrowed = office.get(reverse(name(model, "changelist")), {"q": "nothing of the sort"}).content.decode()

    assert "Nothing here yet" in whole
    assert "Nothing matches" in narrowed
    assert (f">Add {model._meta.verbose_name}<" in whole) is added


@pytest.mark.parametrize("model", APPEND_ONLY, ids=lambda model: model._meta.label)
def test_the_database_refuses_it_too(acme: Customer, model: Any):
    row = model._default_manager.all()[0]
    with pytest.raises(DatabaseError), transaction.atomic():
        model._default_manager.filter(pk=row.pk).update(id=row.pk)
    with pytest.raises(DatabaseError), transaction.atomic():
        model._default_manager.filter(pk=row.pk)._raw_delete("default")


def test_a_customer_is_never_deleted_nor_added_by_hand(office: Client, acme: Customer):
    assert office.get(reverse("admin:billing_customer_add")).status_code == 403
    assert office.post(reverse("admin:billing_customer_delete", args=[acme.pk]), {"post": "yes"}).status_code == 403


def test_a_customers_plain_fields_are_changed_by_the_service(office: Client, acme: Customer, finance: User):
    response = office.post(
        reverse("admin:billing_customer_change", args=[acme.pk]),
        {
            "name": "Acme Robots",
            "email": "accounts@acme.test",
            "country": "US",
            "timezone": "UTC",
            "on_insufficient_funds": "reject",
            "overdue_action": "suspend",
            "overdue_grace_days": "7",
            "metadata": "{}",
            "external_id": "stolen",
            "currency": "eur",
        },
    )
    assert response.status_code == 302
    acme.refresh_from_db()
    assert (acme.name, acme.email, acme.external_id, acme.currency_id) == (
        "Acme Robots",
        "accounts@acme.test",
        "acme",
        "usd",
    )
    trail = AuditEvent.objects.get(action="customer.changed")
    assert trail.actor_label == finance.email
    assert trail.before == {
        **{"name": "Acme Robotics", "email": "billing@acme.test", "country": ""},
        **{"overdue_action": "default", "overdue_grace_days": None},
    }
    assert trail.after["overdue_grace_days"] == 7


def test_a_change_of_a_person_leaves_a_line_in_the_trail(office: Client, acme: Customer):
    person = User.objects.get(email="owner@acme.test")
    url = reverse("admin:accounts_user_change", args=[person.pk])
    response = office.post(url, {"email": "owner@acme.test", "name": "An owner", "is_staff": "on", "is_active": "on"})
    assert response.status_code == 302
    trail = AuditEvent.objects.get(action="user.changed")
    assert trail.before is not None
    assert (trail.before["is_staff"], trail.after["is_staff"]) == (False, True)


def test_a_person_is_added_with_a_password(office: Client):
    response = office.post(
        reverse("admin:accounts_user_add"),
        {
            "email": "support@ante.test",
            "name": "Support",
            "usable_password": "true",
            "password1": "a-long-passphrase-9",
            "password2": "a-long-passphrase-9",
        },
    )
    assert response.status_code == 302
    assert User.objects.get(email="support@ante.test").check_password("a-long-passphrase-9")
    assert AuditEvent.objects.filter(action="user.created").count() == 1


def test_a_membership_is_changed_on_the_organizations_page(office: Client, acme: Customer):
    organization: Organization = acme.organization
    membership = Membership.objects.get()
    invited = {"email": "x@acme.test", "role": "viewer", "by": membership, "actor": SYSTEM}
    invitation, _ = team.invite(organization=organization, **invited)
    response = office.post(
        reverse("admin:accounts_organization_change", args=[organization.pk]),
        {
            "name": organization.name,
            "memberships-TOTAL_FORMS": "1",
            "memberships-INITIAL_FORMS": "1",
            "memberships-0-id": str(membership.pk),
            "memberships-0-organization": str(organization.pk),
            "memberships-0-user": str(membership.user_id),
            "memberships-0-role": "viewer",
        },
    )
    assert response.status_code == 302
    membership.refresh_from_db()
    assert membership.role == "viewer"
    line = AuditEvent.objects.get(action="organization.membership_changed")
    email = membership.user.email
    assert (line.before, line.after) == ({"user": email, "role": "owner"}, {"user": email, "role": "viewer"})
    assert (line.sealed_before, line.sealed_after) == ({"role": "owner"}, {"role": "viewer"})
    withdrawn = AuditEvent.objects.get(action="invitation.withdrawn")
    assert (withdrawn.object_id, withdrawn.actor_label) == (str(invitation.pk), "finance@ante.test")

    Membership.objects.update(role="admin")
    invitation, _ = team.invite(organization=organization, **invited)
    office.post(reverse("admin:accounts_membership_delete", args=[membership.pk]), {"post": "yes"})
    assert not Membership.objects.exists()
    assert AuditEvent.objects.filter(action="invitation.withdrawn", object_id=str(invitation.pk)).exists()


def test_staff_without_permissions_see_no_books(acme: Customer):
    client = browser_of(User.objects.create_user("new@ante.test", "correct horse battery", is_staff=True))
    assert client.get(reverse("admin:index")).status_code == 200
    assert "Usage charged today" not in client.get(reverse("admin:index")).content.decode()
    for model in MODELS:
        assert client.get(reverse(name(model, "changelist"))).status_code == 403
