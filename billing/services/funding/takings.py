"""What of a top-up's grants can be taken back: by refunds and by disputes, by the same count.

Units are counted by what they stood for: what was paid for, or came on top. Where one of the two grants has too little
left, the other gives up units in its place, and they count for what they stand in for.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet, Sum

from billing.engine.money import EXACT, ZERO, exact_sum
from billing.engine.postings import TEMPLATES
from billing.models import Dispute, LedgerEntry, Refund, TopUp
from billing.services.ledger.states import GrantState


@dataclass(frozen=True, slots=True)
class Given:
    """What a top-up gave, in units of its asset, and what of that has gone back to the payer.

    ``credit`` was paid for; ``bonus`` came on top, without what staff took back of it by voiding. ``voided`` is what
    they took of the credit: the books have it as paid back by them. ``credit_gone`` and ``bonus_gone`` went with
    refunds, and with disputes that are open or lost.
    """

    credit: Decimal
    bonus: Decimal
    voided: Decimal
    credit_gone: Decimal
    bonus_gone: Decimal

    @property
    def units(self) -> Decimal:
        return EXACT.add(self.credit, self.bonus)

    @property
    def gone(self) -> Decimal:
        return EXACT.add(self.credit_gone, self.bonus_gone)


def given(top_up: TopUp, paid: GrantState | None, bonus: GrantState | None, *, to: Dispute | None = None) -> Given:
    """What there is to take back. ``paid`` and ``bonus`` are its grants as they are in the journal.

    ``to``: the dispute that takes it, which may have changed since it was saved. What it has is not gone.
    """
    refunds = top_up.refunds.exclude(status=Refund.Status.FAILED).aggregate(
        credit=_sum("credit"), recovered=_sum("recovered"), bonus=_sum("bonus")
    )
    others = _disputes(top_up, but=to).aggregate(
        credit=_sum("frozen"), bonus=_sum("frozen_bonus"), recovered=_sum("recovered")
    )
    spent_bonus = taken_beside(top_up, but=to)["bonus"]
    from_paid, from_bonus = EXACT.add(refunds["credit"], others["credit"]), EXACT.add(refunds["bonus"], others["bonus"])
    in_place_of_credit = EXACT.subtract(EXACT.subtract(others["recovered"], spent_bonus), refunds["recovered"])
    in_place_of_bonus = EXACT.add(refunds["recovered"], spent_bonus)
    frozen = (ZERO, ZERO) if to is None else (to.frozen, to.frozen_bonus)
    return Given(
        credit=top_up.credit,
        bonus=EXACT.subtract(top_up.bonus, _voided(bonus, EXACT.add(from_bonus, frozen[1]))),
        voided=_voided(paid, EXACT.add(from_paid, frozen[0])),
        credit_gone=EXACT.add(from_paid, in_place_of_credit),
        bonus_gone=EXACT.add(from_bonus, in_place_of_bonus),
    )


def taken_beside(top_up: TopUp, *, but: Dispute | None) -> dict[str, Decimal]:
    """What the disputes of it that are lost have taken that was not the wallet's: by the name of the posting."""
    losses = _disputes(top_up, but=but).exclude(loss_id=None).values("loss_id")
    taken = dict.fromkeys(TEMPLATES["dispute.lost"].postings, ZERO)
    names = names_of_a_loss()
    for entry in LedgerEntry.objects.filter(customer_id=top_up.customer_id, transaction_id__in=losses, balance_id=None):
        name = names[entry.debit, entry.credit]
        taken[name] = EXACT.add(taken[name], entry.amount)
    return taken


def names_of_a_loss() -> dict[tuple[str, str], str]:
    """Of what is not the wallet's, by accounts."""
    postings = TEMPLATES["dispute.lost"].postings.items()
    return {(each.debit, each.credit): name for name, each in postings if name not in {"drawn", "overdrawn"}}


def left_in(*grants: GrantState | None) -> Decimal:
    """What remains of the grants: neither spent nor held."""
    return exact_sum(state.source.remaining for state in grants if state is not None)


def _disputes(top_up: TopUp, *, but: Dispute | None) -> QuerySet[Dispute]:
    found = top_up.disputes.all()
    return found if but is None else found.exclude(pk=but.pk)


def _sum(field: str) -> Sum:
    return Sum(field, default=ZERO)


def _voided(state: GrantState | None, taken: Decimal) -> Decimal:
    """What of the grant was voided beside what refunds and disputes have ``taken`` out of it."""
    return ZERO if state is None else EXACT.subtract(state.voided, taken)
