"""Money in: top-ups, refunds and packs. Actions call services."""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import OffersWhatFits, ReadOnlyAdmin, actor_of, detail_action, labelled
from accounts.lists import MomentFilter
from billing.admin import ask, by_hand, confirm, display, lookup
from billing.admin.amounts import AmountField
from billing.admin.base import BookAdmin
from billing.admin.payments import LOOK_UP, TONES, at_provider, paid_with
from billing.admin.periods import CreatedPeriodFilter
from billing.engine.money import EXACT, ZERO, amount_string
from billing.models import Approval, Grant, Pack, Refund, TopUp
from billing.services import approvals
from billing.services.funding import attempts, disputes, packs, refunds


@admin.register(TopUp)
class TopUpAdmin(OffersWhatFits, BookAdmin):
    booked_field = "created_at"
    list_display = ("created", "customer_link", "status_shown", "num_amount", "num_credit", "num_refunded", "settled")
    list_display_links = ("created",)
    list_filter = (
        CreatedPeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("settled_at", MomentFilter),
    )
    list_select_related = ("customer", "attempt")
    search_help_text = "A customer, or a top-up's id"
    actions_detail = ("refund", "look_up")
    fields = (
        *("id", "created", "customer_link", "status_shown", "attempt_link", "num_amount", "num_fee", "num_tax"),
        *("num_credit", "num_bonus", "rate", "pack", "num_refunded", "grant_link", "bonus_link", "expected", "settled"),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        wanted_back = disputes.WANTED_BACK.filter(top_up=OuterRef("pk"))
        return super().get_queryset(request).annotate(wanted_back=Exists(wanted_back))

    def idle(self, obj: Any) -> Collection[str]:
        fits = obj.status == TopUp.Status.SUCCEEDED and obj.refunded < obj.amount and not obj.wanted_back
        return () if fits else ("refund",)

    def has_refund_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_refund")

    def has_look_up_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_topup")

    @detail_action(description="Pay back…", url_path="refund", icon="undo", permissions=["refund"])
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        top_up = lookup.row(TopUp.objects.select_related("customer", "attempt"), object_id)
        most = refunds.refundable(top_up)

        def run(reason: str, amount: Decimal | None, paid_back: Decimal) -> Approval | None:
            wanted = amount if amount is not None else most or None
            return approvals.perform(
                actor=actor_of(request),
                kind=Approval.Kind.REFUND,
                customer=top_up.customer,
                terms={
                    "top_up": str(top_up.pk),
                    "amount": None if wanted is None else amount_string(wanted),
                    "paid_back": amount_string(paid_back),
                },
                reason=reason,
            )

        return confirm.view(
            self,
            request,
            obj=top_up,
            question="You are about to pay back, or a part of it",
            figure=display.written(most, top_up.currency_id).exact,
            lines=[
                ("To", display.link(top_up.customer)),
                ("Paid with", paid_with(top_up.attempt) or "–"),
                ("Paid", display.amount(top_up.amount, top_up.currency_id)),
                ("Paid back already", display.amount(top_up.refunded, top_up.currency_id)),
                ("What is spent or held stays; tax and bonus go back in proportion", ""),
            ],
            button="Pay it back",
            run=run,
            done="The refund was sent to the payment provider.",
            warning=by_hand.warning(request, {top_up.currency_id: most}),
            fields={
                "amount": AmountField(help_text="Empty: all that is unspent."),
                # What was shown: of two clicks the second finds another sum, and pays nothing.
                "paid_back": forms.DecimalField(
                    initial=amount_string(top_up.refunded), max_digits=30, decimal_places=12, widget=forms.HiddenInput
                ),
            },
        )

    @detail_action(description="Look up again", url_path="look-up", icon="sync", permissions=["look_up"])
    def look_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        top_up = lookup.row(TopUp, object_id)
        return ask.view(self, request, top_up, LOOK_UP, lambda: attempts.settle(top_up.attempt_id))

    @admin.display(description="Created")
    def created(self, top_up: TopUp) -> SafeString:
        return display.moment(top_up.created_at)

    @labelled(description="Status", label={**TONES, "Disputed": "danger"})
    def status_shown(self, top_up: Any) -> str:
        return "Disputed" if top_up.wanted_back else str(top_up.get_status_display())

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

    @labelled(description="Status", label=TONES)
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
        gone = EXACT.add(refund.credit, refund.bonus) if refund.status != Refund.Status.FAILED else ZERO
        return display.amount(gone, refund.top_up.asset_id)

    @admin.display(description="At the provider")
    def provider_link(self, refund: Refund) -> SafeString:
        return at_provider(refund.provider_id)

    @admin.display(description="Finished")
    def finished(self, refund: Refund) -> SafeString:
        return display.moment(refund.finished_at)


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
        actor = actor_of(request)
        return ask.view(self, request, pack, "Sell this pack no more", lambda: packs.withdraw(actor=actor, pack=pack))

    @admin.display(description="Holds")
    def num_amount(self, pack: Pack) -> SafeString:
        return display.amount(pack.amount, pack.asset_id)

    @admin.display(description="Price")
    def num_price(self, pack: Pack) -> SafeString:
        return display.amount(pack.price, pack.currency_id)
