"""``/invoices``: what customers owe, put on paper."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pace, pagination
from billing.api.authentication import principal
from billing.api.fields import amount_or_none, moment_string
from billing.api.schema import invoices as schema
from billing.engine.money import amount_string
from billing.models import Invoice
from billing.selectors.invoicing import invoices, sections
from billing.services.invoicing import documents


class InvoicesView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "invoices:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", *base.PAGE)}

    @schema.INVOICES
    def get(self, request: Request) -> Response:
        rows = Invoice.objects.select_related("customer", "collection", "voids", "voided_by").prefetch_related(
            "lines", "taxes"
        )
        rows = access.listed(rows, principal=principal(request), external_id=base.text(request, "customer"))
        page = pagination.page(request, rows, lambda invoice: invoice)
        paid = invoices.paid(page["data"])
        named = sections.names()
        page["data"] = [show(invoice, paid[invoice.pk], named) for invoice in page["data"]]
        return Response(page)


class InvoiceView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "invoices:read"}

    @schema.INVOICE
    def get(self, request: Request, invoice_id: UUID) -> Response:
        invoice = access.invoice(principal=principal(request), invoice_id=invoice_id)
        return Response(show(invoice, invoices.paid([invoice])[invoice.pk], sections.names()))


class InvoicePdfView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "invoices:read"}

    @schema.INVOICE_PDF
    def get(self, request: Request, invoice_id: UUID) -> HttpResponse:
        invoice = access.invoice(principal=principal(request), invoice_id=invoice_id)
        pace.buckets.spend_more(principal(request).organization_id, pace.CALLS_PER_PAPER - 1)
        return HttpResponse(
            documents.invoice_pdf(invoice),
            content_type="application/pdf",
            headers={"Content-Disposition": f'attachment; filename="{invoice.number}.pdf"'},
        )


def show(invoice: Invoice, paid: invoices.Paid, named: Mapping[str, str]) -> dict[str, Any]:
    """An invoice as the API gives it; ``named`` are the sections of its meters."""
    return {
        "id": invoice.pk,
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoices.status(invoice, paid),
        "overdue": invoices.overdue(invoice, paid),
        "customer": invoice.customer.external_id,
        "voids": invoice.voids.number if invoice.voids else None,
        "voided_by": invoice.voided_by.number if hasattr(invoice, "voided_by") else None,
        "currency": invoice.currency_id.upper(),
        "period_start": moment_string(invoice.period_start),
        "period_end": moment_string(invoice.period_end),
        "total": amount_string(invoice.total),
        "prepaid": amount_string(invoice.prepaid),
        "due": amount_string(invoice.due),
        "tax": amount_string(invoice.tax),
        "tax_base": amount_string(invoice.tax_base),
        "tax_treatment": invoice.tax_treatment,
        "payable": amount_string(invoice.payable),
        "paid": amount_string(paid.total),
        "outstanding": amount_string(invoices.outstanding(invoice, paid)) if invoice.due > 0 else "0",
        "due_on": invoice.due_on.isoformat(),
        "issued_at": moment_string(invoice.issued_at),
        "taxes": [
            {"name": tax.name, "rate": amount_string(tax.rate), "amount": amount_string(tax.amount)}
            for tax in invoice.taxes.all()
        ],
        "lines": [
            {
                "kind": line.kind,
                "product": line.product or None,
                "section": sections.of_line(line, named) or None,
                "description": line.description,
                "quantity": amount_or_none(line.quantity),
                "unit": line.unit,
                "unit_amount": amount_or_none(line.unit_amount),
                "per": amount_or_none(line.per),
                "metadata": line.metadata,
                "amount": amount_string(line.amount),
                "exact": amount_string(line.exact),
            }
            for line in invoice.lines.all()
        ],
    }
