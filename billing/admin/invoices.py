"""Invoices and credit notes: seen, and taken along as PDF. They are made from the ledger, by nobody's hand."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from billing.admin import by_hand, confirm, display, lookup
from billing.admin.amounts import AmountField
from billing.admin.base import CustomerMixin
from billing.engine.money import ZERO, amount_string
from billing.engine.taxes import TREATMENTS
from billing.models import Approval, Collection, Invoice, InvoiceLine
from billing.selectors.invoicing import invoices, overdue
from billing.services import approvals
from billing.services.invoicing import documents

_TONES = {
    "paid": "success",
    "partly paid": "info",
    "open": "warning",
    "uncollectible": "danger",
    "overdue": "danger",
    "voiding": "info",
    "void": "",
    "credit note": "",
}


@admin.register(Invoice)
class InvoiceAdmin(CustomerMixin, ReadOnlyAdmin):
    list_display = (
        "number",
        "customer_link",
        "kind",
        "num_total",
        "num_due",
        "num_tax",
        "num_payable",
        "due_on",
        "pdf",
    )
    list_display_links = ("number",)
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("kind", ChoicesDropdownFilter),
        ("collection__state", ChoicesDropdownFilter),
    )
    list_select_related = ("customer", "collection")
    search_fields = ("number", "customer__external_id")
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("record_payment", "write_off", "void")
    fields = (
        *("number", "kind", "customer_link", "status_shown", "why", "void_shown", "period", "issued", "due_on"),
        "overdue_shown",
        *(
            "lines_shown",
            "num_total",
            "num_prepaid",
            "num_due",
            "taxes_shown",
            "num_payable",
            "num_paid",
            "entries",
            "pdf",
        ),
    )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Invoice | None:
        """With what its page shows several times, so that it is read once."""
        invoice: Invoice | None = super().get_object(request, object_id, from_field)
        if invoice is not None:
            prefetch_related_objects([invoice], "customer", "collection", "balance", "lines", "taxes")
        return invoice

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

    def has_void_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Of what was given up, is void, or takes something back, nothing can be paid, given up or taken back."""
        key = lookup.as_uuid(str(object_id))
        if key is None or not request.user.has_perm("billing.add_invoicepayment"):
            return False
        collected = Collection.objects.filter(invoice_id=key)
        return collected.filter(state__in=[Collection.State.OPEN, Collection.State.PAID]).exists()

    has_record_payment_permission = has_write_off_permission = has_void_permission

    @detail_action(description="Record a payment", url_path="paid", icon="payments", permissions=["record_payment"])
    def record_payment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = lookup.row(Invoice.objects.select_related("customer", "collection"), object_id)
        return confirm.view(
            self,
            request,
            obj=invoice,
            question="This came in for the invoice by bank",
            figure=_open_amount(invoice),
            lines=_lines(invoice),
            button="Record the payment",
            fields={
                "amount": AmountField(required=True, help_text="With its tax."),
                "reference": forms.CharField(
                    max_length=100, widget=UnfoldAdminTextInputWidget, help_text="The bank's, so that it is noted once."
                ),
            },
            run=lambda reason, amount, reference: _by_hand(
                request,
                Approval.Kind.INVOICE_PAYMENT,
                invoice,
                reason,
                amount=amount_string(amount),
                reference=reference,
            ),
            done="Noted. It has paid what was owed.",
            warning=by_hand.warning(request, {invoice.currency_id: _open_sum(invoice)}),
        )

    @detail_action(description="Write off", url_path="write-off", icon="money_off", permissions=["write_off"])
    def write_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = lookup.row(Invoice.objects.select_related("customer", "collection"), object_id)
        return confirm.view(
            self,
            request,
            obj=invoice,
            question="What is open of this invoice is to be given up",
            figure=_open_amount(invoice),
            lines=_lines(invoice),
            button="Write off",
            run=lambda reason: _by_hand(request, Approval.Kind.WRITE_OFF, invoice, reason),
            done="It is written off. Its tax is owed to the office no longer.",
            warning=by_hand.warning(request, {invoice.currency_id: _open_sum(invoice)}),
        )

    @detail_action(description="Void", url_path="void", icon="block", permissions=["void"])
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = lookup.row(Invoice.objects.select_related("customer", "collection", "balance"), object_id)
        return confirm.view(
            self,
            request,
            obj=invoice,
            question="This invoice should not have been issued: all that was due of it is credited",
            figure=display.figure(invoice.payable, invoice.currency_id),
            lines=_lines(invoice),
            button="Void the invoice",
            run=lambda reason: _by_hand(request, Approval.Kind.INVOICE_VOID, invoice, reason),
            done="It is void as soon as its credit note is there: at once, or when the tax can be found out.",
            warning=by_hand.warning(request, {invoice.currency_id: invoice.payable}),
            note="Its number stays. What else is owed is invoiced at the same time.",
        )

    @labelled(description="Status", label=_TONES)
    def status_shown(self, invoice: Invoice) -> str:
        if invoice.kind == Invoice.Kind.CREDIT_NOTE:
            return "credit note"
        if invoices.overdue(invoice, _so_far(invoice)):
            return "overdue"
        return invoices.status(invoice, _so_far(invoice)).replace("_", " ")

    @admin.display(description="Total")
    def num_total(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.total, invoice.currency_id)

    @admin.display(description="Paid from the wallet")
    def num_prepaid(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.prepaid, invoice.currency_id)

    @admin.display(description="Due")
    def num_due(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.due, invoice.currency_id)

    @admin.display(description="Tax")
    def num_tax(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.tax, invoice.currency_id)

    @admin.display(description="Tax")
    def taxes_shown(self, invoice: Invoice) -> SafeString | str:
        rows = [
            (f"{tax.name} {amount_string(tax.rate * 100)} %", display.amount(tax.amount, invoice.currency_id))
            for tax in invoice.taxes.all()
        ]
        if not rows:
            return TREATMENTS[invoice.tax_treatment]
        listed = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows)
        return format_html('<dl class="ante-lines">{}</dl>', listed)

    @admin.display(description="Payable")
    def num_payable(self, invoice: Invoice) -> SafeString:
        return display.amount(invoice.payable, invoice.currency_id)

    @admin.display(description="Paid since")
    def num_paid(self, invoice: Invoice) -> SafeString:
        return display.amount(_so_far(invoice).total, invoice.currency_id)

    @admin.display(description="Issued")
    def issued(self, invoice: Invoice) -> SafeString:
        return display.moment(invoice.issued_at)

    @admin.display(description="Period")
    def period(self, invoice: Invoice) -> SafeString:
        return format_html("{} – {}", display.moment(invoice.period_start), display.moment(invoice.period_end))

    @admin.display(description="Ledger entries")
    def entries(self, invoice: Invoice) -> SafeString:
        return format_html("{} to {} of {}", invoice.first_seq, invoice.last_seq, display.link(invoice.balance))

    @admin.display(description="Void")
    def void_shown(self, invoice: Invoice) -> SafeString:
        return display.link(invoice.voids or getattr(invoice, "voided_by", None))

    @admin.display(description="Because")
    def why(self, invoice: Invoice) -> str:
        return (invoice.collection.reason if invoice.kind == Invoice.Kind.INVOICE else "") or "–"

    @admin.display(description="If it is overdue")
    def overdue_shown(self, invoice: Invoice) -> str:
        if invoice.kind == Invoice.Kind.CREDIT_NOTE:
            return "–"
        day, reminds = overdue.suspends_on(invoice), overdue.terms(invoice.customer).reminds
        if day is not None:
            return f"Reminders, and from {day} on nothing may be used"
        return "Reminders" if reminds else "Nothing"

    @admin.display(description="Lines")
    def lines_shown(self, invoice: Invoice) -> SafeString:
        rows = [(_titled(line), display.amount(line.amount, invoice.currency_id)) for line in invoice.lines.all()]
        listed = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows)
        return format_html('<dl class="ante-lines">{}</dl>', listed)

    @admin.display(description="PDF")
    def pdf(self, invoice: Invoice) -> SafeString:
        return format_html(
            '<a class="ante-link" href="{}">PDF</a>', reverse("admin:billing_invoice_pdf", args=[invoice.pk])
        )


