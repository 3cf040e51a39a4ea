"""Collecting invoices: charging a kept method when one is due, reminding, and, by the customer's terms, freezing the
wallet.

A charge is a top-up of just what is open, with the tax that the invoice has: noted before the provider is asked, one at
a time for each customer. What is paid is read from the ledger; here is only how far the collecting is.
"""

from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine.money import ZERO
from billing.errors import InvalidState
from billing.models import Collection, Invoice, PaymentAttempt, PaymentMethod, TopUp
from billing.selectors.invoicing import invoices, overdue
from billing.services import one_by_one
from billing.services.funding import attempts, automatic, methods, profiles, quotes, rules, top_ups
from billing.services.funding.attempts import Plan
from billing.services.invoicing import invoices as issuing
from billing.services.invoicing import outcomes
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.wallet import wallets

PURPOSE = PaymentAttempt.Purpose.INVOICE
LEFT_LYING = timedelta(seconds=5)
"""After this the process that was about to send a charge is taken to be gone, and another sends it."""


def run_due() -> None:
    """Bring every open invoice as far as it can be by now. Safe to run twice, and at the same time."""
    one_by_one.each(_left_lying(), attempts.send, what="charge of an invoice")
    one_by_one.each(list(_open().values_list("pk", flat=True)), advance, what="collecting of an invoice")


def advance(collection_id: UUID) -> None:
    """Close the collection of an invoice that is paid; else charge, remind and suspend as the days have gone by."""
    collection = _open().filter(pk=collection_id).first()
    if collection is None:
        return  # Somebody else closed it meanwhile.
    invoice = collection.invoice
    paid = invoices.paid([invoice])[invoice.pk]
    is_asked_for = invoice.due_on <= timezone.localdate()
    if (is_asked_for or invoices.status(invoice, paid) == "paid") and invoices.to_credit(invoice):
        # Its credit note comes first: nobody is asked for the tax on it, and what is used later undoes it no more.
        issuing.issue(invoice.balance, end=timezone.now())
        paid = invoices.paid([invoice])[invoice.pk]
    if invoices.status(invoice, paid) == "paid":
        _close(collection_id)
        return
    begun = _begin(collection_id)
    if begun is not None:
        attempts.send(begun)
        paid = invoices.paid([invoice])[invoice.pk]
        if invoices.status(invoice, paid) == "paid":
            _close(collection_id)
            return
    _remind(collection_id)
    _suspend(collection_id)


# --- Charging ---------------------------------------------------------------------------------------------------------


@retried
def _begin(collection_id: UUID) -> UUID | None:
    """Note a charge of what is open, where one is due and nothing stands against it; returns its attempt."""
    if not settings.INVOICE_COLLECT or not profiles.payable():
        return None
    with transaction.atomic():
        collection = _locked(collection_id)
        customer_id, invoice, now = collection.customer_id, collection.invoice, timezone.now()
        if collection.state != Collection.State.OPEN or not collection.next_try_at or collection.next_try_at > now:
            return None
        if PaymentAttempt.objects.filter(
            customer_id=customer_id, purpose=PURPOSE, status__in=PaymentAttempt.OPEN
        ).exists():
            return None
        method = _method(invoice)
        paid = invoices.paid([invoice])[invoice.pk]
        net, tax = invoices.open_parts(invoice, paid)
        if method is None or net + tax <= 0:
            return None
        collection.tries += 1
        later = settings.INVOICE_TRY_DAYS[collection.tries :]
        collection.next_try_at = max(_on(invoice, int(later[0])), now + timedelta(days=1)) if later else None
        collection.save(update_fields=["tries", "next_try_at"])
        quote = quotes.quote_invoice(currency=invoice.currency, due=max(net, ZERO), tax=max(tax, ZERO))
        plan = Plan(PaymentAttempt.Way.OFF_SESSION, purpose=PURPOSE, method=method)
        top_up = top_ups.create(actor=SYSTEM, customer=invoice.customer, quote=quote, plan=plan, invoice=invoice)
        return top_up.attempt_id


