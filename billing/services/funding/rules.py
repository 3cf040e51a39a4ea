"""Standing orders to top up: what customers ask for, and what becomes of an order when its payment has ended."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services import audit
from billing import locks, pipeline
from billing.engine import periods
from billing.engine.money import ZERO, amount_string
from billing.engine.taxes import Decision
from billing.errors import InvalidRequest, InvalidState
from billing.gateways import wakeups
from billing.models import Asset, AutoTopUp, Balance, Customer, Pack, PaymentAttempt, PaymentMethod
from billing.services import notices, outbox
from billing.services.funding import quotes
from billing.services.ledger import bulk
from billing.services.ledger.book import AUTO_TOP_UPS
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.wallet.wallets import ensure_balances

UNTAXED = Decision()
"""To see whether something can be bought at all."""
DECLINES_MAX = 3
BACK_OFF = (timedelta(minutes=10), timedelta(hours=6))
"""How long to wait after the first decline and the second. The third suspends."""
NOT_TRIED = {
    "never_sent": timedelta(0),
    "rate_limit": timedelta(minutes=1),
    "never_arrived": timedelta(minutes=5),
    **dict.fromkeys(["AuthenticationError", "api_key_expired", "permission"], timedelta(minutes=15)),
}
"""What says nothing of the card, because no bank was asked; and how long to wait then."""
NEEDS_THE_PAYER = {"authentication_required", "payment_intent_authentication_failure"}
NO_REPEAT_CURES = NEEDS_THE_PAYER | {
    *("expired_card", "lost_card", "stolen_card", "pickup_card", "restricted_card", "revocation_of_authorization"),
    *("revocation_of_all_authorizations", "stop_payment_order", "invalid_account", "card_not_supported"),
    *("no_method", "dispute", "too_many_declines"),
}
"""Declines after which card networks forbid another try, or another try can only end alike."""
_WORDS = {
    "no_method": "No payment method is kept that could be charged.",
    "dispute": "A payment was disputed.",
    "pack_withdrawn": "The pack that it buys is not sold any more.",
    "too_many_payments": "It has paid so often within a day that something may be wrong. Set a limit for the month.",
    "too_many_declines": "The bank has declined this card too often lately; card networks forbid more.",
    "authentication_required": "The bank asks for its owner's consent, which only you can give.",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer asks for. Exactly one of ``amount``, ``target`` and ``pack``; ``every`` for fixed times.

    Without a ``method`` the card that was kept last is charged. Without ``starts_at`` fixed times stay what they
    were, or begin now.
    """

    asset: Asset
    threshold: Decimal | None = None
    amount: Decimal | None = None
    target: Decimal | None = None
    pack: Pack | None = None
    every: str = ""
    starts_at: datetime | None = None
    method: PaymentMethod | None = None
    monthly_limit: Decimal | None = None
    count_limit: int | None = None
    cooldown_seconds: int = 60
    enabled: bool = True

    @property
    def purpose(self) -> str:
        return AutoTopUp.Purpose.SCHEDULED if self.every else AutoTopUp.Purpose.AUTO_TOP_UP


@retried
def put(*, actor: audit.Actor, customer: Customer, order: Order) -> AutoTopUp:
    """Make this the customer's order, in place of an earlier one.

    What suspended that counts as put right where something of it changes, or it is turned on again. Whoever says the
    same every day wakes no suspended order by it, forgives no decline, and does not put off the next fixed time.

    Raises ``InvalidRequest`` for what can never be bought, and for a threshold below zero without an overdraft.
    """
    with transaction.atomic():
        journal = Journal.open([customer.pk], locks.auto_top_ups(customer.pk))
        ensure_balances(journal, [(customer.pk, order.asset.pk)])
        journal.write()
        _check(customer, order, journal.balances[customer.pk, order.asset.pk].overdraft_limit)
        rule = AutoTopUp.objects.filter(customer=customer, purpose=order.purpose).first()
        before = None if rule is None else facts(rule)
        earlier = None if rule is None else (rule.runs, rule.every, rule.starts_at)
        begins_anew = rule is None or _differs(rule, order)
        rule = rule or AutoTopUp(customer=customer, purpose=order.purpose)
        if order.every and order.starts_at is None:
            order = replace(order, starts_at=rule.starts_at if rule.every == order.every else journal.now)
        for name in order.__slots__:
            setattr(rule, name, getattr(order, name))
        if begins_anew:
            rule.state, rule.declines, rule.reason_code, rule.reason = AutoTopUp.State.ARMED, 0, "", ""
            rule.limit_told_at = None
        if earlier != (rule.runs, rule.every, rule.starts_at) if rule.every else begins_anew:
            rule.due_at = _first_due(rule, customer, journal.now)
        rule.save()
        _watch(rule)
        _record(actor, rule, "auto_top_up.changed", before)
    transaction.on_commit(lambda: wakeups.wake(AUTO_TOP_UPS))
    return rule


