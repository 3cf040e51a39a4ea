"""Asking the provider for a payment: the same question, word for word, however often it is asked."""

from decimal import Decimal

from billing.engine.money import ZERO
from billing.gateways.payments import Line, Order, Payment
from billing.models import AutoTopUp, PaymentAttempt, TopUp
from billing.selectors.invoicing import invoices
from billing.services.funding import crediting, profiles, quotes


def ask(attempt: PaymentAttempt) -> Payment:
    """Ask for the payment under the attempt's own key, so that the provider does it once. Not in a transaction.

    ``attempt`` comes with its method. Raises ``Unreachable`` where nothing is known of it then, and ``Refused``.
    """
    gateway, order = profiles.payments(), _order(attempt)
    if attempt.way == PaymentAttempt.Way.CHECKOUT:
        return gateway.open_checkout(order)
    assert attempt.method is not None
    off_session = attempt.way == PaymentAttempt.Way.OFF_SESSION
    return gateway.charge(order, method_id=attempt.method.provider_id, off_session=off_session)


def is_wanted(attempt: PaymentAttempt) -> bool:
    """Whether it may be asked for still: what an order bought by itself no more, once that is off or suspended, and
    what an invoice asked for only while that much of it is open."""
    if attempt.purpose == PaymentAttempt.Purpose.INVOICE:
        invoice = TopUp.objects.select_related("invoice__collection").get(attempt=attempt).invoice
        assert invoice is not None
        outstanding = invoices.outstanding(invoice, invoices.paid([invoice])[invoice.pk])
        amount: Decimal = attempt.amount
        return amount <= quotes.quote_invoice(currency=attempt.currency, due=outstanding, tax=ZERO).total
    if attempt.purpose not in AutoTopUp.Purpose.values:
        return True
    rules = AutoTopUp.objects.filter(customer_id=attempt.customer_id, purpose=attempt.purpose)
    return rules.filter(enabled=True, state=AutoTopUp.State.ARMED, customer__wallet__frozen_at=None).exists()


def _order(attempt: PaymentAttempt) -> Order:
    top_up = TopUp.objects.select_related("pack", "asset", "invoice").get(attempt=attempt)
    lines = [Line(crediting.title(top_up), top_up.amount)] if top_up.amount else []
    lines += [Line("Payment fee", top_up.fee)] if top_up.fee else []
    lines += [Line("Tax", top_up.tax)] if top_up.tax else []
    return Order(
        reference=str(attempt.pk),
        key=f"attempt-{attempt.pk}",
        customer_id=attempt.provider_customer_id,
        currency=attempt.currency_id,
        lines=lines,
        return_url=attempt.return_url,
        cancel_url=attempt.cancel_url or attempt.return_url,
        expires_at=attempt.expires_at if attempt.way == PaymentAttempt.Way.CHECKOUT else None,
        keep_method=attempt.keep_method,
    )
