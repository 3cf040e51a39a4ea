"""Invoices and credit notes: what was owed for a period, what the wallet had paid of it, and the paper."""

from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from billing.engine.taxes import EXEMPT, REVERSE_CHARGE, TREATMENTS
from billing.models import Invoice
from billing.selectors.invoicing import invoices as figures
from billing.selectors.invoicing import overdue, sections
from billing.services.invoicing import documents
from portal import access, downloads
from portal.tables import Column, Filter, Table

PAPERS = Table(
    "invoices",
    columns=[
        Column("number", _("Number"), by="number"),
        Column("issued", _("Issued"), by="issued_at"),
        Column("state", _("State")),
        Column("due", _("Due"), by="asked_for", number=True),
        Column("paper", _("Paper"), number=True),
    ],
    usual="-issued",
    anchor="papers",
    filters=[Filter("kind", _("Kind"), Invoice.Kind.choices), Filter("number", _("Number"), search=True)],
)


@require_GET
@access.signed_in
@access.requires("invoices:read")
def invoices(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The customer's invoices and credit notes."""
    own = Invoice.objects.filter(customer=visit.customer).annotate(asked_for=F("due") + F("tax"))
    table = PAPERS.page(request, own.select_related("collection"))
    paid = figures.paid(table.rows)
    return access.render_for(
        request,
        visit,
        "portal/invoices.html",
        table=table,
        rows=[
            (invoice, figures.status(invoice, paid[invoice.pk]), figures.overdue(invoice, paid[invoice.pk]))
            for invoice in table.rows
        ],
    )


@require_GET
@access.signed_in
@access.requires("invoices:read")
def invoice(request: HttpRequest, visit: access.Visit, invoice_id: UUID) -> HttpResponse:
    """One of them: its lines, what was paid from the wallet already, and what has come in since."""
    found = _own(visit, invoice_id)
    paid = figures.paid([found])[found.pk]
    state = figures.status(found, paid)
    return access.render_for(
        request,
        visit,
        "portal/invoice.html",
        invoice=found,
        sections=sections.of_lines(found.lines.order_by("position")),
        state=state,
        suspends_on=overdue.suspends_on(found) if state in {"open", "partly_paid"} else None,
        late=figures.overdue(found, paid),
        paid=paid.total,
        outstanding=figures.outstanding(found, paid),
        less=found.prepaid.copy_negate(),
        payable=found.payable if found.kind == Invoice.Kind.INVOICE else found.payable.copy_abs(),
        note=settings.INVOICE_NOTE,
        taxes=found.taxes.order_by("position"),
        treatment=gettext(TREATMENTS[found.tax_treatment]) if found.tax_treatment in {REVERSE_CHARGE, EXEMPT} else "",
    )


@require_GET
@access.signed_in
@access.requires("invoices:read")
def invoice_pdf(request: HttpRequest, visit: access.Visit, invoice_id: UUID) -> HttpResponse:
    """The paper."""
    found = _own(visit, invoice_id)
    return downloads.pdf(f"{found.number}.pdf", documents.invoice_pdf(found))


def _own(visit: access.Visit, invoice_id: UUID) -> Invoice:
    found = Invoice.objects.filter(pk=invoice_id, customer=visit.customer).first()
    if found is None:
        raise Http404
    return found
