"""Plans and their published, unchangeable versions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.services import audit
from billing.engine.money import EXACT, ZERO, amount_string, decimals
from billing.engine.periods import IN_A_YEAR
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import Allowance, Approval, Asset, Customer, FairUse, Meter, Plan, PlanVersion, Price
from billing.services import four_eyes
from billing.services.catalog import prices
from billing.services.catalog.prices import PriceTerms
from billing.services.retrying import retried

FREE_DAYS_ALONE = 30
"""So many days of trial one person may give, whatever is used by then: with a plan, and to a customer beyond those."""

_Row = TypeVar("_Row", Allowance, FairUse)


@dataclass(frozen=True, slots=True)
class AllowanceTerms:
    """So much of an asset for each period; up to ``rollover_limit`` of what is left goes over into the next."""

    asset: Asset
    amount: Decimal
    rollover_limit: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class FairUseTerms:
    """The most of a meter's quantity, or of what usage is charged in an asset, that a period may have: one of them."""

    limit: Decimal
    meter: Meter | None = None
    asset: Asset | None = None


@dataclass(frozen=True, slots=True)
class CommitmentDiscount:
    """From this commitment on, in the plan's currency, so large a share is off the fee and every charge."""

    start: Decimal
    discount: Decimal

    def written(self) -> dict[str, str]:
        """As JSON has it."""
        return {"from": amount_string(self.start), "discount": amount_string(self.discount)}


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a version says. Fee and commitment are per period, in the plan's currency."""

    interval: str
    prices: Sequence[PriceTerms]
    base_fee: Decimal = ZERO
    allowances: Sequence[AllowanceTerms] = ()
    trial_days: int = 0
    minimum_commitment: Decimal = ZERO
    overage_limit: Decimal = ZERO
    """How far usage goes on when the wallet is empty, to the invoice; 0: it is refused."""
    cached_tokens: str = PlanVersion.CachedTokens.OWN
    """Whether cached tokens have their own price, or that of the tokens they stand for."""
    fair_use: Sequence[FairUseTerms] = ()
    commitment_discounts: Sequence[CommitmentDiscount] = ()
    """Ascending. What is agreed with a customer otherwise takes their place."""


def create(*, actor: audit.Actor, code: str, name: str, currency: Asset, **terms: Any) -> PlanVersion:
    """A new plan, published as version 1 with ``terms`` (``Terms``). Raises ``AlreadyExists`` where the code is
    taken."""
    wanted = Terms(**terms)
    check(wanted, currency)
    with transaction.atomic():
        return _publish(actor, add(code=code, name=name, currency=currency), 1, wanted, None)


@retried
def publish_version(*, actor: audit.Actor, plan: Plan, approval: Approval | None = None, **terms: Any) -> PlanVersion:
    """The plan's next version, with ``terms`` (``Terms``). Subscriptions stay on theirs until they are moved.

    Raises ``ApprovalRequired`` (``four_eyes``).
    """
    wanted = Terms(**terms)
    check(wanted, plan.currency)
    with transaction.atomic():
        plan = Plan.objects.select_for_update().get(pk=plan.pk)
        latest = plan.versions.order_by("-number").values_list("number", flat=True).first() or 0
        return _publish(actor, plan, latest + 1, wanted, approval)


def add(*, code: str, name: str, currency: Asset) -> Plan:
    """A plan without a version. Raises ``AlreadyExists`` where the code is taken."""
    try:
        with transaction.atomic():
            return Plan.objects.create(code=code, name=name, currency=currency)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a plan {code} already.") from error


def offer(*, actor: audit.Actor, plan: Plan, offered: bool, reason: str = "") -> None:
    """Have customers choose the plan by themselves, or no longer. Who is on it stays on it."""
    if offered and plan.latest() is None:
        raise InvalidState(f"The plan {plan.code} has no published version yet.")
    with transaction.atomic():
        if Plan.objects.filter(pk=plan.pk, offered=not offered).update(offered=offered):
            audit.record(
                actor=actor,
                action="plan.offered",
                object_type="plan",
                object_id=plan.code,
                before={"offered": not offered},
                after={"offered": offered, **({"reason": reason} if reason else {})},
            )


