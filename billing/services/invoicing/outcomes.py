"""How the collecting of an invoice ends, and that it begins anew where what had paid it was taken back.

All of it in the caller's transaction, with the wallet locked, and then the row.
"""

import logging
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine.money import amount_string
from billing.errors import InvalidState
from billing.models import Collection, Invoice, Wallet
from billing.selectors.invoicing import invoices
from billing.services import notices, outbox
from billing.services.ledger import bulk
from billing.services.wallet import wallets

logger = logging.getLogger(__name__)

State = Collection.State

FROZEN = "An invoice is overdue: "
"""How the reason begins of a wallet that was frozen because of one."""


def close(collection: Collection, state: str, reason: str = "") -> None:
    """Note how it ended, and unfreeze what it froze."""
    if collection.froze:
        thaw(collection, "The invoices are paid")
    collection.state, collection.closed_at, collection.next_try_at = state, timezone.now(), None
    collection.reason, collection.froze = reason[:500], False
    collection.save(update_fields=["state", "closed_at", "next_try_at", "reason", "froze"])


def thaw(collection: Collection, reason: str) -> None:
    """Unfreeze the wallet that this froze, unless another that has not ended did so too."""
    unsettled = Collection.objects.filter(customer_id=collection.customer_id, state__in=Collection.UNSETTLED)
    if unsettled.filter(froze=True).exclude(pk=collection.pk).exists():
        return
    wallet = Wallet.objects.get(customer_id=collection.customer_id)
    if wallet.frozen_at is not None and wallet.frozen_reason.startswith(FROZEN):
        try:
            wallets.unfreeze(actor=SYSTEM, customer=collection.invoice.customer, reason=reason)
        except InvalidState:
            logger.info("The wallet of %s was unfrozen already", collection.customer_id)


def reopen(customer_id: UUID, currency: str) -> None:
    """Collect again what had been paid of the customer's invoices in the currency, and whose tax is open now.

    Nothing is charged for it by itself any more: whoever paid has taken it back. One that is being voided is left as it
    is: where it is not voided after all, this is asked again.
    """
    rows = Collection.objects.select_for_update(of=("self",)).select_related("invoice__customer")
    ended = rows.filter(customer_id=customer_id, invoice__currency_id=currency, state=State.PAID)
    closed = list(ended.order_by("invoice__first_seq"))
    paid = invoices.paid([collection.invoice for collection in closed])
    for collection in closed:
        _, tax = invoices.open_parts(collection.invoice, paid[collection.invoice_id])
        if tax <= 0:
            continue
        collection.state, collection.closed_at = State.OPEN, None
        collection.save(update_fields=["state", "closed_at"])
        tell(collection.invoice, "invoice.reopened")


def tell(invoice: Invoice, kind: str, *, notice: bool = False) -> None:
    """Say by webhook how an invoice stands now, and with ``notice`` to its customer's people as well."""
    paid = invoices.paid([invoice])[invoice.pk]
    facts = {
        "invoice": str(invoice.pk),
        "number": invoice.number,
        "currency": invoice.currency_id.upper(),
        "payable": amount_string(invoice.payable),
        "outstanding": amount_string(invoices.outstanding(invoice, paid)),
        "due_on": invoice.due_on.isoformat(),
        "url": f"{settings.BASE_URL}/invoices/{invoice.pk}",
    }
    told = [notices.Told(invoice.customer_id, kind, facts)] if notice else []
    now = timezone.now()
    bulk.run(
        outbox.publication([outbox.Message(kind, invoice.customer_id, facts)], now=now),
        notices.publication(told, now=now),
    )
