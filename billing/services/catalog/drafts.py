"""Drafts of plan versions: terms that are worked on until they are published. Nobody is ever billed by one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.services import audit
from billing.errors import InvalidState, NotFound
from billing.models import Approval, Asset, Plan, PlanDraft, PlanVersion
from billing.services.catalog import plans
from billing.services.retrying import retried


def create_plan(*, actor: audit.Actor, code: str, name: str, currency: Asset, terms: Mapping[str, Any]) -> PlanDraft:
    """A new plan with nothing but a draft. Raises ``AlreadyExists`` where the code is taken."""
    with transaction.atomic():
        return create(actor=actor, plan=plans.add(code=code, name=name, currency=currency), terms=terms)


def create(*, actor: audit.Actor, plan: Plan, terms: Mapping[str, Any]) -> PlanDraft:
    """A draft of the plan's next version. ``terms`` are kept as they were sent; publishing checks them."""
    with transaction.atomic():
        draft = PlanDraft.objects.create(plan=plan, terms=dict(terms))
        _record(actor, draft, "created", after=draft.terms)
    return draft


@retried
def change(
    *, actor: audit.Actor, draft: PlanDraft, terms: Mapping[str, Any], seen: datetime | None = None
) -> PlanDraft:
    """Replace these members of the draft's terms. Raises ``InvalidState`` where it is not as it was at ``seen``."""
    with transaction.atomic():
        current = _locked(draft, seen)
        before, current.terms = current.terms, current.terms | dict(terms)
        current.save(update_fields=["terms", "changed_at"])
        changed = sorted(name for name, value in current.terms.items() if before.get(name) != value)
        former = {name: before.get(name) for name in changed}
        _record(actor, current, "changed", before=former, after={name: current.terms[name] for name in changed})
    return current


@retried
def discard(*, actor: audit.Actor, draft: PlanDraft, reason: str = "") -> None:
    """Throw the draft away."""
    with transaction.atomic():
        current = _locked(draft)
        _record(actor, current, "discarded", after={"reason": reason} if reason else {})
        current.delete()


@retried
def publish(
    *,
    actor: audit.Actor,
    draft: PlanDraft,
    seen: datetime | None = None,
    reason: str = "",
    approval: Approval | None = None,
    **terms: Any,
) -> PlanVersion:
    """Make the plan's next version of the draft, whose ``terms`` were read; the draft is gone then.

    Raises ``InvalidState`` where the draft is not as it was at ``seen``, and ``ApprovalRequired`` (``four_eyes``).
    """
    with transaction.atomic():
        current = _locked(draft, seen)
        version = plans.publish_version(actor=actor, plan=current.plan, approval=approval, **terms)
        _record(actor, current, "published", after={"version": version.number} | ({"reason": reason} if reason else {}))
        current.delete()
    return version


def _locked(draft: PlanDraft, seen: datetime | None = None) -> PlanDraft:
    """The draft as it is now. Its plan is locked: whoever publishes, changes and discards does so one by one."""
    plan = Plan.objects.select_for_update().get(pk=draft.plan_id)
    current = PlanDraft.objects.filter(pk=draft.pk).first()
    if current is None:
        raise NotFound("There is no such draft any more.")
    if seen is not None and current.changed_at != seen:
        raise InvalidState("Somebody else has changed this draft since. Open it again to see how it is now.")
    current.plan = plan
    return current


def _record(
    actor: audit.Actor,
    draft: PlanDraft,
    what: str,
    *,
    after: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        actor=actor,
        action=f"plan_draft.{what}",
        object_type="plan",
        object_id=draft.plan.code,
        before=before,
        after=after,
    )