def _publish(actor: audit.Actor, plan: Plan, number: int, terms: Terms, approval: Approval | None) -> PlanVersion:
    four_eyes.check(
        actor=actor,
        kind=Approval.Kind.PLAN,
        amounts=amounts(plan.currency_id, terms),
        endless=endless(plan.currency_id, terms),
        approval=approval,
    )
    version = PlanVersion.objects.create(
        plan=plan,
        number=number,
        interval=terms.interval,
        base_fee=terms.base_fee,
        trial_days=terms.trial_days,
        minimum_commitment=terms.minimum_commitment,
        overage_limit=terms.overage_limit,
        cached_tokens=terms.cached_tokens,
        commitment_discounts=[each.written() for each in terms.commitment_discounts],
    )
    Allowance.objects.bulk_create(
        Allowance(plan_version=version, asset=each.asset, amount=each.amount, rollover_limit=each.rollover_limit)
        for each in terms.allowances
    )
    FairUse.objects.bulk_create(
        FairUse(plan_version=version, meter=each.meter, asset=each.asset, limit=each.limit) for each in terms.fair_use
    )
    prices.add(version, terms.prices)
    audit.record(
        actor=actor,
        action="plan.published",
        object_type="plan",
        object_id=plan.code,
        after={
            "version": number,
            "interval": terms.interval,
            "base_fee": amount_string(terms.base_fee),
            "trial_days": terms.trial_days,
            "minimum_commitment": amount_string(terms.minimum_commitment),
            "overage_limit": amount_string(terms.overage_limit),
            "commitment_discounts": [each.written() for each in terms.commitment_discounts],
            "allowances": [
                {
                    "asset": each.asset.code,
                    "amount": amount_string(each.amount),
                    "rollover_limit": amount_string(each.rollover_limit),
                }
                for each in terms.allowances
            ],
            "fair_use": [
                {
                    **({"asset": each.asset.code} if each.asset else {}),
                    **({"meter": each.meter.code} if each.meter else {}),
                    "limit": amount_string(each.limit),
                }
                for each in terms.fair_use
            ],
            "cached_tokens": terms.cached_tokens,
            "prices": [prices.written(price) for price in terms.prices],
        },
    )
    return version


def amounts(currency: str, terms: Terms) -> dict[str, Decimal]:
    """What a version moves without any usage, by asset: what it asks for at least in a period, and what it includes or
    lets be owed in a year, as a grant that comes again is weighed. What is carried over is part of that."""
    a_year = IN_A_YEAR[terms.interval]
    owed = EXACT.multiply(terms.overage_limit, a_year)
    found = {currency: EXACT.add(EXACT.add(terms.base_fee, terms.minimum_commitment), owed)}
    for each in terms.allowances:
        included = EXACT.multiply(each.amount, a_year)
        found[each.asset.pk] = EXACT.add(found.get(each.asset.pk, ZERO), included)
    return found


def endless(currency: str, terms: Terms) -> str | None:
    """The asset of which a trial as long as the version's may give any amount; None where it is short."""
    return currency if terms.trial_days > FREE_DAYS_ALONE else None


def discount_of(version: PlanVersion, commitment: Decimal | None) -> Decimal:
    """The share that is off for who commits to so much each period; what the plan itself asks for where None."""
    committed = version.minimum_commitment if commitment is None else commitment
    reached = [step for step in commitment_discounts(version) if step.start <= committed]
    return reached[-1].discount if reached else ZERO


def commitment_discounts(version: PlanVersion) -> list[CommitmentDiscount]:
    """Those of the version, ascending."""
    return [CommitmentDiscount(Decimal(row["from"]), Decimal(row["discount"])) for row in version.commitment_discounts]


