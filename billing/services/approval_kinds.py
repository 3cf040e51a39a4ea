"""How each kind of what may have to wait for a second person is done, from the terms that it was asked for with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from accounts.models import User
from accounts.services import audit
from billing.engine.money import ZERO
from billing.errors import InvalidState
from billing.models import (
    Approval,
    Asset,
    Customer,
    Grant,
    Invoice,
    Partner,
    Plan,
    PlanDraft,
    Subscription,
    TopUp,
    UsageEvent,
)
from billing.services import plan_moves, subscriptions
from billing.services.catalog import draft_terms, drafts
from billing.services.customer import customers, privacy
from billing.services.funding import refunds
from billing.services.invoicing import invoice_payments, voiding
from billing.services.revenue import partners
from billing.services.wallet import corrections, grants, recurring, wallets

Kind = Approval.Kind


@dataclass(frozen=True, slots=True)
class Action:
    """``run(actor, terms, approval)`` does it in one transaction; ``afterwards``, with its result, what no transaction
    can hold. Who asks for it has ``permissions``, and has them still when it is approved."""

    permissions: tuple[str, ...]
    run: Callable[[audit.Actor, Mapping[str, Any], Approval | None], Any]
    afterwards: Callable[[Any], object] | None = None


def _customer(terms: Mapping[str, Any]) -> Customer:
    return Customer.objects.select_related("currency").get(pk=terms["customer"])


def _asset(terms: Mapping[str, Any]) -> Asset:
    return Asset.objects.get(pk=terms["asset"])


def _grant_of(terms: Mapping[str, Any], name: str) -> Grant:
    return Grant.objects.select_related("customer").get(pk=terms[name], customer_id=terms["customer"])


def _subscription(terms: Mapping[str, Any]) -> Subscription:
    return Subscription.objects.get(pk=terms["subscription"], customer_id=terms["customer"])


def _moment(text: str | None) -> datetime | None:
    return parse_datetime(text) if text else None


def _grant(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    if "interval" in terms:
        return _recurring_grant(actor, terms, approval)
    if "extends" in terms:
        return _extend(actor, terms, approval)
    paid_currency = terms.get("paid_currency")
    return grants.create(
        actor=actor,
        customer=_customer(terms),
        asset=_asset(terms),
        amount=Decimal(terms["amount"]),
        kind=terms["kind"],
        expires_at=_moment(terms.get("expires_at")),
        paid_amount=Decimal(terms["paid_amount"]) if paid_currency else ZERO,
        paid_currency=Asset.objects.get(pk=paid_currency) if paid_currency else None,
        name=terms.get("name", ""),
        reason=terms["reason"],
        approval=approval,
    )


def _recurring_grant(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    plain = {name: terms[name] for name in ("interval", "kind", "name", "times", "lapses")}
    wanted = recurring.Terms(
        asset=_asset(terms),
        amount=Decimal(terms["amount"]),
        rollover_limit=Decimal(terms["rollover_limit"]),
        starts_at=_moment(terms["starts_at"]),
        **plain,
    )
    reason = terms["reason"]
    return recurring.create(actor=actor, customer=_customer(terms), terms=wanted, reason=reason, approval=approval)


def _extend(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return grants.extend(
        actor=actor,
        grant=_grant_of(terms, "extends"),
        expires_at=_moment(terms["expires_at"]),
        reason=terms["reason"],
        approval=approval,
    )


def _adjust(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return corrections.adjust(
        actor=actor,
        customer=_customer(terms),
        asset=_asset(terms),
        amount=Decimal(terms["amount"]),
        reason=terms["reason"],
        allow_debt=terms.get("allow_debt", False),
        approval=approval,
    )


def _reverse(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return corrections.reverse(actor=actor, event=_event(terms), reason=terms["reason"], approval=approval)


def _refund_charge(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return corrections.refund(
        actor=actor,
        event=_event(terms),
        asset=_asset(terms),
        amount=Decimal(terms["amount"]),
        reason=terms["reason"],
        approval=approval,
    )


def _event(terms: Mapping[str, Any]) -> UsageEvent:
    return UsageEvent.objects.select_related("customer").get(pk=terms["event"], customer_id=terms["customer"])


def _pay_back(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    top_up = TopUp.objects.get(pk=terms["top_up"], customer_id=terms["customer"])
    amount, paid_back = (Decimal(text) if text else None for text in (terms["amount"], terms.get("paid_back")))
    return refunds.create(
        actor=actor, top_up=top_up, amount=amount, paid_back=paid_back, reason=terms["reason"], approval=approval
    )


def _set_overdraft_limit(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    if "on_insufficient_funds" in terms:
        changes = {"on_insufficient_funds": terms["on_insufficient_funds"]}
        return customers.update(actor=actor, customer=_customer(terms), changes=changes, approval=approval)
    return wallets.set_overdraft_limit(
        actor=actor,
        customer=_customer(terms),
        asset=_asset(terms),
        limit=Decimal(terms["limit"]),
        approval=approval,
    )


def _void(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return grants.void(actor=actor, grant=_grant_of(terms, "grant"), reason=terms["reason"], approval=approval)


def _cancel(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    found, reason = _subscription(terms), terms["reason"]
    return subscriptions.cancel(
        actor=actor, subscription=found, when="now", refund=True, reason=reason, approval=approval
    )


def _publish(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    draft = PlanDraft.objects.select_related("plan").filter(pk=terms["draft"]).first()
    if draft is None:
        raise InvalidState("The draft is gone: it was published or thrown away.")
    wanted = draft_terms.read(draft.terms, draft_terms.Catalog.read())
    return drafts.publish(
        actor=actor,
        draft=draft,
        seen=_moment(terms["seen"]),
        reason=terms["reason"],
        approval=approval,
        **{name: getattr(wanted, name) for name in wanted.__dataclass_fields__},
    )


def _erase(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    reason = terms["reason"]
    if "person" in terms:
        person = User.objects.get(pk=terms["person"])
        return privacy.erase_person(actor=actor, user=person, reason=reason, approval=approval)
    return privacy.erase_customer(actor=actor, customer=_customer(terms), reason=reason, approval=approval)


def _move(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> Callable[[], object]:
    """Whether it may be done; the rest is afterwards, a transaction for each customer, and by a worker if need be."""
    plan = Plan.objects.select_related("currency").get(pk=terms["plan"])
    subscriptions.agree_to_move(actor=actor, plan=plan, version=terms["version"], approval=approval)
    return partial(plan_moves.carry_out, actor=actor, terms=terms, approval=approval)


def _agree_terms(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    """Terms of a subscription that there is; or, where none is named, of one that starts with them."""
    plan = Plan.objects.select_related("currency").get(pk=terms["plan"])
    agreed = {name: terms.get(name) for name in ("discount", "minimum_commitment", "spend_cap")}
    numbers: dict[str, Any] = {name: Decimal(text) for name, text in agreed.items() if text is not None}
    if "subscription" not in terms:
        return subscriptions.start(
            actor=actor,
            customer=_customer(terms),
            plan=plan,
            version=terms["version"],
            starts_at=_moment(terms["starts_at"]),
            trial_days=terms["trial_days"],
            reason=terms["reason"],
            approval=approval,
            **numbers,
        )
    return subscriptions.change(
        actor=actor,
        subscription=_subscription(terms),
        wanted=subscriptions.Wanted(plan, terms["version"], **numbers),
        when=terms["when"],
        at=_moment(terms["at"]) if approval is None else None,
        reason=terms["reason"],
        approval=approval,
    )


def _record_payment(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return invoice_payments.record(
        actor=actor,
        invoice=_invoice(terms),
        amount=Decimal(terms["amount"]),
        reference=terms["reference"],
        reason=terms["reason"],
        approval=approval,
    )


def _write_off(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return invoice_payments.write_off(actor=actor, invoice=_invoice(terms), reason=terms["reason"], approval=approval)


def _void_invoice(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> UUID:
    """That it is to be done; the rest is afterwards, for whoever knows the taxes is asked in no transaction."""
    return voiding.ask(actor=actor, invoice=_invoice(terms), reason=terms["reason"], approval=approval)


def _invoice(terms: Mapping[str, Any]) -> Invoice:
    return Invoice.objects.get(pk=terms["invoice"], customer_id=terms["customer"])


def _pay_out(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return partners.pay_out(
        actor=actor,
        partner=Partner.objects.get(pk=terms["partner"]),
        upto=date.fromisoformat(terms["upto"]),
        amount=Decimal(terms["amount"]),
        reference=terms["reference"],
        approval=approval,
    )


ACTIONS: Mapping[str, Action] = {
    Kind.GRANT: Action(("billing.add_grant",), _grant),
    Kind.ADJUSTMENT: Action(("billing.add_grant", "billing.change_grant"), _adjust),
    Kind.REFUND: Action(("billing.add_refund",), _pay_back, afterwards=lambda refund: refunds.start(refund.pk)),
    Kind.REVERSAL: Action(("billing.add_correction",), _reverse),
    Kind.CHARGE_REFUND: Action(("billing.add_correction",), _refund_charge),
    Kind.OVERDRAFT_LIMIT: Action(("billing.change_balance",), _set_overdraft_limit),
    Kind.VOID: Action(("billing.change_grant",), _void),
    Kind.CANCELLATION: Action(("billing.change_subscription",), _cancel),
    Kind.ERASURE: Action(("accounts.change_user", "billing.change_customer"), _erase),
    Kind.PLAN_MOVE: Action(("billing.change_subscription",), _move, afterwards=lambda move: move()),
    Kind.AGREED_TERMS: Action(("billing.change_subscription",), _agree_terms),
    Kind.PLAN: Action(("billing.add_planversion",), _publish),
    Kind.INVOICE_PAYMENT: Action(("billing.add_invoicepayment",), _record_payment),
    Kind.WRITE_OFF: Action(("billing.add_invoicepayment",), _write_off),
    Kind.INVOICE_VOID: Action(("billing.add_invoicepayment",), _void_invoice, afterwards=voiding.finish),
    Kind.PARTNER_PAYOUT: Action(("billing.add_partnerpayout",), _pay_out),
}
