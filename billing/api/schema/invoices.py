"""Operations on invoices."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as rest

from billing.api.fields import AmountField, MomentField
from billing.api.schema import shapes
from billing.engine.taxes import TREATMENTS


class InvoiceLineShape(rest.Serializer[Any]):
    kind = rest.ChoiceField(["usage", "fee", "discount", "adjustment", "chargeback"])
    product = rest.CharField(allow_null=True)
    section = rest.CharField(allow_null=True, help_text="The heading that its meter belongs under.")
    description = rest.CharField()
    quantity = AmountField(allow_null=True)
    unit = rest.CharField(allow_blank=True)
    unit_amount = AmountField(allow_null=True, help_text="What `per` of them cost, where there is one such rate.")
    per = AmountField(allow_null=True)
    metadata = rest.DictField(help_text="Of the events, as far as the operator has it on invoices.")
    amount = AmountField()
    exact = AmountField()


class InvoiceTaxShape(rest.Serializer[Any]):
    name = rest.CharField()
    rate = AmountField()
    amount = AmountField()


class InvoiceShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    number = rest.CharField()
    kind = rest.ChoiceField(["invoice", "credit_note"])
    status = rest.ChoiceField(["open", "partly_paid", "paid", "uncollectible", "voiding", "void", "issued"])
    overdue = rest.BooleanField(help_text="Something is open after the day on which it was due.")
    customer = rest.CharField()
    voids = rest.CharField(allow_null=True, help_text="Of a credit note: the invoice that it takes back as a whole.")
    voided_by = rest.CharField(allow_null=True, help_text="Of an invoice: that credit note.")
    currency = rest.CharField()
    period_start = MomentField()
    period_end = MomentField()
    total = AmountField()
    prepaid = AmountField()
    due = AmountField()
    tax = AmountField(help_text="On top of what is due.")
    tax_base = AmountField(help_text="What it is on: of what is due, what was not paid when it was issued.")
    tax_treatment = rest.ChoiceField(list(TREATMENTS))
    payable = AmountField(help_text="What is due with its tax.")
    paid = AmountField(help_text="Of what is payable.")
    outstanding = AmountField()
    due_on = rest.DateField()
    issued_at = MomentField()
    taxes = InvoiceTaxShape(many=True)
    lines = InvoiceLineShape(many=True)


INVOICES = extend_schema(
    operation_id="list_invoices",
    summary="List invoices and credit notes",
    tags=["Finance"],
    responses={200: shapes.listed(InvoiceShape)},
    parameters=[shapes.CUSTOMER, *shapes.CURSOR],
)
INVOICE = extend_schema(
    operation_id="get_invoice",
    summary="An invoice with its lines, and what of it is paid",
    tags=["Finance"],
    responses={200: InvoiceShape},
)
INVOICE_PDF = extend_schema(
    operation_id="get_invoice_pdf",
    summary="The invoice as PDF",
    tags=["Finance"],
    responses={(200, "application/pdf"): OpenApiTypes.BINARY},
)
