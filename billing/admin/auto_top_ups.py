"""Standing orders to top up."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from billing.admin import ask, display, lookup
from billing.admin.base import CustomerMixin
from billing.models import AutoTopUp
from billing.selectors.funding import standing
from billing.services.funding import rules


@admin.register(AutoTopUp)
class AutoTopUpAdmin(CustomerMixin, ReadOnlyAdmin):
    list_display = ("customer_link", "purpose", "status_shown", "num_threshold", "num_bought", "declines", "reason")
    list_display_links = ("purpose",)
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("purpose", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
    )
    list_select_related = ("customer", "pack", "method")
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    actions_detail = ("resume", "switch_off")
    fields = (
        *("id", "customer_link", "purpose", "status_shown", "num_threshold", "num_bought", "num_target", "pack"),
        *("every", "next_time", "method", "num_limit", "count_limit", "cooldown_seconds", "num_used", "declines"),
        *("reason_code", "reason", "updated_at"),
    )

    def has_resume_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_autotopup")

    has_switch_off_permission = has_resume_permission

    @detail_action(description="Let it run again", url_path="resume", icon="play_arrow", permissions=["resume"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule = lookup.row(AutoTopUp.objects.select_related("customer"), object_id)
        return ask.view(
            self,
            request,
            rule,
            "Let this automatic top-up charge again",
            lambda: rules.resume(actor=actor_of(request), rule=rule),
        )

    @detail_action(description="Switch off", url_path="switch-off", icon="block", permissions=["switch_off"])
    def switch_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule = lookup.row(AutoTopUp.objects.select_related("customer"), object_id)
        return ask.view(
            self,
            request,
            rule,
            "Charge nothing more by itself",
            lambda: rules.switch_off(actor=actor_of(request), rule=rule),
        )

    @labelled(
        description="Status",
        label={"suspended": "danger", "charging": "info", "cooling": "info", "armed": "success", "off": ""},
    )
    def status_shown(self, rule: AutoTopUp) -> str:
        return standing.status(rule, timezone.now())

    @admin.display(description="Below")
    def num_threshold(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.threshold, rule.asset_id)

    @admin.display(description="Buys")
    def num_bought(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.amount, rule.customer.currency_id)

    @admin.display(description="Fills up to")
    def num_target(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.target, rule.asset_id)

    @admin.display(description="At most in a month")
    def num_limit(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.monthly_limit, rule.customer.currency_id)

    @admin.display(description="Bought this month")
    def num_used(self, rule: AutoTopUp) -> SafeString:
        return display.amount(standing.used(rule, timezone.now()).amount, rule.customer.currency_id)

    @admin.display(description="Not before")
    def next_time(self, rule: AutoTopUp) -> SafeString:
        return display.moment(rule.due_at)
