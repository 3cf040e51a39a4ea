"""Organizations, and who acts for them."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import AuditedAdmin, actor_of
from accounts.models import Membership, Organization
from accounts.services import factors, team


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
    readonly_fields = ("created_at",)
    inlines = (MembershipInline,)

    @admin.display(description="Members")
    def members_count(self, organization: Organization) -> int:
        return len(organization.memberships.all())

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("memberships")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        changes = [
            *((membership, "created") for membership in formset.new_objects),
            *((membership, "changed") for membership, _ in formset.changed_objects),
            *((membership, "deleted") for membership in formset.deleted_objects),
        ]
        for membership, what in changes:
            _end_what_was_theirs(request, membership, deleted=what == "deleted")
            after = None if what == "deleted" else {"user": membership.user.email, "role": membership.role}
            self._record(request, form.instance, f"membership_{what}", None, after)

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
    readonly_fields = ("created_at",)

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        _end_what_was_theirs(request, obj)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        super().delete_model(request, obj)
        _end_what_was_theirs(request, obj, deleted=True)

    def organization_of(self, obj: Membership) -> UUID:
        return obj.organization_id


def _end_what_was_theirs(request: HttpRequest, membership: Membership, *, deleted: bool = False) -> None:
    """The person's sessions, and the invitations that their role does not allow them any more."""
    factors.end_sessions(membership.user)
    team.withdraw_beyond(None if deleted else membership.role, membership, actor=actor_of(request))
