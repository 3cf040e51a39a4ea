"""People and access in the back office."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import key_pages
from accounts.backoffice import AuditedAdmin, ReadOnlyAdmin, actor_of, detail_action, labelled, row
from accounts.models import ApiKey, AuditDetail, AuditEvent, Membership, Organization, OutgoingMail, User
from accounts.services import api_keys, factors, mail, staff

admin.site.unregister(Group)

ACTORS_MAX = 50
"""So many of the people, and of the keys, that a word may mean are looked for in the trail."""
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class PersonCreationForm(UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email", "name")


class PersonChangeForm(UserChangeForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = "__all__"


class Asking:
    """A page of the back office that asks once more before something is done."""

    admin_site: Any
    opts: Any

    def _asked(
        self, request: HttpRequest, obj: Any, title: str, question: str, do: Callable[[], object], *, after: str = ""
    ) -> HttpResponse:
        """``after``: where to go then, if not back to the object's page."""
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
        if request.method == "POST":
            do()
            messages.success(request, f"{title}: done.")
            return HttpResponseRedirect(after or back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": str(obj),
            "opts": self.opts,
            "question": question,
            "back_url": back,
        }
        return TemplateResponse(request, "admin/ante/asked.html", context)


class MembershipInline(TabularInline):  # type: ignore[misc]
    model = Membership
    extra = 0
    tab = False
    fields = ("user", "role")
    autocomplete_fields = ("user",)


