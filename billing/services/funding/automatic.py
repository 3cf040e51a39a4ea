"""Topping up by itself: found by a sweep, decided with the customer's balances locked, paid like any other top-up.

One payment of an order at a time: the database lets no second one begin while the outcome of one is not known. So the
wallet that 200 debits empty at once is filled once.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing import locks
from billing.engine.currencies import payment_places
from billing.engine.money import EXACT, ZERO, amount_string
from billing.engine.taxes import Decision
from billing.errors import BillingError, InvalidRequest, WalletBusy
from billing.models import AutoTopUp, Balance, PaymentAttempt, PaymentMethod, TopUp
from billing.selectors.funding import standing
from billing.services import one_by_one
from billing.services.funding import methods, profiles, quotes, rules, top_ups
from billing.services.funding.attempts import Plan
from billing.services.invoicing import taxes
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried

logger = logging.getLogger(__name__)

LEFT_LYING = timedelta(seconds=5)
"""After this the process that was about to send a payment is taken to be gone, and another sends it."""
DECLINES_PER_METHOD_MAX = 10
DECLINES_WITHIN = timedelta(days=30)
"""Card networks allow 15 tries of a declined card in 30 days, the strictest of them; we stay below."""
TROUBLE_WAIT = timedelta(minutes=10)
"""How long an order waits that could not begin, so that it does not stand before the others for ever."""
BURST, BURST_WITHIN = 5, timedelta(hours=1)
"""So many in so little time are worth telling people of."""


def run_due() -> int:
    """Begin every automatic top-up whose time has come, and send what was left lying. Returns how many were sent."""
    if not profiles.payable():
        return 0
    mode, now = profiles.payments().mode, timezone.now()
    sent = 0
    for (top_up_id,) in one_by_one.in_turn(_left_lying(mode, now), "unsent-top-ups"):
        sent += _send(top_up_id)
    for _, rule_id in one_by_one.in_turn(_due(now).values_list("due_at", "id"), "automatic-top-ups"):
        begun = _begin_alone(rule_id)
        if begun is not None:
            sent += _send(begun)
    return sent


def _begin_alone(rule_id: UUID) -> UUID | None:
    """``begin``, where the trouble of one order, of whatever kind, is not the others'."""
    try:
        return begin(rule_id)
    except WalletBusy as trouble:
        logger.warning("Automatic top-up %s could not begin: %s", rule_id, trouble)
    except Exception:
        logger.exception("Automatic top-up %s could not begin", rule_id)
        AutoTopUp.objects.filter(pk=rule_id).update(due_at=timezone.now() + TROUBLE_WAIT)
    return None


@retried
def begin(rule_id: UUID) -> UUID | None:
    """Decide whether the order is to buy something now, and note the payment that is to be sent: the top-up's id.

    None where it is not: because nothing is low, something is on its way, a limit is reached, or the wallet is frozen:
    nobody is charged for what cannot be spent.
    """
    customer = AutoTopUp.objects.select_related("customer").get(pk=rule_id).customer
    decision = taxes.decide(customer, timezone.now())
    with transaction.atomic():
        customer_id = customer.pk
        journal = Journal.open([customer_id], locks.auto_top_ups(customer_id))
        journal.write()
        found = AutoTopUp.objects.select_related("customer__currency", "asset", "pack__asset", "pack__currency")
        rule = found.get(pk=rule_id)
        now = timezone.now()
        if not rule.runs or rule.due_at > now or standing.under_way(rule) or customer_id in journal.frozen:
            return None
        try:
            quote = _wanted(rule, journal.balances[customer_id, rule.asset_id].available, now, decision)
        except InvalidRequest as refusal:
            code = "pack_withdrawn" if rule.pack is not None and not rule.pack.active else "not_sold"
            rules.suspend(rule, code, f"What it buys is not sold like that any more ({refusal}).", now)
            return None
        if quote is None:
            return None
        method = _method(rule)
        forbids = _what_forbids(rule, method, now)
        if method is None or forbids:
            rules.suspend(rule, forbids, "", now)
            return None
        plan = Plan(PaymentAttempt.Way.OFF_SESSION, purpose=rule.purpose, method=method)
        top_up = top_ups.create(actor=SYSTEM, customer=rule.customer, quote=quote, plan=plan)
        if rule.every:
            # What was missed while nobody ran this is not made up for: nobody wants three payments at once.
            rule.due_at = rules.next_time(rule, now)
            rule.save(update_fields=["due_at"])
        _tell_of_burst(rule, now)
        return top_up.pk


