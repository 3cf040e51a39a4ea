"""Organizations, and who acts for them."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.admin import networks
from accounts.backoffice import AuditedAdmin, actor_of, detail_action, row
from accounts.models import Membership, Organization
from accounts.services import factors, organizations, team


class MembershipInline(TabularInline):  # type: ignore[misc]
    model = Membership
    extra = 0
    tab = False
    fields = ("user", "role")
    autocomplete_fields = ("user",)


@admin.register(Organization)
class OrganizationAdmin(AuditedAdmin):
    audited_name = "organization"
    audited_fields = ("name",)
    list_display = ("name", "members_count", "created_at")
    ordering = ("-id",)
    search_fields = ("name",)
    fields = ("name", "allowed_networks", "created_at")
    readonly_fields = ("allowed_networks", "created_at")
    inlines = (MembershipInline,)
    actions_detail = ("allow_from",)

    def has_allow_from_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("accounts.change_organization")

    @detail_action(description="Allowed addresses", url_path="allow-from", icon="lan", permissions=["allow_from"])
    def allow_from(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """From where the organization's people and keys may come."""
        organization = row(Organization, object_id)
        return networks.view(
            request,
            self,
            organization,
            lambda blocks: organizations.allow_from(organization, blocks, actor=actor_of(request)),
        )

    @admin.display(description="Members")
    def members_count(self, organization: Organization) -> int:
        return len(organization.memberships.all())

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("memberships")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        organization: Organization = form.instance
        team.lock(organization.pk)
        former = _members(organization)
        super().save_formset(request, form, formset, change)
        present = _members(organization)
        for key in former | present:
            was, now = former.get(key), present.get(key)
            before, after = _facts(was), _facts(now)
            if before == after:
                continue
            if was is not None and (now is None or now.user_id != was.user_id):
                _end_what_was_theirs(request, was, deleted=True)
            if now is not None:
                _end_what_was_theirs(request, now)
            what = "created" if was is None else "deleted" if now is None else "changed"
            self._record(request, organization, f"membership_{what}", before, after)

    def organization_of(self, obj: Organization) -> UUID:
        return obj.pk

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An organization stays as long as its customer does, and a customer with books stays for ever."""
        return False


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin):
    audited_name = "membership"
    audited_fields = ("user", "organization", "role")
    list_display = ("user", "organization", "role", "created_at")
    list_filter = (("role", ChoicesDropdownFilter),)
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "organization__name")
    autocomplete_fields = ("user", "organization")
    fields = ("user", "organization", "role", "created_at")
    readonly_fields = ("created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        """Nobody's place is handed to another person or organization: it ends, and there is a new one."""
        return self.readonly_fields if obj is None else ("user", "organization", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        _end_what_was_theirs(request, obj)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        super().delete_model(request, obj)
        _end_what_was_theirs(request, obj, deleted=True)

    def organization_of(self, obj: Membership) -> UUID:
        return obj.organization_id


def _members(organization: Organization) -> dict[UUID, Membership]:
    rows = Membership.objects.filter(organization=organization).select_related("user", "organization").order_by("pk")
    return {membership.pk: membership for membership in rows}


def _facts(membership: Membership | None) -> dict[str, str] | None:
    return None if membership is None else {"user": membership.user.email, "role": membership.role}


def _end_what_was_theirs(request: HttpRequest, membership: Membership, *, deleted: bool = False) -> None:
    """The person's sessions, and the invitations that their role does not allow them any more."""
    factors.end_sessions(membership.user)
    team.withdraw_beyond(None if deleted else membership.role, membership, actor=actor_of(request))
