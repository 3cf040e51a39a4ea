"""What staff do by hand with value: done at once, or, above a limit, when a second person has approved it.

``ACTIONS`` says how each kind is done. Whether it needs a second person is decided by the service that does it
(``four_eyes``); here the request is written down, decided on, and carried out exactly as it was asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import User
from accounts.services import audit, mail, staff
from billing import locks, pipeline
from billing.engine.money import ZERO, amount_strings
from billing.errors import ApprovalRequired, InvalidState, NotFound, PermissionDenied
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
from billing.services.retrying import retried
from billing.services.revenue import partners
from billing.services.wallet import corrections, grants, recurring, wallets

DECIDE = "billing.decide_approval"
Kind, State = Approval.Kind, Approval.State
HANDS_OFF = timedelta(days=7)
"""So long before the request nobody may have had both people's accounts in hand."""


@dataclass(frozen=True, slots=True)
class Action:
    """``run(actor, terms, approval)`` does it in one transaction; ``afterwards``, with its result, what no transaction
    can hold. Who asks for it has ``permissions``, and has them still when it is approved."""

    permissions: tuple[str, ...]
    run: Callable[[audit.Actor, Mapping[str, Any], Approval | None], Any]
    afterwards: Callable[[Any], object] | None = None


def perform(
    *, actor: audit.Actor, kind: str, terms: Mapping[str, Any], reason: str, customer: Customer | None = None
) -> Approval | None:
    """Do it; or, where a second person is needed, write down what is asked for and return that.

    ``terms`` are plain values: amounts as decimal strings, rows by id. Raises what the service raises.
    """
    action = ACTIONS[kind]
    terms = {**terms, "reason": reason}
    if customer is not None:
        terms["customer"] = str(customer.pk)
    try:
        with transaction.atomic():
            done = action.run(actor, terms, None)
    except ApprovalRequired as needed:
        return _request(actor, kind, terms, amounts=needed.figures["amounts"], customer=customer)
    if action.afterwards is not None:
        action.afterwards(done)
    return None


def _request(
    actor: audit.Actor,
    kind: str,
    terms: Mapping[str, Any],
    *,
    amounts: Mapping[str, Decimal],
    customer: Customer | None,
) -> Approval:
    assert actor.id is not None
    with transaction.atomic():
        approval = Approval.objects.create(
            customer=customer,
            kind=kind,
            terms=dict(terms),
            amounts=amount_strings(amounts),
            reason=terms["reason"],
            requested_by_id=actor.id,
            expires_at=timezone.now() + timedelta(hours=settings.APPROVAL_HOURS),
        )
        _record(actor, approval, "requested")
        for person in User.objects.filter(is_staff=True, is_active=True).exclude(pk=actor.id):
            if person.has_perm(DECIDE):
                mail.queue(
                    person.email,
                    "Somebody asks for your approval",
                    f"{actor.label} asks for: {approval.get_kind_display()}. It waits in the back office, under "
                    f"Approvals, until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
                )
    return approval


def approve(*, actor: audit.Actor, approval: Approval, note: str = "") -> Approval:
    """Decide that it is done, and do it, in one transaction. Not to be called in one.

    Raises ``PermissionDenied`` for whoever asked for it, for whoever may not decide, and where one person may sit
    behind both of them; ``InvalidState`` where it was decided on, lapsed, or would move something else by now, and what
    the service raises: then it goes on waiting.
    """
    decided, done = _approve(actor, approval.pk, note)
    afterwards = ACTIONS[decided.kind].afterwards
    if afterwards is not None:
        afterwards(done)
    return decided


@retried
def _approve(actor: audit.Actor, approval_id: UUID, note: str) -> tuple[Approval, Any]:
    with transaction.atomic():
        approval = _locked(approval_id)
        _check_second_person(actor, approval)
        _check_apart(actor, approval)
        maker, action = approval.requested_by, ACTIONS[approval.kind]
        if not maker.is_active or not maker.is_staff or not maker.has_perms(action.permissions):
            raise PermissionDenied(f"{maker.email} may not do this any more, so it cannot be approved.")
        _decide(approval, State.APPROVED, actor.id, note)
        done = action.run(actor, approval.terms, approval)
        _record(actor, approval, "approved")
    return approval, done


@retried
def reject(*, actor: audit.Actor, approval: Approval, note: str) -> Approval:
    """Decide that it is not done. Raises as ``approve`` does."""
    with transaction.atomic():
        approval = _locked(approval.pk)
        _check_second_person(actor, approval)
        _decide(approval, State.REJECTED, actor.id, note)
        _record(actor, approval, "rejected")
    return approval


@retried
def withdraw(*, actor: audit.Actor, approval: Approval, note: str = "") -> Approval:
    """Ask for it no longer; only whoever asked can."""
    with transaction.atomic():
        approval = _locked(approval.pk)
        if approval.requested_by_id != actor.id:
            raise PermissionDenied("Only whoever asked for it can withdraw it.")
        _decide(approval, State.WITHDRAWN, actor.id, note)
        _record(actor, approval, "withdrawn")
    return approval


def expire_due() -> int:
    """Let lapse what nobody decided on in time. Returns how many."""
    due = Approval.objects.filter(state=State.WAITING, expires_at__lte=timezone.now()).values_list("pk", flat=True)
    return sum(_expire(approval_id) for approval_id in list(due))


@retried
def _expire(approval_id: UUID) -> bool:
    with transaction.atomic():
        pipeline.run([locks.approval(approval_id)])
        approval = Approval.objects.select_related("customer").get(pk=approval_id)
        if approval.state != State.WAITING:
            return False
        _decide(approval, State.EXPIRED, None, "")
        _record(audit.SYSTEM, approval, "expired")
    return True


