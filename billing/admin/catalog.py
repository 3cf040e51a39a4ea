"""The catalog. What is published never changes: it is added to, here or through the API, and otherwise for reading."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action
from billing.admin import ask, by_hand, confirm, display, lookup, products
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.engine.prices import words
from billing.errors import InvalidState
from billing.models import Approval, Asset, FairUse, Plan, PlanDraft, PlanVersion, Price
from billing.selectors.catalog import plan_terms
from billing.selectors.catalog.catalog import price_terms
from billing.services import approvals, subscriptions
from billing.services.catalog import drafts, plans


class ReadOnlyInline(TabularInline):
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PriceColumns:
    """How a price is written, in lists and in a version's page."""

    @admin.display(description="Price")
    def price_shown(self, price: Price) -> str:
        return words.describe(price_terms(price), price.asset_id, price.meter.unit)

    @admin.display(description="Where")
    def match_shown(self, price: Price) -> SafeString:
        return display.pairs(price.match)


class PriceInline(PriceColumns, ReadOnlyInline):
    model = Price
    fields = readonly_fields = ("meter", "match_shown", "price_shown", "model", "failure_policy")
    per_page = 100

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .select_related("meter", "asset", "plan_version__plan")
            .prefetch_related("tiers")
        )


class FairUseInline(ReadOnlyInline):
    model = FairUse
    fields = readonly_fields = ("meter", "asset", "limit")
    show_change_link = False


class FeeColumn:
    """What a version costs in each period, in lists."""

    @admin.display(description="Base fee", ordering="base_fee")
    def fee_shown(self, version: PlanVersion) -> SafeString:
        return display.amount(version.base_fee, version.plan.currency_id)


