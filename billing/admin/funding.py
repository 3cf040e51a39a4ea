"""Money in: top-ups, attempts, refunds, kept methods, packs, and what the provider reported. Actions call services."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter

from accounts.backoffice import ReadOnlyAdmin, detail_action, labelled
from accounts.services.audit import actor_of
from billing.admin import by_hand, confirm, display, lookup
from billing.admin.amounts import AmountField
from billing.admin.base import BookAdmin
from billing.admin.periods import CreatedPeriodFilter, ReceivedPeriodFilter
from billing.engine.money import amount_string
from billing.errors import BillingError
from billing.models import Approval, Grant, Pack, PaymentAttempt, PaymentMethod, Refund, StripeEvent, TopUp
from billing.services import approvals
from billing.services.funding import attempts, inbox, packs, profiles, refunds

LOOK_UP = "Ask the provider what became of it"
_TONES = {
    "Succeeded": "success",
    "Processing": "info",
    "Waits for the payer": "info",
    "Unknown": "danger",
    "Failed": "danger",
    "Canceled": "",
    "Expired": "",
}


def at_provider(object_id: str) -> SafeString:
    """An id as a link to the object's page at the provider; plain where no provider is set up."""
    if not object_id:
        return display.NOTHING
    if not settings.STRIPE_SECRET_KEY:
        return format_html("<code>{}</code>", object_id)
    url = profiles.payments().page_of(object_id)
    return format_html(
        '<a class="ante-link" href="{}" target="_blank" rel="noopener noreferrer">{}</a>', url, object_id
    )


