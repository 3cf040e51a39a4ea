"""What providers charge the operator: costs and overheads, by hand and from lists, over time.

Nothing is overwritten. A cost that changes ends, and the next one begins at that moment; events keep the cost that was
worked out when they were recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import audit
from billing.engine.cost_lists import Listed
from billing.engine.costs import BEGINNING
from billing.engine.money import amount_string
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import CostVersion, Overhead, ProviderCost
from billing.selectors.catalog import costs as selector


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to, in costs."""

    added: int
    changed: int
    unchanged: int


def create(
    *,
    actor: audit.Actor,
    provider: str,
    model: str,
    unit: str,
    unit_cost: Decimal,
    per: Decimal = Decimal(1),
    above: int = 0,
    aliases: Sequence[str] = (),
    effective_from: datetime | None = None,
    effective_to: datetime | None = None,
) -> ProviderCost:
    """Set a cost by hand: ``unit_cost`` US dollars for every ``per`` units, from ``effective_from`` (now) on.

    It goes before what is imported for the same unit of the model, and ends the one set by hand before it. Names are
    kept in lower case. Raises ``InvalidRequest``; ``AlreadyExists`` where another one set by hand holds in that time.
    """
    starts = effective_from or timezone.now()
    _at_least_zero(unit_cost=unit_cost)
    if per <= 0:
        raise InvalidRequest.field("per", "must be greater than zero")
    if effective_to is not None and effective_to <= starts:
        raise InvalidRequest.field("effective_to", "must be after effective_from")
    key = {
        "source": ProviderCost.Source.MANUAL,
        "provider": provider.lower(),
        "model": model.lower(),
        "unit": unit,
        "above": above,
    }
    try:
        with transaction.atomic():
            _changing()
            ProviderCost.objects.filter(**key, effective_from__lt=starts, effective_to__isnull=True).update(
                effective_to=starts
            )
            cost = ProviderCost.objects.create(
                **key,
                aliases=[alias.lower() for alias in aliases],
                unit_cost=unit_cost,
                per=per,
                effective_from=starts,
                effective_to=effective_to,
            )
            _trail(actor, cost, "created")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a cost for {unit} of {model} by {provider} at that time already.") from error
    return cost


def end(*, actor: audit.Actor, cost: ProviderCost, at: datetime | None = None, reason: str = "") -> ProviderCost:
    """The cost no longer holds from ``at`` (now) on. Raises ``InvalidState`` where it ended before, or starts later."""
    moment = at or timezone.now()
    with transaction.atomic():
        _changing()
        ended = ProviderCost.objects.filter(pk=cost.pk, effective_to__isnull=True, effective_from__lt=moment)
        if not ended.update(effective_to=moment):
            raise InvalidState("This cost has ended already, or has not begun.")
        cost.refresh_from_db()
        _trail(actor, cost, "ended", reason=reason)
    return cost


def set_overhead(
    *,
    actor: audit.Actor,
    provider: str = "",
    share: Decimal = Decimal(0),
    fixed_amount: Decimal = Decimal(0),
    cache_apart: bool = False,
    effective_from: datetime | None = None,
) -> Overhead:
    """What a request costs beside the model, from ``effective_from`` (now) on; the rule before it ends there.

    ``share`` is of the model's cost, ``fixed_amount`` in US dollars a request. Without ``provider`` it is for all that
    have no rule of their own. Raises ``AlreadyExists`` where a rule begins later.
    """
    starts = effective_from or timezone.now()
    provider = provider.lower()
    _at_least_zero(share=share, fixed_amount=fixed_amount)
    try:
        with transaction.atomic():
            _changing()
            Overhead.objects.filter(provider=provider, effective_from__lt=starts, effective_to__isnull=True).update(
                effective_to=starts
            )
            rule = Overhead.objects.create(
                provider=provider,
                share=share,
                fixed_amount=fixed_amount,
                cache_apart=cache_apart,
                effective_from=starts,
            )
            audit.record(
                actor=actor,
                action="overhead.created",
                object_type="overhead",
                object_id=str(rule.pk),
                after={
                    "provider": provider,
                    "share": amount_string(share),
                    "fixed_amount": amount_string(fixed_amount),
                    "cache_apart": cache_apart,
                    "effective_from": starts.isoformat(),
                },
            )
    except IntegrityError as error:
        raise AlreadyExists("There is an overhead for this provider at that time already.") from error
    return rule


def import_list(*, actor: audit.Actor, costs: Sequence[Listed], source: str) -> Imported:
    """Take over a list of costs. What is new holds from the beginning of time, what has changed from today on.

    The same list again changes nothing. What the list no longer has stays as it is, and so does what was set by hand.
    """
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    with transaction.atomic():
        _changing()
        running = {
            (row.provider, row.model, row.unit, row.above): row
            for row in ProviderCost.objects.filter(source=ProviderCost.Source.IMPORTED, effective_to__isnull=True)
        }
        known = {cost.key: cost for cost in costs}
        added = [cost for key, cost in known.items() if key not in running]
        changed = [cost for key, cost in known.items() if key in running and not _same(running[key], cost)]
        for cost in changed:
            row = running[cost.key]
            if row.effective_from < today:
                ProviderCost.objects.filter(pk=row.pk).update(effective_to=today)
            else:  # It was imported today: the newer list is right about today.
                row.delete()
        ProviderCost.objects.bulk_create(
            [
                *(_row(cost, BEGINNING) for cost in added),
                *(_row(cost, today) for cost in changed),
            ],
            batch_size=1000,
        )
        result = Imported(len(added), len(changed), len(known) - len(added) - len(changed))
        if added or changed:
            audit.record(
                actor=actor,
                action="provider_costs.imported",
                object_type="provider_cost",
                object_id="imported",
                after={"source": source[:200], "added": result.added, "changed": result.changed},
            )
    return result


def _at_least_zero(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if amount < 0:
            raise InvalidRequest.field(name, "must be at least zero")


def _same(row: ProviderCost, cost: Listed) -> bool:
    return (row.unit_cost, row.per, tuple(row.aliases)) == (cost.unit_cost, cost.per, cost.aliases)


def _row(cost: Listed, starts: datetime) -> ProviderCost:
    return ProviderCost(
        provider=cost.provider,
        model=cost.model,
        aliases=list(cost.aliases),
        unit=cost.unit,
        unit_cost=cost.unit_cost,
        per=cost.per,
        above=cost.above,
        source=ProviderCost.Source.IMPORTED,
        effective_from=starts,
    )


def _changing() -> None:
    """Tell every process that costs change with this transaction; who changes costs does so one after the other."""
    if not CostVersion.objects.filter(only=True).update(number=F("number") + 1):
        CostVersion.objects.bulk_create([CostVersion(number=1)], ignore_conflicts=True)
    selector.forget()
    transaction.on_commit(selector.forget)


def _trail(actor: audit.Actor, cost: ProviderCost, what: str, **more: str) -> None:
    audit.record(
        actor=actor,
        action=f"provider_cost.{what}",
        object_type="provider_cost",
        object_id=str(cost.pk),
        after={
            "provider": cost.provider,
            "model": cost.model,
            "unit": cost.unit,
            "unit_cost": amount_string(cost.unit_cost),
            "per": amount_string(cost.per),
            "above": cost.above,
            "effective_from": cost.effective_from.isoformat(),
            "effective_to": None if cost.effective_to is None else cost.effective_to.isoformat(),
            **more,
        },
    )
