"""API keys."""

from collections.abc import Collection

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.admin import key_pages
from accounts.admin.asking import Asking
from accounts.backoffice import OffersWhatFits, ReadOnlyAdmin, actor_of, detail_action, labelled, row
from accounts.lists import MomentFilter
from accounts.models import ApiKey
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import api_keys


@admin.register(ApiKey)
class ApiKeyAdmin(Asking, OffersWhatFits, ReadOnlyAdmin):
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
    list_filter = (("kind", ChoicesDropdownFilter), "live", ("last_used_at", MomentFilter))
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
        "paused_at",
        "paused_because",
        "scopes_shown",
        "allowed_networks",
        "renews",
        "created_by",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )

    actions_detail = ("resume", "renew", "allow_from", "revoke")

    def idle(self, obj: ApiKey) -> Collection[str]:
        if obj.revoked_at is not None:
            return self.actions_detail
        return ("resume",) if obj.paused_at is None else ("renew",)

    @detail_action(description="Resume", url_path="resume", icon="play_arrow", permissions=["revoke"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that says why the key is paused; confirmed, it works again."""
        key = row(ApiKey, object_id)
        if key.paused_at is None:
            messages.info(request, f"{key} is not paused.")
            return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[key.pk]))
        return self._asked(
            request,
            key,
            "Resume",
            f"{api_keys.why_paused(key)} Resumed, the key works within a second, and is paused again if that goes on.",
            lambda: api_keys.resume(key, actor=actor_of(request)),
        )

    @detail_action(description="Renew", url_path="renew", icon="autorenew", permissions=["revoke"])
    def renew(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """A new secret, and some hours in which both work."""
        return key_pages.renew(request, self, object_id)

    @detail_action(description="Allowed addresses", url_path="allow-from", icon="lan", permissions=["revoke"])
    def allow_from(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """From where the key may be used."""
        return key_pages.allow_from(request, self, object_id)

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @detail_action(description="Revoke", url_path="revoke", icon="key_off", permissions=["revoke"])
    @method_decorator(requires_fresh_second_factor)
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
            "original": key,
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
        label={
            "Active": "success",
            "Expired": "warning",
            "Paused": "danger",
            "Revoked": "danger",
            "Not accepted here": "danger",
        },
    )
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        if not api_keys.is_accepted(key):
            return "Not accepted here"
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return "Expired"
        return "Active" if key.paused_at is None else "Paused"