@admin.register(TopUp)
class TopUpAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = ("created", "customer_link", "status_shown", "num_amount", "num_credit", "num_refunded", "settled")
    list_display_links = ("created",)
    list_filter = (
        CreatedPeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("settled_at", RangeDateTimeFilter),
    )
    list_select_related = ("customer", "attempt")
    search_help_text = "A customer, or a top-up's id"
    actions_detail = ("refund", "look_up")
    fields = (
        *("id", "created", "customer_link", "status_shown", "attempt_link", "num_amount", "num_fee", "num_tax"),
        *("num_credit", "num_bonus", "rate", "pack", "num_refunded", "grant_link", "bonus_link", "expected", "settled"),
    )

    def has_refund_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_refund")

    def has_look_up_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_topup")

    @detail_action(description="Pay back", url_path="refund", icon="undo", permissions=["refund"])
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        top_up = lookup.row(TopUp.objects.select_related("customer", "attempt"), object_id)
        most = refunds.refundable(top_up)

        def run(reason: str, amount: Decimal | None) -> Approval | None:
            wanted = amount if amount is not None else most or None
            return approvals.perform(
                actor=actor_of(request),
                kind=Approval.Kind.REFUND,
                customer=top_up.customer,
                terms={"top_up": str(top_up.pk), "amount": None if wanted is None else amount_string(wanted)},
                reason=reason,
            )

        return confirm.view(
            self,
            request,
            obj=top_up,
            question="You are about to pay back, or a part of it",
            figure=display.figure(most, top_up.currency_id),
            lines=[
                ("To", display.link(top_up.customer)),
                ("Paid with", top_up.attempt.method_type or "–"),
                ("Paid", display.amount(top_up.amount, top_up.currency_id)),
                ("Paid back already", display.amount(top_up.refunded, top_up.currency_id)),
                ("What is spent or held stays; tax and bonus go back in proportion", ""),
            ],
            button="Pay it back",
            run=run,
            done="The refund was sent to the payment provider.",
            warning=by_hand.warning(request, {top_up.currency_id: most}),
            fields={"amount": AmountField(help_text="Empty: all that is unspent.")},
        )

    @detail_action(description="Look up again", url_path="look-up", icon="sync", permissions=["look_up"])
    def look_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        top_up = lookup.row(TopUp, object_id)
        return asked(self, request, top_up, LOOK_UP, lambda: attempts.settle(top_up.attempt_id))

    @admin.display(description="Created")
    def created(self, top_up: TopUp) -> SafeString:
        return display.moment(top_up.created_at)

    @admin.display(description="Customer")
    def customer_link(self, top_up: TopUp) -> SafeString:
        return display.link(top_up.customer)

    @labelled(description="Status", label=_TONES)
    def status_shown(self, top_up: TopUp) -> str:
        return top_up.get_status_display()

    @admin.display(description="Payment")
    def attempt_link(self, top_up: TopUp) -> SafeString:
        return display.link(top_up.attempt)

    @admin.display(description="Amount")
    def num_amount(self, top_up: TopUp) -> SafeString:
        return display.amount(top_up.amount, top_up.currency_id)

    @admin.display(description="Fee")
    def num_fee(self, top_up: TopUp) -> SafeString:
        return display.amount(top_up.fee, top_up.currency_id)

    @admin.display(description="Tax")
    def num_tax(self, top_up: TopUp) -> SafeString:
        return display.amount(top_up.tax, top_up.currency_id)

    @admin.display(description="Comes in")
    def num_credit(self, top_up: TopUp) -> SafeString:
        return display.amount(top_up.credit, top_up.asset_id)

    @admin.display(description="Bonus")
    def num_bonus(self, top_up: TopUp) -> SafeString:
        return display.amount(top_up.bonus, top_up.asset_id)

    @admin.display(description="Paid back")
    def num_refunded(self, top_up: TopUp) -> SafeString:
        return display.amount(top_up.refunded, top_up.currency_id)

    @admin.display(description="Grant")
    def grant_link(self, top_up: TopUp) -> SafeString:
        return display.link(Grant.objects.filter(pk=top_up.grant_id).first())

    @admin.display(description="Bonus grant")
    def bonus_link(self, top_up: TopUp) -> SafeString:
        return display.link(Grant.objects.filter(pk=top_up.bonus_grant_id).first())

    @admin.display(description="Expected")
    def expected(self, top_up: TopUp) -> SafeString:
        return display.moment(top_up.expected_at)

    @admin.display(description="Settled")
    def settled(self, top_up: TopUp) -> SafeString:
        return display.moment(top_up.settled_at)


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = (
        "created",
        "customer_link",
        "status_shown",
        "purpose",
        "way",
        "num_amount",
        "method",
        "failure_code",
    )
    list_display_links = ("created",)
    list_filter = (
        CreatedPeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
    )
    list_select_related = ("customer",)
    search_help_text = "A customer, or an attempt's id"
    actions_detail = ("look_up",)
    fields = (
        *(
            "id",
            "created",
            "customer_link",
            "status_shown",
            "purpose",
            "way",
            "mode",
            "num_amount",
            "num_fee",
            "method",
        ),
        *("failure_code", "failure", "payment_link", "session_link", "charge_link", "top_up_link"),
        *("sent", "next_look", "looked_up", "finished"),
    )

    def has_look_up_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_paymentattempt")

    @detail_action(description="Look up again", url_path="look-up", icon="sync", permissions=["look_up"])
    def look_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        attempt = lookup.row(PaymentAttempt, object_id)
        return asked(self, request, attempt, LOOK_UP, lambda: attempts.settle(attempt.pk))

    @admin.display(description="Created")
    def created(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.created_at)

    @admin.display(description="Customer")
    def customer_link(self, attempt: PaymentAttempt) -> SafeString:
        return display.link(attempt.customer)

    @labelled(description="Status", label=_TONES)
    def status_shown(self, attempt: PaymentAttempt) -> str:
        return attempt.get_status_display()

    @admin.display(description="Amount")
    def num_amount(self, attempt: PaymentAttempt) -> SafeString:
        return display.amount(attempt.amount, attempt.currency_id)

    @admin.display(description="The provider's fee")
    def num_fee(self, attempt: PaymentAttempt) -> SafeString:
        return display.amount(attempt.fee, attempt.fee_currency or attempt.currency_id)

    @admin.display(description="Method")
    def method(self, attempt: PaymentAttempt) -> str:
        return " ".join(filter(None, [attempt.method_brand or attempt.method_type, attempt.method_last4])) or "–"

    @admin.display(description="At the provider")
    def payment_link(self, attempt: PaymentAttempt) -> SafeString:
        return at_provider(attempt.payment_id)

    @admin.display(description="Page")
    def session_link(self, attempt: PaymentAttempt) -> SafeString:
        return at_provider(attempt.session_id)

    @admin.display(description="Charge")
    def charge_link(self, attempt: PaymentAttempt) -> SafeString:
        return at_provider(attempt.charge_id)

    @admin.display(description="Top-up")
    def top_up_link(self, attempt: PaymentAttempt) -> SafeString:
        return display.link(TopUp.objects.filter(attempt=attempt).first())

    @admin.display(description="Sent")
    def sent(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.sent_at)

    @admin.display(description="Next look")
    def next_look(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.check_at)

    @admin.display(description="Finished")
    def finished(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.finished_at)