def _due(now: datetime) -> QuerySet[AutoTopUp]:
    """The orders that may have something to do: a cheap look that locks nothing."""
    open_ = PaymentAttempt.objects.filter(
        customer_id=OuterRef("customer_id"), purpose=OuterRef("purpose"), status__in=PaymentAttempt.OPEN
    )
    low = Balance.objects.filter(
        customer_id=OuterRef("customer_id"), asset_id=OuterRef("asset_id"), available__lt=F("refill_below")
    )
    return (
        AutoTopUp.objects.filter(Q(purpose=AutoTopUp.Purpose.SCHEDULED) | Exists(low), ~Exists(open_))
        .filter(enabled=True, state=AutoTopUp.State.ARMED, due_at__lte=now, customer__wallet__frozen_at=None)
        .order_by("due_at", "id")
    )


def _left_lying(mode: str, now: datetime) -> QuerySet[TopUp, tuple[UUID]]:
    """Payments that were noted and never sent, because a process ended in between."""
    rows = TopUp.objects.filter(
        attempt__purpose__in=AutoTopUp.Purpose.values,
        attempt__status=PaymentAttempt.Status.CREATED,
        attempt__mode=mode,
        created_at__lte=now - LEFT_LYING,
    )
    return rows.order_by("id").values_list("id")


def _send(top_up_id: UUID) -> bool:
    """Have it paid. Trouble is for the look-up that follows every payment."""
    try:
        top_ups.start(top_up_id)
    except BillingError as trouble:
        logger.warning("Top-up %s could not be sent: %s", top_up_id, trouble)
        return False
    except Exception:
        logger.exception("Top-up %s could not be sent", top_up_id)
        return False
    return True