class PlanVersionInline(FeeColumn, ReadOnlyInline):
    model = PlanVersion
    fields = readonly_fields = ("number", "interval", "fee_shown", "published_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(derived_from__isnull=True).select_related("plan")


class PlanDraftInline(ReadOnlyInline):
    model = PlanDraft
    fields = readonly_fields = ("created_at", "changed_at")
    verbose_name_plural = "Drafts"


class PlanForm(ServiceForm):
    """A new plan, which begins with a draft."""

    class Meta:
        model = Plan
        fields = ("code", "name", "currency")

    def make(self, fields: dict[str, Any]) -> Plan:
        return drafts.create_plan(actor=self.actor, terms={}, **fields).plan


@admin.register(Plan)
class PlanAdmin(AddOnlyAdmin):
    form = PlanForm
    list_display = ("code", "name", "currency", "offered", "versions_count", "created_at")
    list_filter = ("offered",)
    list_select_related = ("currency",)
    search_fields = ("code", "name")
    actions_list = ("metered_product",)
    actions_detail = ("draft_version", "offer", "move_everybody")

    def get_urls(self) -> list[Any]:
        urls: list[Any] = super().get_urls()
        return [path("product/", self.admin_site.admin_view(self.product), name="billing_plan_product"), *urls]

    def has_product_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(products.PERMISSIONS)

    @detail_action(
        description="A metered product", url_path="metered-product", icon="library_add", permissions=["product"]
    )
    def metered_product(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:billing_plan_product"))

    def product(self, request: HttpRequest) -> HttpResponse:
        return products.view(self, request)

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> Any:
        return () if obj is None else ("offered",)

    def get_inlines(self, request: HttpRequest, obj: Plan | None) -> list[Any]:
        return [] if obj is None else [PlanDraftInline, PlanVersionInline]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "currency":
            kwargs["queryset"] = Asset.objects.filter(kind=Asset.Kind.CURRENCY)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def response_add(self, request: HttpRequest, obj: Plan, post_url_continue: str | None = None) -> HttpResponse:
        """On to the draft that the plan begins with."""
        return HttpResponseRedirect(_draft_url(obj.drafts.get()))

    def has_draft_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_plandraft")

    @detail_action(description="Draft the next version", url_path="draft", icon="edit_note", permissions=["draft"])
    def draft_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A draft that begins as the latest version is."""
        plan = lookup.row(Plan, object_id)
        if request.method == "POST":
            latest = plan.latest()
            terms = {} if latest is None else plan_terms.of_version(latest)
            return HttpResponseRedirect(_draft_url(drafts.create(actor=actor_of(request), plan=plan, terms=terms)))
        return ask.put(self, request, plan, "Draft the next version")

    def has_move_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_subscription")

    @detail_action(description="Offer it, or no longer", url_path="offer", icon="storefront", permissions=["move"])
    def offer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        plan = lookup.row(Plan.objects.select_related("currency"), object_id)
        offered, version = not plan.offered, plan.latest()
        return confirm.view(
            self,
            request,
            obj=plan,
            question="May customers choose it by themselves? The price page shows it then."
            if offered
            else "Customers no longer choose it, and the price page leaves it out. Who is on it stays on it.",
            figure=plan.name,
            lines=[] if version is None else [("Fee", display.amount(version.base_fee, plan.currency_id))],
            button="Offer it" if offered else "No longer offer it",
            run=lambda reason: plans.offer(actor=actor_of(request), plan=plan, offered=offered, reason=reason),
            note="",
            done=f"{plan.name} is offered." if offered else f"{plan.name} is no longer offered.",
        )

    @detail_action(
        description="Move everybody to the latest version", url_path="move", icon="upgrade", permissions=["move"]
    )
    def move_everybody(self, request: HttpRequest, object_id: str) -> HttpResponse:
        plan = lookup.row(Plan.objects.select_related("currency"), object_id)
        try:
            found = subscriptions.preview_move(plan=plan)
        except InvalidState as refusal:
            messages.error(request, refusal.detail)
            return HttpResponseRedirect(reverse("admin:billing_plan_change", args=[plan.pk]))
        currency = plan.currency_id
        lines: list[tuple[str, object]] = [
            ("Subscriptions on other versions", found.total),
            ("With agreed terms of their own", found.agreed),
            ("Recurring fees a month, before", display.amount(found.monthly_before, currency)),
            ("Recurring fees a month, after", display.amount(found.monthly_after, currency)),
            *(
                (f"Version {each.version}: {each.what}", f"{each.before or 'none'} → {each.after or 'none'}")
                for each in found.prices[:50]
            ),
        ]

        def run(reason: str) -> Approval | None:
            return approvals.perform(
                actor=actor_of(request),
                kind=Approval.Kind.PLAN_MOVE,
                terms={"plan": str(plan.pk), "named": plan.name, "version": found.target.number},
                reason=reason,
            )

        return confirm.view(
            self,
            request,
            obj=plan,
            question="From their next periods on, all go to:",
            figure=str(found.target),
            lines=lines,
            button="Move everybody",
            run=run,
            warning=by_hand.warning(request, {currency: found.weight}, is_plan=True),
            note="A discount and a commitment that were agreed go along; prices that were agreed do not.",
            done=f"{found.total} subscriptions go to {found.target} at the end of their periods.",
        )

    def get_queryset(self, request: HttpRequest) -> Any:
        public = Count("versions", filter=Q(versions__derived_from__isnull=True))
        return super().get_queryset(request).annotate(public_versions=public)

    @admin.display(description="Versions")
    def versions_count(self, plan: Any) -> int:
        """Without what was agreed with one customer: that bears the number of the public version."""
        return int(plan.public_versions)


@admin.register(PlanVersion)
class PlanVersionAdmin(FeeColumn, ReadOnlyAdmin):
    list_display = (
        "__str__",
        "plan",
        "number",
        "interval",
        "fee_shown",
        "discount",
        "agreed_with",
        "prices_count",
        "published_at",
    )
    list_filter = (("plan", AutocompleteSelectFilter), ("interval", ChoicesDropdownFilter))
    list_select_related = ("plan",)
    search_fields = ("plan__code", "plan__name")
    inlines = (FairUseInline, PriceInline)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("prices")

    @admin.display(description="Prices")
    def prices_count(self, version: PlanVersion) -> int:
        return len(version.prices.all())


@admin.register(Price)
class PriceAdmin(PriceColumns, ReadOnlyAdmin):
    list_display = ("meter", "match_shown", "price_shown", "asset", "model", "plan_version")
    list_filter = (
        ("plan_version__plan", AutocompleteSelectFilter),
        ("meter", AutocompleteSelectFilter),
        ("asset", RelatedDropdownFilter),
    )
    list_select_related = ("meter", "asset", "plan_version__plan")
    search_fields = ("meter__code", "meter__name", "plan_version__plan__code", "plan_version__plan__name")
    ordering = ("plan_version", "position")
    fields = (
        "plan_version",
        "meter",
        "match_shown",
        "model",
        "price_shown",
        "asset",
        "covered_by",
        "cached_of",
        "valid",
        "failure_policy",
        "position",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("tiers")


def _draft_url(draft: PlanDraft) -> str:
    return reverse("admin:billing_plandraft_change", args=[draft.pk])