def _differs(rule: AutoTopUp, order: Order) -> bool:
    """Whether the order asks for something else than the rule, in what is paid, when and with what; or wakes it."""
    names = ("asset", "threshold", "amount", "target", "pack", "every", "method", "monthly_limit", "count_limit")
    turned_on = order.enabled and not rule.enabled
    return turned_on or any(getattr(rule, name) != getattr(order, name) for name in names)


@retried
def resume(*, actor: audit.Actor, rule: AutoTopUp) -> AutoTopUp:
    """Let a suspended order run again: whoever asks has put right what was wrong.

    A payment that failed is made up for. After a dispute none is missing: the next fixed time counts.
    """
    with transaction.atomic():
        rule = _locked(rule)
        if rule.state != AutoTopUp.State.SUSPENDED:
            raise InvalidState("It is not suspended.", status=rule.state)
        before, now = facts(rule), timezone.now()
        rule.due_at = next_time(rule, now) if rule.every and rule.reason_code == "dispute" else now
        rule.state, rule.declines, rule.reason_code, rule.reason = AutoTopUp.State.ARMED, 0, "", ""
        rule.save()
        _watch(rule)
        _record(actor, rule, "auto_top_up.resumed", before)
    transaction.on_commit(lambda: wakeups.wake(AUTO_TOP_UPS))
    return rule


@retried
def switch_off(*, actor: audit.Actor, rule: AutoTopUp) -> AutoTopUp:
    """Stop it. What is under way is seen to its end."""
    with transaction.atomic():
        rule = _locked(rule)
        before = facts(rule)
        rule.enabled = False
        rule.save()
        _watch(rule)
        _record(actor, rule, "auto_top_up.changed", before)
    return rule


def follow(attempt: PaymentAttempt, now: datetime) -> None:
    """Learn from a payment that has ended. The attempt is locked, and this is a part of its transaction."""
    if attempt.purpose == PaymentAttempt.Purpose.TOP_UP or attempt.status in PaymentAttempt.OPEN:
        return
    Journal.open([attempt.customer_id], locks.auto_top_ups(attempt.customer_id)).write()
    rule = _rules().filter(customer_id=attempt.customer_id, purpose=attempt.purpose).first()
    if rule is None:
        return
    if attempt.status == PaymentAttempt.Status.SUCCEEDED:
        rule.declines, rule.reason_code, rule.reason = 0, "", ""
        rule.due_at = max(rule.due_at, now + timedelta(seconds=rule.cooldown_seconds))
        rule.save()
    elif attempt.failure_code in NOT_TRIED:
        rule.due_at = now + NOT_TRIED[attempt.failure_code]
        rule.save()
    else:
        _declined(rule, attempt, now)


def suspend(rule: AutoTopUp, code: str, words: str, now: datetime) -> None:
    """Stop until somebody puts it right, and tell the customer how. The rule's row is locked by the caller."""
    rule.state = AutoTopUp.State.SUSPENDED
    rule.reason_code, rule.reason = code[:100], (_WORDS.get(code) or words)[:300]
    rule.save()
    _watch(rule)
    _record(audit.SYSTEM, rule, "auto_top_up.suspended", None)
    tell(rule, "auto_top_up.disabled", now, code=rule.reason_code, reason=rule.reason)


def suspend_all(customer: Customer, code: str, now: datetime) -> None:
    """Suspend every order of the customer's that runs. The customer's balances are locked by the caller."""
    pipeline.run([locks.auto_top_ups(customer.pk)])
    for rule in _rules().filter(customer=customer, enabled=True, state=AutoTopUp.State.ARMED):
        suspend(rule, code, "", now)


def fix_url(rule: AutoTopUp) -> str:
    """Where the customer puts right what suspended it."""
    return f"{settings.BASE_URL}/auto-top-up"


def tell(rule: AutoTopUp, kind: str, now: datetime, **facts: Any) -> None:
    """Tell the customer's people, and the world, of something that has become of the order."""
    facts = {"purpose": rule.purpose, "fix_url": fix_url(rule), **facts}
    message = outbox.publication([outbox.Message(kind, rule.customer_id, facts)], now=now)
    bulk.run(message, notices.publication([notices.Told(rule.customer_id, kind, facts)], now=now))


