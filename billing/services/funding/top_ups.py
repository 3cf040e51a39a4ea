"""Top-ups: asked for by a person, paid at the provider, credited when the money is in."""

from uuid import UUID

from django.db import transaction

from accounts.services import audit
from billing.engine.money import amount_string
from billing.errors import PaymentsUnavailable
from billing.models import Customer, Invoice, PaymentAttempt, TopUp
from billing.services.funding import attempts
from billing.services.funding.attempts import Plan
from billing.services.funding.quotes import Quote


def create(
    *, actor: audit.Actor, customer: Customer, quote: Quote, plan: Plan, invoice: Invoice | None = None
) -> TopUp:
    """A top-up and its attempt, which nobody has been asked to pay yet: ``start`` does that, after the commit.

    ``invoice``: the one that it is to pay.
    """
    with transaction.atomic():
        attempt = attempts.begin(customer=customer, total=quote.total, currency=quote.currency, plan=plan)
        checkout = plan.way == PaymentAttempt.Way.CHECKOUT
        top_up = TopUp.objects.create(
            customer=customer,
            attempt=attempt,
            status=TopUp.Status.REQUIRES_ACTION if checkout else TopUp.Status.PROCESSING,
            amount=quote.amount,
            currency=quote.currency,
            fee=quote.fee,
            tax=quote.tax,
            asset=quote.asset,
            credit=quote.credit,
            bonus=quote.bonus,
            rate=quote.rate,
            pack=quote.pack,
            tax_included=quote.tax_included,
            invoice=invoice,
        )
        audit.record(
            actor=actor,
            action="top_up.created",
            object_type="top_up",
            object_id=str(top_up.pk),
            organization_id=customer.organization_id,
            after={
                "customer": customer.external_id,
                "amount": amount_string(quote.amount),
                "currency": quote.currency.pk.upper(),
                "total": amount_string(quote.total),
                "way": plan.way,
            },
        )
    return top_up


def start(top_up_id: UUID) -> TopUp:
    """Ask the provider, and return the top-up as it is then. Asked again it goes on where it was. Not in a transaction.

    Raises ``PaymentsUnavailable`` where there is no page to pay on because the provider could not be reached: nothing
    can have been paid, and the same may be asked again.
    """
    found = TopUp.objects.get(pk=top_up_id)
    attempts.send(found.attempt_id)
    top_up = TopUp.objects.select_related("attempt", "customer").get(pk=top_up_id)
    attempt = top_up.attempt
    nowhere = attempt.way == PaymentAttempt.Way.CHECKOUT and attempt.status in {
        PaymentAttempt.Status.CREATED,
        PaymentAttempt.Status.SENT,
        PaymentAttempt.Status.UNKNOWN,
    }
    if nowhere:
        raise PaymentsUnavailable("The payment provider does not answer. Nothing was paid; try again in a minute.")
    return top_up