def _method(invoice: Invoice) -> PaymentMethod | None:
    """The card that was kept last, unless banks have said that it is not to be tried again."""
    kept = methods.kept(invoice.customer_id, profiles.payments().mode)
    method = kept.filter(type="card").order_by("-id").first() or kept.order_by("-id").first()
    if method is None or automatic.declined_too_often(method, timezone.now()):
        return None
    last = PaymentAttempt.objects.filter(customer_id=invoice.customer_id, method=method, purpose=PURPOSE).first()
    return None if last is not None and last.failure_code in rules.NO_REPEAT_CURES else method


def _left_lying() -> list[UUID]:
    if not profiles.payable():
        return []
    rows = TopUp.objects.filter(
        attempt__purpose=PURPOSE,
        attempt__status=PaymentAttempt.Status.CREATED,
        attempt__mode=profiles.payments().mode,
        created_at__lte=timezone.now() - LEFT_LYING,
    )
    return list(rows.values_list("attempt_id", flat=True))


# --- Closing, reminding, suspending -----------------------------------------------------------------------------------


@retried
def _close(collection_id: UUID) -> None:
    with transaction.atomic():
        collection = _locked(collection_id)
        paid = invoices.paid([collection.invoice])[collection.invoice_id]
        if invoices.status(collection.invoice, paid) != "paid" or collection.state != Collection.State.OPEN:
            return  # Somebody else closed it, or a bank took back what had paid it.
        if invoices.to_credit(collection.invoice):
            return  # What was given back just now may be what pays it: its credit note comes first.
        outcomes.close(collection, Collection.State.PAID)
        outcomes.tell(collection.invoice, "invoice.paid")


@retried
def _remind(collection_id: UUID) -> None:
    with transaction.atomic():
        collection = _open(lock=True).get(pk=collection_id)
        days, now = [int(day) for day in settings.INVOICE_REMINDER_DAYS], timezone.now()
        due = sum(_on(collection.invoice, day) <= now for day in days)
        reminds = overdue.terms(collection.invoice.customer).reminds
        if collection.state != Collection.State.OPEN or not reminds or due <= collection.reminders:
            return
        collection.reminders = due
        collection.save(update_fields=["reminders"])
        outcomes.tell(collection.invoice, "invoice.overdue", notice=True)


@retried
def _suspend(collection_id: UUID) -> None:
    """Freeze the wallet where the customer's terms say so by now, and unfreeze it where they say so no longer.

    What freezes it and the note that this did are one transaction: what froze it is what unfreezes it.
    """
    seen = _open().filter(pk=collection_id).first()
    if seen is None or seen.froze == _is_to_suspend(seen.invoice):
        return
    with transaction.atomic():
        collection = _locked(collection_id)
        invoice = collection.invoice
        suspends = _is_to_suspend(invoice)
        if collection.state != Collection.State.OPEN or collection.froze == suspends:
            return
        if suspends:
            try:
                wallets.freeze(actor=SYSTEM, customer=invoice.customer, reason=f"{outcomes.FROZEN}{invoice.number}")
            except InvalidState:
                return  # Somebody else froze it, and is to unfreeze it.
        else:
            outcomes.thaw(collection, "Overdue invoices do not suspend this customer any longer")
        collection.froze = suspends
        collection.save(update_fields=["froze"])


def _is_to_suspend(invoice: Invoice) -> bool:
    day = overdue.suspends_on(invoice)
    return day is not None and day <= timezone.localdate()


def _locked(collection_id: UUID) -> Collection:
    """The collection, locked after its customer's wallet."""
    customer_id = Collection.objects.values_list("customer_id", flat=True).get(pk=collection_id)
    Journal.open([customer_id]).write()
    return _open(lock=True).get(pk=collection_id)


def _open(*, lock: bool = False) -> QuerySet[Collection]:
    rows = Collection.objects.select_for_update(of=("self",)) if lock else Collection.objects.filter(state="open")
    return rows.select_related("invoice__customer", "invoice__currency")


def _on(invoice: Invoice, day: int) -> datetime:
    """When the day begins that is so many days after the invoice is due, in the operator's zone."""
    return datetime.combine(invoice.due_on + timedelta(days=day), time.min, tzinfo=ZoneInfo(settings.TIME_ZONE))