@admin.register(Refund)
class RefundAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = ("created", "customer_link", "status_shown", "num_total", "num_credit", "reason")
    list_display_links = ("created",)
    list_filter = (CreatedPeriodFilter, ("customer", AutocompleteSelectFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("customer",)
    search_help_text = "A customer, or a refund's id"
    fields = (
        *("id", "created", "customer_link", "status_shown", "top_up_link", "num_total", "num_credit", "reason"),
        *("failure", "provider_link", "finished"),
    )

    @admin.display(description="Created")
    def created(self, refund: Refund) -> SafeString:
        return display.moment(refund.created_at)

    @admin.display(description="Customer")
    def customer_link(self, refund: Refund) -> SafeString:
        return display.link(refund.customer)

    @labelled(description="Status", label=_TONES)
    def status_shown(self, refund: Refund) -> str:
        return refund.get_status_display()

    @admin.display(description="Top-up")
    def top_up_link(self, refund: Refund) -> SafeString:
        return display.link(refund.top_up)

    @admin.display(description="Paid back")
    def num_total(self, refund: Refund) -> SafeString:
        return display.amount(refund.total, refund.currency_id)

    @admin.display(description="Left the wallet")
    def num_credit(self, refund: Refund) -> SafeString:
        return display.amount(refund.credit + refund.bonus, refund.top_up.asset_id)

    @admin.display(description="At the provider")
    def provider_link(self, refund: Refund) -> SafeString:
        return at_provider(refund.provider_id)

    @admin.display(description="Finished")
    def finished(self, refund: Refund) -> SafeString:
        return display.moment(refund.finished_at)


@admin.register(PaymentMethod)
class PaymentMethodAdmin(ReadOnlyAdmin):
    list_display = ("customer", "type", "brand", "last4", "exp_month", "exp_year", "removed_at")
    list_filter = (("customer", AutocompleteSelectFilter),)
    list_select_related = ("customer",)
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    fields = ("customer", "mode", "type", "brand", "last4", "exp_month", "exp_year", "provider_link", "removed_at")

    @admin.display(description="At the provider")
    def provider_link(self, method: PaymentMethod) -> SafeString:
        return at_provider(method.provider_id)


@admin.register(Pack)
class PackAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "num_amount", "num_price", "active")
    ordering = ("code",)
    search_fields = ("code", "name")
    fields = ("code", "name", "asset", "num_amount", "currency", "num_price", "active", "created_at")
    actions_detail = ("withdraw",)

    def has_withdraw_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_pack")

    @detail_action(description="Sell no more", url_path="withdraw", icon="block", permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pack = lookup.row(Pack, object_id)
        run = lambda: packs.withdraw(actor=actor_of(request), pack=pack)  # noqa: E731
        return asked(self, request, pack, "Sell this pack no more", run)

    @admin.display(description="Holds")
    def num_amount(self, pack: Pack) -> SafeString:
        return display.amount(pack.amount, pack.asset_id)

    @admin.display(description="Price")
    def num_price(self, pack: Pack) -> SafeString:
        return display.amount(pack.price, pack.currency_id)


@admin.register(StripeEvent)
class StripeEventAdmin(BookAdmin):
    booked_field = "received_at"
    list_display = ("received", "type", "customer_link", "state_shown", "attempts", "note")
    list_display_links = ("received",)
    list_filter = (ReceivedPeriodFilter, ("state", ChoicesDropdownFilter), ("customer", AutocompleteSelectFilter))
    search_help_text = "A customer, or a message's id"
    actions_detail = ("retry",)
    fields = (
        *("id", "received", "happened", "type", "event_link", "object_type", "object_link", "customer_link"),
        *("live", "state_shown", "attempts", "due", "note"),
    )

    def has_retry_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_stripeevent")

    @detail_action(description="Work through again", url_path="retry", icon="replay", permissions=["retry"])
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = lookup.row(StripeEvent, object_id)
        return asked(self, request, event, "Work through this message again", lambda: inbox.retry(event))

    @admin.display(description="Received")
    def received(self, event: StripeEvent) -> SafeString:
        return display.moment(event.received_at)

    @admin.display(description="Happened")
    def happened(self, event: StripeEvent) -> SafeString:
        return display.moment(event.happened_at)

    @admin.display(description="Due")
    def due(self, event: StripeEvent) -> SafeString:
        return display.moment(event.due_at)

    @admin.display(description="Customer")
    def customer_link(self, event: StripeEvent) -> SafeString:
        return display.link(event.customer)

    @labelled(description="State", label={"New": "info", "Done": "success", "Parked": "warning"})
    def state_shown(self, event: StripeEvent) -> str:
        return event.get_state_display()

    @admin.display(description="Message")
    def event_link(self, event: StripeEvent) -> SafeString:
        return at_provider(event.event_id)

    @admin.display(description="About")
    def object_link(self, event: StripeEvent) -> SafeString:
        return at_provider(event.object_id)


def asked(page: Any, request: HttpRequest, obj: Any, question: str, run: Any) -> HttpResponse:
    """A question with one button; done by a POST alone, and back to the object's page."""
    back_url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    if request.method == "POST":
        try:
            run()
        except BillingError as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, "Done.")
        return redirect(back_url)
    context = {
        **page.admin_site.each_context(request),
        "title": question,
        "subtitle": str(obj),
        "opts": page.model._meta,
        "back_url": back_url,
    }
    return TemplateResponse(request, "admin/ante/ask.html", context)
