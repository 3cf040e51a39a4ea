"""Partners: their rates, whom they brought, what each month came to, and what was paid out to them."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.backoffice import actor_of, detail_action
from billing.admin import by_hand, confirm, display, downloads, lookup
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.admin.base import CustomerMixin
from billing.engine.money import amount_string
from billing.engine.spreadsheets import Cell
from billing.models import Approval, Partner, PartnerCustomer
from billing.services import approvals
from billing.services.revenue import partner_papers, partners


class PartnerForm(ServiceForm):
    volumes = SimpleArrayField(
        forms.DecimalField(max_digits=30, decimal_places=12),
        widget=UnfoldAdminTextInputWidget,
        help_text="From which volume of a month on, with commas; the first is 0: 0, 100000",
    )
    rates = SimpleArrayField(
        forms.DecimalField(max_digits=30, decimal_places=12),
        widget=UnfoldAdminTextInputWidget,
        help_text="The rate from there on: 0.10, 0.15",
    )

    class Meta:
        model = Partner
        fields = ("code", "name", "currency", "base", "mode", "starts_on")

    def make(self, fields: dict[str, Any]) -> Partner:
        return partners.create(actor=self.actor, **fields)


class BroughtForm(ServiceForm):
    class Meta:
        model = PartnerCustomer
        fields = ("partner", "customer", "starts_on")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "starts_on" in self.fields:
            self.fields["starts_on"].required = False
            self.fields["starts_on"].help_text = "The first day of the customer's that counts; today where it is empty."

    def make(self, fields: dict[str, Any]) -> PartnerCustomer:
        return partners.bring(actor=self.actor, **fields)


@admin.register(Partner)
class PartnerAdmin(AddOnlyAdmin):
    form = PartnerForm
    list_display = ("name", "code", "base", "rates_shown", "num_payable", "starts_on")
    search_fields = ("code", "name")
    ordering = ("code",)
    sortable_by = ()
    actions_detail = ("pay_out",)

    def get_fields(self, request: HttpRequest, obj: Partner | None = None) -> Any:
        if obj is None:
            return super().get_fields(request, obj)
        return ("code", "name", "base", "mode", "rates_shown", "starts_on", "months", "num_payable", "file")

    def get_readonly_fields(self, request: HttpRequest, obj: Partner | None = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def get_urls(self) -> list[Any]:
        own = path(
            "<uuid:partner_id>/statement/", self.admin_site.admin_view(self.statement), name="billing_partner_statement"
        )
        paper = path(
            "<uuid:partner_id>/statement/<int:year>/<int:month>/",
            self.admin_site.admin_view(self.paper),
            name="billing_partner_paper",
        )
        urls: list[Any] = super().get_urls()
        return [own, paper, *urls]

    def paper(self, request: HttpRequest, partner_id: Any, year: int, month: int) -> HttpResponse:
        """The statement of a month as PDF."""
        partner = lookup.row(Partner, str(partner_id))
        if not self.has_view_permission(request, partner):
            raise PermissionDenied
        try:
            first = date(year, month, 1)
        except ValueError as error:
            raise Http404 from error
        return HttpResponse(
            partner_papers.statement_pdf(partner, first),
            content_type="application/pdf",
            headers={"Content-Disposition": f'attachment; filename="partner-{partner.code}-{first:%Y-%m}.pdf"'},
        )

    def statement(self, request: HttpRequest, partner_id: Any) -> StreamingHttpResponse:
        """Each day's base and share of each customer, and what was paid out, as CSV."""
        partner = lookup.row(Partner, str(partner_id))
        if not self.has_view_permission(request, partner):
            raise PermissionDenied
        heads = ("date", "customer", "base", "share", "paid_out", "currency", "reference")
        currency = partner.currency_id.upper()
        accruals = partner.accruals.select_related("customer").order_by("date", "version", "customer__external_id")
        rows: list[list[Cell]] = [
            [row.date.isoformat(), row.customer.external_id, row.base, row.amount, None, currency, None]
            for row in accruals
        ]
        rows += [
            [payout.upto.isoformat(), None, None, None, payout.amount, currency, payout.reference]
            for payout in partner.payouts.order_by("id")
        ]
        return downloads.csv(f"partner-{partner.code}", heads, rows)

    def has_pay_out_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_partnerpayout")

    @detail_action(description="Pay out", url_path="pay-out", icon="payments", permissions=["pay_out"])
    def pay_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        partner = lookup.row(Partner, object_id)
        last = timezone.localdate().replace(day=1) - timedelta(days=1)
        payable = partners.payable(partner, last)

        def run(reason: str, reference: str, upto: date, amount: Decimal) -> Approval | None:
            return approvals.perform(
                actor=actor_of(request),
                kind=Approval.Kind.PARTNER_PAYOUT,
                terms={
                    "partner": str(partner.pk),
                    "named": partner.name,
                    "upto": upto.isoformat(),
                    "amount": amount_string(amount),
                    "reference": reference,
                },
                reason=reason,
            )

        return confirm.view(
            self,
            request,
            obj=partner,
            question=f"This was paid out for the days up to {last}",
            figure=display.figure(payable, partner.currency_id),
            lines=[("Partner", partner.name), ("Share of", partner.get_base_display())],
            button="Note the payout",
            fields={
                "reference": forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget),
                # What was shown is what is noted, whatever has accrued, or whichever month it has become, since.
                "upto": forms.DateField(initial=last, widget=forms.HiddenInput),
                "amount": forms.DecimalField(
                    initial=amount_string(payable), max_digits=30, decimal_places=12, widget=forms.HiddenInput
                ),
            },
            run=run,
            done="Noted. It is owed to them no longer.",
            warning=by_hand.warning(request, {partner.currency_id: payable}),
        )

    @admin.display(description="Rates")
    def rates_shown(self, partner: Partner) -> str:
        return ", ".join(
            f"{amount_string(step.rate * 100)} %" + (f" from {amount_string(step.at_least)}" if step.at_least else "")
            for step in partners.steps(partner)
        )

    @admin.display(description="Payable now")
    def num_payable(self, partner: Partner) -> SafeString:
        return display.amount(partners.payable(partner, timezone.localdate()), partner.currency_id)

    @admin.display(description="Months")
    def months(self, partner: Partner) -> SafeString | str:
        rows = [
            (
                f"{row.month:%B %Y}",
                display.amount(row.share, partner.currency_id),
                display.amount(row.base, partner.currency_id),
                reverse("admin:billing_partner_paper", args=[partner.pk, row.month.year, row.month.month]),
            )
            for row in partners.statement(partner)
        ]
        if not rows:
            return "None is closed yet"
        listed = format_html_join(
            "", '<div><dt>{}</dt><dd>{} of {} <a class="ante-link" href="{}">PDF</a></dd></div>', rows
        )
        return format_html('<dl class="ante-lines">{}</dl>', listed)

    @admin.display(description="Statement")
    def file(self, partner: Partner) -> SafeString:
        url = reverse("admin:billing_partner_statement", args=[partner.pk])
        return format_html('<a class="ante-link" href="{}">CSV</a>', url)


@admin.register(PartnerCustomer)
class PartnerCustomerAdmin(CustomerMixin, AddOnlyAdmin):
    form = BroughtForm
    list_display = ("customer_link", "partner", "starts_on")
    list_display_links = ("partner",)
    list_select_related = ("partner", "customer")
    search_fields = ("customer__external_id", "partner__name")
    autocomplete_fields = ("partner", "customer")
    ordering = ("-id",)