@admin.register(User)
class PersonAdmin(Asking, AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    """Customers' people and staff alike: what they may do comes from memberships and from groups.

    Only a superuser says who is staff and what they may, and only a superuser changes somebody who is: whoever could
    set their password could act as them.
    """

    form = PersonChangeForm
    add_form = PersonCreationForm
    change_password_form = AdminPasswordChangeForm
    audited_name = "user"
    audited_fields = ("email", "name", "is_active", "is_staff", "is_superuser")
    audited_relations = ("groups", "user_permissions")
    list_display = ("email", "name", "side", "is_active", "last_login", "created_at")
    list_filter = ("is_staff", "is_active", "is_superuser", ("created_at", RangeDateTimeFilter))
    search_fields = ("email", "name")
    ordering = ("email",)
    readonly_fields = ("created_at", "last_login")
    filter_horizontal = ("groups", "user_permissions")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("May enter", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if request.user.is_superuser else (*fixed, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {*POWERS, "is_active", "email"} & set(form.changed_data):
            factors.end_sessions(obj)

    actions_detail: tuple[str, ...] = ("reset_second_factor",)

    def has_reset_second_factor_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.is_superuser)

    @detail_action(
        description="Reset second factor",
        url_path="reset-factor",
        icon="phonelink_erase",
        permissions=["reset_second_factor"],
    )
    def reset_second_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that asks once more; confirmed, the person sets up a new factor at the next sign-in."""
        person = row(User, object_id)
        return self._asked(
            request,
            person,
            "Reset the second factor",
            "All second factors and recovery codes of this person end, and all their sessions. They sign in with the"
            " password and set up a new factor. Be sure that it is they who ask.",
            lambda: factors.reset(person, actor=actor_of(request)),
        )

    def get_urls(self) -> list[Any]:
        powers = self.admin_site.admin_view(self.powers)
        return [path("powers/", powers, name="accounts_user_powers"), *super().get_urls()]

    def powers(self, request: HttpRequest) -> HttpResponse:
        """Who of the staff may do what."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = {**self.admin_site.each_context(request), "title": "Who may do what", "opts": self.opts}
        return TemplateResponse(request, "admin/ante/powers.html", shown | staff.overview())

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():
            person = self.get_object(request, unquote(id))
            before = None if person is None else person.password
            response: HttpResponse = super().user_change_password(request, id, form_url)
            if person is not None and User.objects.values_list("password", flat=True).get(pk=person.pk) != before:
                self._record(request, person, "password_set", None, None)
        return response

    @labelled(description="Side", label={"Staff": "info", "Administrator": "warning", "Customer": "success"})
    def side(self, user: User) -> str:
        if user.is_superuser:
            return "Administrator"
        return "Staff" if user.is_staff else "Customer"


def _may_touch(request: HttpRequest, person: User | None) -> bool:
    return request.user.is_superuser or person is None or not (person.is_staff or person.is_superuser)


@admin.register(Group)
class StaffGroupAdmin(AuditedAdmin, GroupAdmin):
    """What the members of a group may do is said by a superuser."""

    audited_name = "group"
    audited_fields = ("name",)
    audited_relations = ("permissions",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if request.user.is_superuser else (*fixed, "permissions")


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
            factors.end_sessions(membership.user)
            after = None if what == "deleted" else {"user": membership.user.email, "role": membership.role}
            self._record(request, form.instance, f"membership_{what}", None, after)

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
        factors.end_sessions(obj.user)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        super().delete_model(request, obj)
        factors.end_sessions(obj.user)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are shown once, to the program that asked for them: here one sees which exist and what they may."""

    list_display = (
        "name",
        "starts_with",
        "kind",
        "mode",
        "organization",
        "state",
        "scopes_shown",
        "last_used_at",
        "expires_at",
    )
    list_filter = (("kind", ChoicesDropdownFilter), "live", ("last_used_at", RangeDateTimeFilter))
    list_select_related = ("organization",)
    ordering = ("-id",)
    search_fields = ("name", "prefix", "organization__name")
    fields = (
        "name",
        "starts_with",
        "kind",
        "mode",
        "organization",
        "state",
        "scopes_shown",
        "allowed_networks",
        "renews",
        "created_by",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )

    actions_detail = ("renew", "allow_from", "revoke")

    @detail_action(description="Renew", url_path="renew", icon="autorenew", permissions=["revoke"])
    def renew(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A new secret, and some hours in which both work."""
        return key_pages.renew(self, request, object_id)

    @detail_action(description="Allowed addresses", url_path="allow-from", icon="lan", permissions=["revoke"])
    def allow_from(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """From where the key may be used."""
        return key_pages.allow_from(self, request, object_id)

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @detail_action(description="Revoke", url_path="revoke", icon="key_off", permissions=["revoke"])
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that asks once more; confirmed, the key ends."""
        key = row(ApiKey, object_id)
        back = reverse("admin:accounts_apikey_change", args=[key.pk])
        if request.method == "POST":
            if api_keys.revoke(key, actor=actor_of(request)):
                messages.success(request, f"{key} is revoked. It is refused within a second.")
            else:
                messages.info(request, f"{key} was revoked before.")
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke an API key",
            "subtitle": key.name,
            "opts": self.opts,
            "key": key,
            "back_url": back,
        }
        return TemplateResponse(request, "admin/ante/revoke_key.html", context)

    @admin.display(description="Begins with", ordering="prefix")
    def starts_with(self, key: ApiKey) -> str:
        return f"{key.prefix}…"

    @admin.display(description="May")
    def scopes_shown(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @labelled(description="Mode", label={"Live": "info", "Test": "warning"})
    def mode(self, key: ApiKey) -> str:
        return "Live" if key.live else "Test"

    @labelled(
        description="State",
        label={"Active": "success", "Expired": "warning", "Revoked": "danger", "Not accepted here": "danger"},
    )
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        if not api_keys.is_accepted(key):
            return "Not accepted here"
        return "Expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "Active"


@admin.register(OutgoingMail)
class LetterAdmin(Asking, ReadOnlyAdmin):
    """Letters about accounts that have not gone out. What they say is for their recipient alone."""

    list_display = ("subject", "recipient", "state", "attempts", "due_at", "last_error", "created_at")
    list_filter = (("created_at", RangeDateTimeFilter),)
    search_fields = ("recipient", "subject")
    ordering = ("-id",)
    fields = ("subject", "recipient", "state", "attempts", "due_at", "last_error", "created_at")
    actions_detail = ("send_again",)

    def has_send_again_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("accounts.change_outgoingmail")

    @detail_action(description="Send again", url_path="send-again", icon="send", permissions=["send_again"])
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that asks once more; confirmed, a worker sends it. Then it is gone from here, so back to the list."""
        letter = row(OutgoingMail, object_id)
        return self._asked(
            request,
            letter,
            "Send it again",
            "It goes to the same address. A link in it works only as long as the letter says.",
            lambda: mail.retry(actor=actor_of(request), message=letter),
            after=reverse("admin:accounts_outgoingmail_changelist"),
        )

    @labelled(description="State", label={"On its way": "info", "Given up": "danger"})
    def state(self, letter: OutgoingMail) -> str:
        return "Given up" if letter.given_up else "On its way"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "actor_label", "object_type", "object_id", "ip_address", "request_id")
    list_display_links = ("created_at", "action")
    list_filter = (("actor_kind", ChoicesDropdownFilter), ("created_at", RangeDateTimeFilter))
    search_fields = ("action", "object_id", "request_id")
    search_help_text = "An action or its beginning, an e-mail address, the name of a key, or any id, a request's too"
    sortable_by = ()
    fields = (
        "created_at",
        "action",
        "actor_kind",
        "actor_label",
        "actor_id",
        "object_type",
        "object_id",
        "before",
        "after",
        "organization_id",
        "ip_address",
        "request_id",
    )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Lines along their indexes, for the trail has millions: nothing is looked for within words."""
        term = search_term.strip()
        if not term:
            return queryset, False
        people = User.objects.filter(email__istartswith=term).values_list("pk", flat=True)
        keys = ApiKey.objects.filter(Q(name__istartswith=term) | Q(prefix__startswith=term)).values_list(
            "pk", flat=True
        )
        # Whose account is gone, or had another address then.
        named = AuditDetail.objects.filter(label__startswith=term).values_list("line__actor_id", flat=True)
        actors = {pk for rows in (people, keys, named) for pk in rows[:ACTORS_MAX]}
        meant = Q(action__startswith=term) | Q(object_id=term) | Q(request_id=term) | Q(actor_id__in=actors)
        with suppress(ValueError):
            found = UUID(term)
            meant |= Q(pk=found) | Q(object_id=str(found)) | Q(actor_id=found) | Q(organization_id=found)
        return queryset.filter(meant), False
