"""Where organizations' people sign in."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator

from accounts.admin.asking import Asking
from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled, row
from accounts.lists import MadeFilter
from accounts.models import Identity, IdentityProvider
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import single_sign_on

_HERE = Identity.objects.filter(provider=OuterRef("pk")).order_by()


@admin.register(IdentityProvider)
class IdentityProviderAdmin(Asking, ReadOnlyAdmin):
    """Owners set it up in the portal. Here one sees what they set up, and administrators take it away."""

    list_display = ("organization", "short_name", "issuer", "required_shown", "people", "last_used", "created_at")
    list_filter = ("required", ("created_at", MadeFilter))
    list_select_related = ("organization",)
    search_fields = ("short_name", "issuer", "organization__name")
    ordering = ("-id",)
    fields = (
        "organization",
        "short_name",
        "issuer",
        "client_id",
        "redirect_address",
        "required_shown",
        "people",
        "last_used",
        "created_at",
    )
    actions_detail = ("remove",)

    def get_queryset(self, request: HttpRequest) -> Any:
        people = _HERE.values("provider").annotate(people=Count("pk")).values("people")
        used = _HERE.order_by(F("last_used_at").desc(nulls_last=True)).values("last_used_at")[:1]
        rows = super().get_queryset(request)
        return rows.annotate(people_count=Coalesce(Subquery(people), 0), used_at=Subquery(used))

    def has_remove_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("accounts.delete_identityprovider")

    @detail_action(description="Remove", url_path="remove", icon="link_off", permissions=["remove"])
    @method_decorator(requires_fresh_second_factor)
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that asks once more; confirmed, the provider lets nobody in. Then it is gone, so back to the list."""
        provider = row(IdentityProvider, object_id)
        return self._asked(
            request,
            provider,
            "Remove the identity provider",
            f"Whoever came in to {provider.organization} by {provider.issuer} is out with their next click, and signs"
            " in with their password from then on. Owners can set up single sign-on again.",
            lambda: single_sign_on.remove(provider, actor=actor_of(request)),
            after=reverse("admin:accounts_identityprovider_changelist"),
        )

    @labelled(description="Members come in", label={"By it alone": "info", "With a password too": "success"})
    def required_shown(self, provider: IdentityProvider) -> str:
        return "By it alone" if provider.required else "With a password too"

    @admin.display(description="People connected")
    def people(self, provider: Any) -> int:
        return int(provider.people_count)

    @admin.display(description="Last used", empty_value="Never")
    def last_used(self, provider: Any) -> datetime | None:
        found: datetime | None = provider.used_at
        return found

    @admin.display(description="Redirect address")
    def redirect_address(self, provider: IdentityProvider) -> str:
        """What has to be entered at the provider."""
        return single_sign_on.redirect_uri(str(provider.organization_id))
