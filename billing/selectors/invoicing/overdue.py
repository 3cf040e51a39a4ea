"""What an invoice does that is not paid when it is due: by the customer's own terms, else by the operator's."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings

from billing.models import Customer, Invoice

Action = Customer.OverdueAction


@dataclass(frozen=True, slots=True)
class Terms:
    """``reminds``: whether notices are sent. ``grace_days``: how many whole days after the due day usage goes on; None
    where it always does."""

    reminds: bool
    grace_days: int | None


def terms(customer: Customer) -> Terms:
    """What holds for the customer now. The operator's are ``INVOICE_OVERDUE_ACTION`` and ``INVOICE_GRACE_DAYS``."""
    own, days = customer.overdue_action, customer.overdue_grace_days
    action = settings.INVOICE_OVERDUE_ACTION if own == Action.DEFAULT else own
    grace = settings.INVOICE_GRACE_DAYS if days is None else days
    return Terms(action != Action.NOTHING, grace if action == Action.SUSPEND else None)


def suspends_on(invoice: Invoice) -> date | None:
    """The first day on which usage stops because the invoice is open; None where it never does."""
    grace = terms(invoice.customer).grace_days
    return None if grace is None else invoice.due_on + timedelta(days=grace + 1)
