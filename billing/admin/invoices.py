"""Invoices and credit notes: seen, and taken along as PDF. They are made from the ledger, by nobody's hand."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, labelled
from billing.admin import display, lookup
from billing.models import Invoice
from billing.selectors import invoices
from billing.services import documents

_TONES = {"paid": "success", "partly paid": "info", "open": "warning", "credit note": ""}


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("number", "customer_link", "kind", "num_total", "num_prepaid", "num_due", "due_on", "pdf")
    list_display_links = ("number",)
    list_filter = (("customer", AutocompleteSelectFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("customer",)
    search_fields = ("number", "customer__external_id")
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        *("number", "kind", "customer_link", "status_shown", "period", "issued", "due_on"),
        *("lines_shown", "num_total", "num_prepaid", "num_due", "entries", "pdf"),
    )

    def get_urls(self) -> list[Any]:
        own = path("<uuid:invoice_id>/pdf/", self.admin_site.admin_view(self.download), name="billing_invoice_pdf")
        urls: list[Any] = super().get_urls()
        return [own, *urls]

    def download(self, request: HttpRequest, invoice_id: Any) -> HttpResponse:
        """The PDF."""
        invoice = lookup.row(Invoice, str(invoice_id))
        if not self.has_view_permission(request, invoice):
            return HttpResponse(status=403)
        return HttpResponse(
            documents.invoice_pdf(invoice),
            content_type="application/pdf",
            headers={"Content-Disposition": f'attachment; filename="{invoice.number}.pdf"'},
        )

    @admin.display(description="Customer")
    def customer_link(self, invoice: Invoice) -> SafeString:
        return display.link(invoice.customer)

    @labelled(description="Status", label=_TONES)
    def status_shown(self, invoice: Invoice) -> str:
        if invoice.kind == Invoice.Kind.CREDIT_NOTE:
            return "credit note"
        return invoices.status(invoice, invoices.paid([invoice])[invoice.pk]).replace("_", " ")

    @admin.display(description="Total")
    def num_total(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.total, invoice.currency_id)

    @admin.display(description="Paid from the wallet")
    def num_prepaid(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.prepaid, invoice.currency_id)

    @admin.display(description="Due")
    def num_due(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.due, invoice.currency_id)

    @admin.display(description="Issued")
    def issued(self, invoice: Invoice) -> SafeString:
        return display.moment(invoice.issued_at)

    @admin.display(description="Period")
    def period(self, invoice: Invoice) -> SafeString:
        return format_html("{} – {}", display.moment(invoice.period_start), display.moment(invoice.period_end))

    @admin.display(description="Ledger entries")
    def entries(self, invoice: Invoice) -> SafeString:
        return format_html("{} to {} of {}", invoice.first_seq, invoice.last_seq, display.link(invoice.balance))

    @admin.display(description="Lines")
    def lines_shown(self, invoice: Invoice) -> SafeString:
        rows = [
            (line.description, display.amount(line.amount, invoice.currency_id))
            for line in invoice.lines.order_by("position")
        ]
        listed = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows)
        return format_html('<dl class="ante-lines">{}</dl>', listed)

    @admin.display(description="PDF")
    def pdf(self, invoice: Invoice) -> SafeString:
        return format_html(
            '<a class="ante-link" href="{}">PDF</a>', reverse("admin:billing_invoice_pdf", args=[invoice.pk])
        )
