"""People, and the groups of the staff."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.admin import powers
from accounts.admin.asking import Asking
from accounts.backoffice import AuditedAdmin, actor_of, detail_action, labelled, row
from accounts.lists import MadeFilter
from accounts.models import User
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import factors, mail

admin.site.unregister(Group)

POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class PersonCreationForm(UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["usable_password"].help_text = "Without one they come in by single sign-on alone."


class PersonChangeForm(UserChangeForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class PersonAdmin(Asking, AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    """Customers' people and staff alike: what they may do comes from memberships and from groups.

    Only a superuser says who is staff and what they may, and only a superuser changes somebody who is: whoever could
    set their password could act as them. Nobody is deleted: people are switched off, or erased by two.
    """

    form = PersonChangeForm
    add_form = PersonCreationForm
    change_password_form = AdminPasswordChangeForm
    audited_name = "user"
    audited_fields = ("email", "name", "is_active", "is_staff", "is_superuser")
    audited_relations = ("groups", "user_permissions")
    list_display = ("email", "name", "side", "is_active", "last_login", "created_at")
    list_filter = ("is_staff", "is_active", "is_superuser", ("created_at", MadeFilter))
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
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Whoever may change what is shown has given their second factor just now; who only looks need not."""
        view = super().changeform_view
        may_write = self.has_change_permission(request) or self.has_add_permission(request)
        return (requires_fresh_second_factor(view) if may_write else view)(request, *args, **kwargs)

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
    @method_decorator(requires_fresh_second_factor)
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
        view = self.admin_site.admin_view(self.powers)
        return [path("powers/", view, name="accounts_user_powers"), *super().get_urls()]

    def powers(self, request: HttpRequest) -> HttpResponse:
        """Who of the staff may do what."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = {**self.admin_site.each_context(request), "title": "Who may do what", "opts": self.opts}
        return TemplateResponse(request, "admin/ante/powers.html", shown | powers.overview())

    @method_decorator(requires_fresh_second_factor)
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():
            person = self.get_object(request, unquote(id))
            before = None if person is None else person.password
            response: HttpResponse = super().user_change_password(request, id, form_url)
            if person is not None and User.objects.values_list("password", flat=True).get(pk=person.pk) != before:
                self._record(request, person, "password_set", None, None)
                mail.tell(person, _("Your password was changed"), _("An administrator set a new password for you."))
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

    def get_queryset(self, request: HttpRequest) -> Any:
        """Each permission is shown with the app and the model it is of."""
        return super().get_queryset(request).prefetch_related("permissions__content_type")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if request.user.is_superuser else (*fixed, "permissions")