def _titled(line: InvoiceLine) -> str:
    """With its quantity and rate."""
    if line.quantity is None:
        return line.description
    many = f"{line.description}: {amount_string(line.quantity)} {line.unit}".rstrip()
    if line.unit_amount is None or line.per is None:
        return many
    return f"{many} at {amount_string(line.unit_amount)} per {amount_string(line.per)}"


def _so_far(invoice: Invoice) -> invoices.Paid:
    """What is paid of it: read once, though its page shows it several times."""
    kept = invoice.__dict__
    if "so_far" not in kept:
        kept["so_far"] = invoices.paid([invoice])[invoice.pk]
    found: invoices.Paid = kept["so_far"]
    return found


def _open_sum(invoice: Invoice) -> Decimal:
    return max(ZERO, invoices.outstanding(invoice, _so_far(invoice)))


def _open_amount(invoice: Invoice) -> str:
    return display.figure(_open_sum(invoice), invoice.currency_id)


def _by_hand(request: HttpRequest, kind: str, invoice: Invoice, reason: str, **terms: str) -> Approval | None:
    return approvals.perform(
        actor=actor_of(request),
        kind=kind,
        customer=invoice.customer,
        terms={"invoice": str(invoice.pk), "number": invoice.number, **terms},
        reason=reason,
    )


def _lines(invoice: Invoice) -> list[tuple[str, object]]:
    return [
        ("Customer", invoice.customer.name),
        ("Payable", display.amount(invoice.payable, invoice.currency_id)),
        ("Due on", invoice.due_on),
    ]
