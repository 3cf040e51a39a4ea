"""What the sample customers pay by card, at the pages of the payment provider's stand-in, as a visitor would.

So the back office has what finance people look after: a payment that is in part paid back, one that its bank wants
back, a kept card that is declined, and a grant that waits for a second person. All of it once, after the first start.
"""

import http.client
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist

from accounts.models import User
from accounts.services.audit import SYSTEM, Actor
from billing.demo.catalog import IMAGE_CREDITS
from billing.errors import BillingError
from billing.models import Approval, Customer, PaymentAttempt, TopUp
from billing.services import approvals
from billing.services.funding import attempts, methods, profiles, quotes, refunds, rules, top_ups

PAYS, DECLINED_LATER = "4242424242424242", "4000000000000341"
"""Stripe's numbers for tests: one that pays, and one that can be kept and is declined when it is charged."""
MAKER = "finance@ante.test"
PATIENCE_SECONDS = 30.0


def once(say: Callable[[str], object]) -> None:
    """Pay, where the payments go to the stand-in and nobody has paid anything yet."""
    if not profiles.payable() or profiles.payments().mode != "stand-in" or PaymentAttempt.objects.exists():
        return
    _wait_for_the_stand_in()
    for step in (_ask_for_a_grant, _pay_and_get_a_part_back, _pay_and_dispute, _keep_a_card_that_is_declined):
        try:
            step()
        except (BillingError, ObjectDoesNotExist, OSError, http.client.HTTPException) as trouble:
            say(f"A sample payment was left out: {trouble}")


def _ask_for_a_grant() -> None:
    if Approval.objects.exists():
        return
    approvals.perform(
        actor=Actor.of_user(User.objects.get(email=MAKER), ip_address=None, request_id=""),
        kind=Approval.Kind.GRANT,
        customer=_customer("example-labs"),
        terms={"asset": IMAGE_CREDITS, "amount": "2000", "kind": "promotional", "expires_at": None, "name": "Goodwill"},
        reason="Images came late for two days.",
    )


def _pay_and_get_a_part_back() -> None:
    top_up = _pay("acme", "50")
    refund = refunds.create(actor=SYSTEM, top_up=top_up, amount=Decimal(10), reason="More than was needed.")
    refunds.start(refund.pk)


def _pay_and_dispute() -> None:
    top_up = _pay("northwind", "25")
    _post(f"{settings.STRIPE_API_BASE}/_control/dispute/{top_up.attempt.payment_id}", {})


def _keep_a_card_that_is_declined() -> None:
    """The worker charges it, for what is left is below the threshold."""
    customer = _customer("sample-clinic")
    profile = profiles.ensure(customer)
    _fill_in(methods.open_setup(customer=customer, return_url=settings.BASE_URL, cancel_url=""), DECLINED_LATER)
    methods.sync(profile.pk)
    rule = rules.Order(asset=customer.currency, threshold=Decimal(5), amount=Decimal(25))
    rules.put(actor=SYSTEM, customer=customer, order=rule)


def _pay(external_id: str, amount: str) -> TopUp:
    customer = _customer(external_id)
    quote = quotes.quote(customer=customer, amount=Decimal(amount), currency=customer.currency)
    plan = attempts.Plan(way=PaymentAttempt.Way.CHECKOUT, keep_method=True, return_url=settings.BASE_URL)
    top_up = top_ups.start(top_ups.create(actor=SYSTEM, customer=customer, quote=quote, plan=plan).pk)
    _fill_in(top_up.attempt.checkout_url, PAYS)
    attempts.look_up(top_up.attempt_id)
    return TopUp.objects.select_related("attempt").get(pk=top_up.pk)


def _customer(external_id: str) -> Customer:
    return Customer.objects.select_related("currency", "organization").get(external_id=external_id)


def _fill_in(page: str, number: str) -> None:
    _post(page, {"kind": "card", "number": number, "expiry": "12/34"})


def _post(address: str, form: dict[str, str]) -> None:
    """Send a form, and do not follow where it leads. Raises ``OSError`` where it was not taken."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", parts.path, urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        if answer.status >= 400:
            raise OSError(f"{parts.path} answered {answer.status}")
    finally:
        connection.close()


def _wait_for_the_stand_in() -> None:
    """It starts at the same time as this does; who does not come is found missing later."""
    parts, until = urlsplit(settings.STRIPE_API_BASE), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