def agree(
    version: PlanVersion,
    *,
    customer: Customer,
    discount: Decimal = ZERO,
    minimum_commitment: Decimal | None = None,
    spend_cap: Decimal | None = None,
    overrides: Sequence[PriceTerms] = (),
) -> PlanVersion:
    """The version with what was agreed with ``customer``: a private one of its number, or as everybody has it.

    Without a ``discount`` it is the one that the version itself has for the commitment. An override takes the place of
    the plan's price for the same meter and match; any other is added. A spend cap takes that of the plan's limit in its
    currency.
    """
    currency = version.plan.currency
    _check_fineness("minimum_commitment", minimum_commitment or ZERO, currency)
    _check_fineness("spend_cap", spend_cap or ZERO, currency)
    if not 0 <= discount <= 1:
        raise InvalidRequest.field("discount", "is a share from 0 to 1")
    published = discount_of(version, minimum_commitment)
    if discount in (0, published) and minimum_commitment is None and not spend_cap and not overrides:
        return _for_everybody(version, published)
    agreed = _derived(version, agreed_with=customer, discount=discount or published)
    if minimum_commitment is not None:
        agreed.minimum_commitment = minimum_commitment
    return _stored(agreed, version, spend_cap=spend_cap, overrides=overrides)


def _for_everybody(version: PlanVersion, discount: Decimal) -> PlanVersion:
    """The version with the ``discount`` that its own commitment reaches: one for all who subscribe to it."""
    if discount == 0:
        return version
    shared = version.derived.filter(agreed_with__isnull=True, minimum_commitment=version.minimum_commitment)
    found = shared.order_by("pk").first()
    if found is not None:
        return found
    return _stored(_derived(version, agreed_with=None, discount=discount), version)


def _stored(
    derived: PlanVersion,
    version: PlanVersion,
    *,
    spend_cap: Decimal | None = None,
    overrides: Sequence[PriceTerms] = (),
) -> PlanVersion:
    """Save what was derived, with all that the version includes, limits and charges, but for what takes its place."""
    currency = version.plan.currency
    derived.save(force_insert=True)
    Allowance.objects.bulk_create(_copies(version.allowances.all(), derived))
    limits = version.fair_use.exclude(asset=currency) if spend_cap else version.fair_use.all()
    FairUse.objects.bulk_create(_copies(limits, derived))
    if spend_cap:
        FairUse.objects.create(plan_version=derived, asset=currency, limit=spend_cap)
    replaced = {prices.conditions(terms) for terms in overrides}
    kept = [price for price in _prices_of(version) if prices.conditions(price) not in replaced]
    prices.check(overrides, where="price_overrides", beside=kept)
    prices.check_minimums(overrides, currency, where="price_overrides")
    prices.copy(kept, derived)
    prices.add(derived, overrides, position=max((price.position for price in kept), default=-1) + 1)
    return derived


def trial_of(version: PlanVersion) -> PlanVersion:
    """The version as it is in a trial: everything is metered and nothing costs anything. Fair use is what it is."""
    public = version.derived_from or version
    # What its own commitment reaches is for everybody as well, but never without a commitment.
    found = public.derived.filter(discount=1, minimum_commitment=0, agreed_with__isnull=True).first()
    if found is not None:
        return found
    trial = _derived(public, agreed_with=None, discount=Decimal(1))
    trial.base_fee = trial.minimum_commitment = ZERO
    trial.save(force_insert=True)
    FairUse.objects.bulk_create(_copies(public.fair_use.all(), trial))
    prices.copy(_prices_of(public), trial)
    return trial


def _derived(version: PlanVersion, *, agreed_with: Customer | None, discount: Decimal) -> PlanVersion:
    return PlanVersion(
        plan=version.plan,
        number=version.number,
        interval=version.interval,
        base_fee=version.base_fee,
        trial_days=version.trial_days,
        minimum_commitment=version.minimum_commitment,
        overage_limit=version.overage_limit,
        cached_tokens=version.cached_tokens,
        commitment_discounts=version.commitment_discounts,
        discount=discount,
        derived_from=version,
        agreed_with=agreed_with,
    )