def next_time(rule: AutoTopUp, now: datetime) -> datetime:
    """The first of the order's fixed times after ``now``."""
    assert rule.starts_at is not None
    if rule.starts_at > now:
        return rule.starts_at
    zone = ZoneInfo(rule.customer.timezone)
    return periods.period(now, anchor=rule.starts_at, interval=rule.every, zone=zone)[1]


def facts(rule: AutoTopUp) -> Mapping[str, Any]:
    """The order in plain values, for the trail."""
    amounts = {
        name: None if getattr(rule, name) is None else amount_string(getattr(rule, name))
        for name in ("threshold", "amount", "target", "monthly_limit")
    }
    return amounts | {
        "customer": rule.customer.external_id,
        "asset": rule.asset_id,
        "pack": None if rule.pack is None else rule.pack.code,
        "every": rule.every or None,
        "starts_at": None if rule.starts_at is None else rule.starts_at.isoformat(),
        "method": None if rule.method is None else rule.method.provider_id,
        "count_limit": rule.count_limit,
        "cooldown_seconds": rule.cooldown_seconds,
        "enabled": rule.enabled,
        "state": rule.state,
        "reason": rule.reason_code or None,
    }


def _check(customer: Customer, order: Order, overdraft_limit: Decimal) -> None:
    if sum(choice is not None for choice in (order.amount, order.target, order.pack)) != 1:
        raise InvalidRequest.field("amount", "name one of amount, target and pack")
    if order.every:
        if order.threshold is not None or order.target is not None:
            raise InvalidRequest.field("threshold", "is of no use at fixed times")
    elif order.threshold is None:
        raise InvalidRequest.field("threshold", "is required", code="required")
    if order.threshold is not None and order.threshold < -overdraft_limit:
        raise InvalidRequest.field("threshold", "may be below zero only as far as the wallet may be overdrawn")
    if order.target is not None and order.target <= (order.threshold or ZERO):
        raise InvalidRequest.field("target", "must be above the threshold")
    if order.pack is not None:
        bought = quotes.quote_pack(customer=customer, pack=order.pack, decision=UNTAXED)
    else:
        wanted = order.amount if order.amount is not None else settings.TOP_UP_MIN
        bought = quotes.quote(customer=customer, amount=wanted, currency=customer.currency, decision=UNTAXED)
    if bought.asset != order.asset:
        raise InvalidRequest.field("asset", f"what is bought is {bought.asset.code}, not {order.asset.code}")
    if order.monthly_limit is not None and order.monthly_limit < bought.amount:
        raise InvalidRequest.field("monthly_limit", "must reach for at least one top-up")


def _first_due(rule: AutoTopUp, customer: Customer, now: datetime) -> datetime:
    if not rule.every:
        return now
    rule.customer = customer
    return next_time(rule, now)


def _locked(rule: AutoTopUp) -> AutoTopUp:
    """The order as it is now, alone with the customer."""
    Journal.open([rule.customer_id], locks.auto_top_ups(rule.customer_id)).write()
    return _rules().get(pk=rule.pk)


def _rules() -> QuerySet[AutoTopUp]:
    return AutoTopUp.objects.select_related("customer", "pack", "method")


def _watch(rule: AutoTopUp) -> None:
    """Have the ledger say when the balance falls below the threshold; only while somebody would act on it."""
    if rule.purpose == AutoTopUp.Purpose.AUTO_TOP_UP:
        balances = Balance.objects.filter(customer_id=rule.customer_id)
        balances.exclude(asset_id=rule.asset_id).exclude(refill_below=None).update(refill_below=None)
        balances.filter(asset_id=rule.asset_id).update(refill_below=rule.threshold if rule.runs else None)


def _declined(rule: AutoTopUp, attempt: PaymentAttempt, now: datetime) -> None:
    rule.declines += 1
    code, words = attempt.failure_code or "declined", attempt.failure or "The bank declined the payment."
    if rule.declines >= DECLINES_MAX or code in NO_REPEAT_CURES:
        suspend(rule, code, words, now)
        return
    rule.reason_code, rule.reason = code, words
    rule.due_at = now + BACK_OFF[rule.declines - 1]
    rule.save()
    if rule.declines == 1:
        tell(rule, "auto_top_up.declined", now, code=code, reason=words)


def _record(actor: audit.Actor, rule: AutoTopUp, action: str, before: Mapping[str, Any] | None) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="auto_top_up",
        object_id=str(rule.pk),
        organization_id=rule.customer.organization_id,
        before=before,
        after=facts(rule),
    )
