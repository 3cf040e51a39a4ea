"""Operations on invoices."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as rest

from billing.api.fields import AmountField, MomentField
from billing.api.schema import shapes


class InvoiceLineShape(rest.Serializer[Any]):
    kind = rest.ChoiceField(["usage", "fee", "adjustment", "chargeback"])
    product = rest.CharField(allow_null=True)
    description = rest.CharField()
    quantity = AmountField(allow_null=True)
    unit = rest.CharField(allow_blank=True)
    amount = AmountField()
    exact = AmountField()


class InvoiceShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    number = rest.CharField()
    kind = rest.ChoiceField(["invoice", "credit_note"])
    status = rest.ChoiceField(["open", "partly_paid", "paid", "issued"])
    customer = rest.CharField()
    currency = rest.CharField()
    period_start = MomentField()
    period_end = MomentField()
    total = AmountField()
    prepaid = AmountField()
    due = AmountField()
    paid = AmountField()
    outstanding = AmountField()
    due_on = rest.DateField()
    issued_at = MomentField()
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