def _copies(rows: Iterable[_Row], version: PlanVersion) -> list[_Row]:
    """New rows with the same terms, for ``version``."""
    return [
        type(row)(
            **{
                field.attname: getattr(row, field.attname)
                for field in row._meta.concrete_fields
                if not field.primary_key and field.name != "plan_version"
            },
            plan_version=version,
        )
        for row in rows
    ]


def _prices_of(version: PlanVersion) -> QuerySet[Price]:
    return version.prices.select_related("meter", "cached_of").prefetch_related("tiers")


def check(terms: Terms, currency: Asset) -> None:
    """Refuse terms that a version cannot have."""
    prices.check(terms.prices)
    prices.check_minimums(terms.prices, currency)
    _check_fineness("base_fee", terms.base_fee, currency)
    _check_fineness("minimum_commitment", terms.minimum_commitment, currency)
    _check_fineness("overage_limit", terms.overage_limit, currency)
    seen: set[str] = set()
    for position, each in enumerate(terms.allowances):
        path = f"allowances.{position}"
        if each.asset.code in seen:
            raise InvalidRequest.field(f"{path}.asset", "has an allowance already", code="ambiguous")
        seen.add(each.asset.code)
        if each.amount <= 0:
            raise InvalidRequest.field(f"{path}.amount", "must be greater than zero")
        _check_fineness(f"{path}.amount", each.amount, each.asset)
        _check_fineness(f"{path}.rollover_limit", each.rollover_limit, each.asset)
    _check_fair_use(terms)
    last = CommitmentDiscount(ZERO, ZERO)
    for position, step in enumerate(terms.commitment_discounts):
        path = f"commitment_discounts.{position}"
        _check_fineness(f"{path}.from", step.start, currency)
        if step.start <= last.start:
            raise InvalidRequest.field(f"{path}.from", "must be greater than zero and than the one before")
        if not last.discount < step.discount <= 1:
            raise InvalidRequest.field(f"{path}.discount", "is a share up to 1, larger than the one before")
        last = step


def _check_fair_use(terms: Terms) -> None:
    """What is limited is something that the plan charges for, once, and adds up."""
    metered = {price.meter.pk for price in terms.prices}
    charged = {asset.pk for price in terms.prices for asset in (price.asset, price.covered_by) if asset is not None}
    seen: set[Any] = set()
    for position, each in enumerate(terms.fair_use):
        path = f"fair_use.{position}"
        if (each.meter is None) == (each.asset is None):
            raise InvalidRequest.field(path, "limits either a meter or an asset")
        name, counts = ("meter", each.meter) if each.meter is not None else ("asset", each.asset)
        assert counts is not None
        if counts.pk in seen:
            raise InvalidRequest.field(f"{path}.{name}", "has a limit already", code="ambiguous")
        seen.add(counts.pk)
        if counts.pk not in (metered if each.meter is not None else charged):
            raise InvalidRequest.field(f"{path}.{name}", "is not what a price of this plan charges")
        if each.meter is not None and each.meter.aggregation not in {Meter.Aggregation.SUM, Meter.Aggregation.COUNT}:
            raise InvalidRequest.field(f"{path}.meter", "does not count a sum or a number of events")
        if each.limit <= 0:
            raise InvalidRequest.field(f"{path}.limit", "must be greater than zero")
        if each.asset is not None:
            _check_fineness(f"{path}.limit", each.limit, each.asset)


def _check_fineness(name: str, amount: Decimal, asset: Asset) -> None:
    if amount < 0:
        raise InvalidRequest.field(name, "must not be negative")
    if decimals(amount) > asset.precision:
        raise InvalidRequest.field(name, f"{asset.code} has at most {asset.precision} decimals")