def _wanted(rule: AutoTopUp, available: Decimal, now: datetime, decision: Decision) -> quotes.Quote | None:
    """What to buy: enough for the whole gap in one payment, as far as the limits allow; None for nothing."""
    taken = standing.used(rule, now)
    room = None if rule.monthly_limit is None else EXACT.subtract(rule.monthly_limit, taken.amount)
    if rule.count_limit is not None and taken.count >= rule.count_limit:
        room = ZERO
    if rule.every:
        pieces = 1
    else:
        assert rule.threshold is not None
        coming = EXACT.add(available, _pending(rule))
        if coming >= rule.threshold:
            return None
        if rule.target is not None:
            return _filled(rule, EXACT.subtract(rule.target, coming), room, now, decision)
        pieces = _pieces(rule, EXACT.subtract(rule.threshold, coming), decision)
    price = rule.pack.price if rule.pack else rule.amount
    assert price is not None
    # One pack may cost more than is paid at a time: its price is the operator's, whoever buys it.
    most = max(settings.TOP_UP_MAX, price) if rule.pack else settings.TOP_UP_MAX
    pieces = min(pieces, int((most if room is None else min(room, most)) // price))
    if pieces < 1:
        if room is not None:
            _stop_for_the_month(rule, now)
        return None
    if rule.pack is not None:
        return quotes.quote_pack(customer=rule.customer, pack=rule.pack, count=pieces, decision=decision)
    amount = EXACT.multiply(price, Decimal(pieces))
    return quotes.quote(customer=rule.customer, amount=amount, currency=rule.customer.currency, decision=decision)


def _filled(
    rule: AutoTopUp, gap: Decimal, room: Decimal | None, now: datetime, decision: Decision
) -> quotes.Quote | None:
    """As much as fills the balance up to the target, in whole coins."""
    coins = payment_places(rule.asset_id)
    amount = max(quotes.asked_for(gap, rule.asset, decision=decision), settings.TOP_UP_MIN)
    most = settings.TOP_UP_MAX if room is None else min(room, settings.TOP_UP_MAX)
    amount = min(amount, Decimal(int(most * 10**coins)).scaleb(-coins))
    if amount < settings.TOP_UP_MIN:
        if room is not None:
            _stop_for_the_month(rule, now)
        return None
    return quotes.quote(customer=rule.customer, amount=amount, currency=rule.customer.currency, decision=decision)


def _pieces(rule: AutoTopUp, gap: Decimal, decision: Decision) -> int:
    """How often what is bought at a time goes into the gap, the last one not in full."""
    if rule.pack is not None:
        wanted, size = gap, rule.pack.amount
    else:
        assert rule.amount is not None
        wanted, size = quotes.asked_for(gap, rule.asset, decision=decision), rule.amount
    return max(1, int(-(-Fraction(wanted) // Fraction(size))))


def _stop_for_the_month(rule: AutoTopUp, now: datetime) -> None:
    """The limit keeps the order from running: say so once in a month, and look again when the next one begins.

    Otherwise those that may not run would be what each sweep looks at first, and the others would wait behind them.
    """
    start, end = standing.month(rule.customer, now)
    rule.due_at = rules.next_time(rule, now) if rule.every else end
    rule.save(update_fields=["due_at"])
    if rule.limit_told_at is None or rule.limit_told_at < start:
        rule.limit_told_at = now
        rule.save(update_fields=["limit_told_at"])
        rules.tell(rule, "auto_top_up.limit_reached", now)


def _pending(rule: AutoTopUp) -> Decimal:
    """What is on its way to the same balance, whoever paid it."""
    coming = TopUp.objects.filter(
        customer_id=rule.customer_id, asset_id=rule.asset_id, status=TopUp.Status.PROCESSING
    ).aggregate(total=Sum(F("credit") + F("bonus")))
    return coming["total"] or ZERO


def _method(rule: AutoTopUp) -> PaymentMethod | None:
    """What is charged: the method that was named, or else the card that was kept last."""
    kept = methods.kept(rule.customer_id, profiles.payments().mode)
    if rule.method_id is not None:
        return kept.filter(pk=rule.method_id).first()
    return kept.filter(type="card").order_by("-id").first()


def _what_forbids(rule: AutoTopUp, method: PaymentMethod | None, now: datetime) -> str:
    """The code of what forbids a charge until somebody puts it right; empty where nothing does."""
    if method is None:
        return "no_method"
    if _too_often(rule, now):
        return "too_many_payments"
    return "too_many_declines" if declined_too_often(method, now) else ""


def declined_too_often(method: PaymentMethod, now: datetime) -> bool:
    """Whether card networks would soon forbid more."""
    declined = PaymentAttempt.objects.filter(
        customer_id=method.customer_id,
        method=method,
        way=PaymentAttempt.Way.OFF_SESSION,
        status=PaymentAttempt.Status.FAILED,
        created_at__gt=now - DECLINES_WITHIN,
    ).exclude(failure_code__in=rules.NOT_TRIED)
    return declined.count() >= DECLINES_PER_METHOD_MAX


def _too_often(rule: AutoTopUp, now: datetime) -> bool:
    """Whether an order without a monthly limit has paid so often in a day that its threshold may be out of reach."""
    if rule.monthly_limit is not None:
        return False
    paid = TopUp.objects.filter(
        customer_id=rule.customer_id,
        attempt__purpose=rule.purpose,
        created_at__gt=now - timedelta(days=1),
        status__in=[TopUp.Status.SUCCEEDED, TopUp.Status.PROCESSING],
    )
    most: int = settings.AUTO_TOP_UPS_PER_DAY
    return paid.count() >= most


def _tell_of_burst(rule: AutoTopUp, now: datetime) -> None:
    """Tell when the order has run so often lately that something may be wrong with what spends the money."""
    recent = TopUp.objects.filter(
        customer_id=rule.customer_id, attempt__purpose=rule.purpose, created_at__gt=now - BURST_WITHIN
    ).aggregate(count=Count("pk"), amount=Sum(standing.ASKED_FOR))
    if recent["count"] != BURST:
        return
    rules.tell(rule, "auto_top_up.burst", now, count=BURST, amount=amount_string(recent["amount"]))