def _locked(approval_id: UUID) -> Approval:
    """The request as it is now, if it still waits."""
    pipeline.run([locks.approval(approval_id)])
    approval = Approval.objects.select_related("customer", "requested_by").filter(pk=approval_id).first()
    if approval is None:
        raise NotFound("There is no such request.")
    status = approval.status_at(timezone.now())
    if status != State.WAITING:
        raise InvalidState(f"This request is {status.label.lower()} already.", status=status.value)
    return approval


def _check_second_person(actor: audit.Actor, approval: Approval) -> None:
    if approval.requested_by_id == actor.id:
        raise PermissionDenied("You asked for this yourself. Another person decides on it.")
    person = User.objects.filter(pk=actor.id, is_staff=True).first() if actor.id is not None else None
    if person is None or not person.has_perm(DECIDE):
        raise PermissionDenied("You may not decide on what others ask for.")


def _check_apart(actor: audit.Actor, approval: Approval) -> None:
    """One administrator alone cannot be both: neither by an account made for it, nor by another's that they reset."""
    assert actor.id is not None
    since = approval.created_at - HANDS_OFF
    if staff.behind(actor.id, since=since) & staff.behind(approval.requested_by_id, since=since):
        raise PermissionDenied(
            f"Since {since:%Y-%m-%d} one person made, changed or reset both accounts, yours and that of who asked, or "
            "one of you did so to the other's. A third person decides on it."
        )


def _decide(approval: Approval, state: str, person_id: UUID | None, note: str) -> None:
    approval.state, approval.decided_by_id = state, person_id
    approval.note, approval.decided_at = note, timezone.now()
    approval.save(update_fields=["state", "decided_by", "note", "decided_at"])


def _record(actor: audit.Actor, approval: Approval, what: str) -> None:
    customer = approval.customer
    audit.record(
        actor=actor,
        action=f"approval.{what}",
        object_type="approval",
        object_id=str(approval.pk),
        organization_id=None,
        after={
            "kind": approval.kind,
            "customer": customer.external_id if customer is not None else None,
            "amounts": approval.amounts,
            **({"note": approval.note} if approval.note else {"reason": approval.reason}),
        },
    )


# --- How each kind is done --------------------------------------------------------------------------------------------


def _customer(terms: Mapping[str, Any]) -> Customer:
    return Customer.objects.select_related("currency").get(pk=terms["customer"])


def _moment(text: str | None) -> datetime | None:
    return parse_datetime(text) if text else None


def _grant(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    if "interval" in terms:
        return _recurring_grant(actor, terms, approval)
    if "extends" in terms:
        return _extend(actor, terms, approval)
    paid_currency = terms.get("paid_currency")
    granted_by = approval.requested_by.email if approval is not None else actor.label
    return grants.create(
        actor=actor,
        customer=_customer(terms),
        asset=Asset.objects.get(pk=terms["asset"]),
        amount=Decimal(terms["amount"]),
        kind=terms["kind"],
        expires_at=_moment(terms.get("expires_at")),
        paid_amount=Decimal(terms["paid_amount"]) if paid_currency else ZERO,
        paid_currency=Asset.objects.get(pk=paid_currency) if paid_currency else None,
        name=terms.get("name", ""),
        metadata={"reason": terms["reason"], "granted_by": granted_by},
        approval=approval,
    )


def _recurring_grant(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    plain = {name: terms[name] for name in ("interval", "kind", "name", "times", "lapses")}
    wanted = recurring.Terms(
        asset=Asset.objects.get(pk=terms["asset"]),
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
        grant=Grant.objects.select_related("customer").get(pk=terms["extends"], customer_id=terms["customer"]),
        expires_at=_moment(terms["expires_at"]),
        reason=terms["reason"],
        approval=approval,
    )


def _adjust(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    return corrections.adjust(
        actor=actor,
        customer=_customer(terms),
        asset=Asset.objects.get(pk=terms["asset"]),
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
        asset=Asset.objects.get(pk=terms["asset"]),
        amount=Decimal(terms["amount"]),
        reason=terms["reason"],
        approval=approval,
    )


def _event(terms: Mapping[str, Any]) -> UsageEvent:
    return UsageEvent.objects.select_related("customer").get(pk=terms["event"], customer_id=terms["customer"])


def _pay_back(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    top_up = TopUp.objects.get(pk=terms["top_up"], customer_id=terms["customer"])
    amount = Decimal(terms["amount"]) if terms["amount"] else None
    return refunds.create(actor=actor, top_up=top_up, amount=amount, reason=terms["reason"], approval=approval)


def _set_overdraft_limit(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    if "on_insufficient_funds" in terms:
        changes = {"on_insufficient_funds": terms["on_insufficient_funds"]}
        return customers.update(actor=actor, customer=_customer(terms), changes=changes, approval=approval)
    return wallets.set_overdraft_limit(
        actor=actor,
        customer=_customer(terms),
        asset=Asset.objects.get(pk=terms["asset"]),
        limit=Decimal(terms["limit"]),
        approval=approval,
    )


def _void(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    grant = Grant.objects.select_related("customer").get(pk=terms["grant"], customer_id=terms["customer"])
    return grants.void(actor=actor, grant=grant, reason=terms["reason"], approval=approval)


def _cancel(actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> object:
    found = Subscription.objects.get(pk=terms["subscription"], customer_id=terms["customer"])
    reason = terms["reason"]
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
        subscription=Subscription.objects.get(pk=terms["subscription"], customer_id=terms["customer"]),
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
