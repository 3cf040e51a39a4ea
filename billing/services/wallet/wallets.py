"""Wallets and their balances."""

from collections.abc import Collection
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from accounts.services import audit
from billing.engine.money import EXACT, ZERO, amount_string
from billing.errors import InvalidRequest, InvalidState
from billing.models import Approval, Asset, Balance, Customer, Wallet
from billing.selectors.spending import overage
from billing.services import four_eyes, outbox
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState
from billing.services.retrying import retried


def create(*, customer: Customer) -> Wallet:
    """The wallet of a new customer, with an empty balance in the customer's currency."""
    wallet = Wallet.objects.create(customer=customer)
    Balance.objects.create(customer=customer, wallet=wallet, asset_id=customer.currency_id)
    return wallet


def ensure_balances(journal: Journal, wanted: Collection[tuple[UUID, str]]) -> None:
    """Add the (customer, asset) balances that are missing to the journal. Its customers are locked already, so that
    nobody else can be adding the same ones."""
    if all(pair in journal.balances for pair in wanted):
        return
    journal.add_new_balances({customer_id for customer_id, _ in wanted})
    missing = sorted(pair for pair in wanted if pair not in journal.balances)
    wallets = dict(Wallet.objects.filter(customer_id__in={c for c, _ in missing}).values_list("customer_id", "id"))
    for customer_id, asset in missing:
        frozen = customer_id in journal.frozen
        balance = Balance.objects.create(
            customer_id=customer_id, wallet_id=wallets[customer_id], asset_id=asset, frozen=frozen
        )
        journal.add_balance(
            BalanceState(balance.id, customer_id, asset, ZERO, ZERO, ZERO, ZERO, ZERO, 0, ZERO, ZERO, frozen=frozen)
        )


@retried
def freeze(*, actor: audit.Actor, customer: Customer, reason: str) -> Wallet:
    """Have the wallet pay for no usage until it is unfrozen. Events are refused, and nothing more is set aside.

    Money and grants still come in, fees are taken, and what was set aside before may still be captured. Raises
    ``InvalidState`` where it is frozen already.
    """
    return _set_frozen(actor, customer, reason, frozen=True)


@retried
def unfreeze(*, actor: audit.Actor, customer: Customer, reason: str) -> Wallet:
    """Have it pay again, from now on. Raises ``InvalidState`` where it is not frozen."""
    return _set_frozen(actor, customer, reason, frozen=False)


def _set_frozen(actor: audit.Actor, customer: Customer, reason: str, *, frozen: bool) -> Wallet:
    # The balances carry it: whoever charges locks and reads those, and sees it in the same statement.
    what = "frozen" if frozen else "unfrozen"
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        if (customer.pk in journal.frozen) == frozen:
            raise InvalidState(f"The wallet of {customer.external_id} is {what} already.")
        if not frozen and Customer.objects.filter(pk=customer.pk, erased_at__isnull=False).exists():
            raise InvalidState(f"{customer.external_id} was erased: its wallet stays frozen.")
        journal.messages.append(outbox.Message(f"wallet.{what}", customer.pk, {"customer": customer.external_id}))
        journal.write()
        Balance.objects.filter(customer=customer).update(frozen=frozen)
        wallet = Wallet.objects.get(customer=customer)
        wallet.frozen_at, wallet.frozen_reason = (journal.now, reason) if frozen else (None, "")
        wallet.save(update_fields=["frozen_at", "frozen_reason"])
        audit.record(
            actor=actor,
            action=f"wallet.{what}",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            after={"reason": reason},
        )
    return wallet


@retried
def set_overdraft_limit(
    *, actor: audit.Actor, customer: Customer, asset: Asset, limit: Decimal, approval: Approval | None = None
) -> Balance:
    """Allow usage to take the balance down to ``-limit``. Refused where the customer already owes more than that.

    What the customer's plans allow is part of it. A limit below that holds for later plans too, until it is set to
    what they allow, or above.

    What it is raised by counts as moved by hand: ``ApprovalRequired`` (``four_eyes``).
    """
    if limit < 0:
        raise InvalidRequest.field("overdraft_limit", "must not be negative")
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        ensure_balances(journal, [(customer.pk, asset.pk)])
        journal.write()
        balance = Balance.objects.get(customer=customer, asset=asset)
        owed = balance.owed - balance.dispute_debt
        if max(owed + balance.overdraft_held, -balance.available - balance.dispute_debt, ZERO) > limit:
            raise InvalidState(
                f"{customer.external_id} already owes {amount_string(balance.owed)} {asset.code}.", owed=balance.owed
            )
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.OVERDRAFT_LIMIT,
            amounts={asset.pk: max(ZERO, EXACT.subtract(limit, balance.overdraft_limit))},
            customer_id=customer.pk,
            approval=approval,
        )
        by_plans = overage.allowed(customer.pk, asset.pk, now=journal.now)
        cap = balance.plan_overdraft_cap
        if limit < by_plans:
            balance.plan_overdraft_cap = limit
        elif cap is not None and cap < by_plans:
            balance.plan_overdraft_cap = None
        balance.plan_overdraft = min(limit, by_plans)
        before, balance.overdraft_limit = balance.overdraft_limit, limit
        balance.save(update_fields=["overdraft_limit", "plan_overdraft", "plan_overdraft_cap"])
        audit.record(
            actor=actor,
            action="wallet.overdraft_limit_changed",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            before={"asset": asset.code, "overdraft_limit": amount_string(before)},
            after={"asset": asset.code, "overdraft_limit": amount_string(limit)},
        )
    return balance
