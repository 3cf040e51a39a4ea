"""What a dispute has in effect: of the wallet, of what is not the wallet's, and of the money at the provider.

What it is now says what is to be in effect; what is in effect already is in its row; the difference is booked.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from django.db.models import F, Sum

from billing.engine import burndown
from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.models import Dispute, LedgerEntry, TopUp
from billing.selectors.invoicing import invoices
from billing.services.funding import takings
from billing.services.invoicing import invoice_taxes, outcomes
from billing.services.ledger.book import Transaction
from billing.services.ledger.giving_back import Part, give_back
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState

Status = Dispute.Status


@dataclass(frozen=True, slots=True)
class Share:
    """What a dispute is about, of its top-up: of the amount, the fee and the tax, and the units that came in for it.

    ``tax`` is what the office gives back; ``credited_tax`` is what of it has been put into the wallet before;
    ``owed_tax`` is what the customer owes again, because the payment was for the tax of an invoice alone.
    """

    amount: Decimal
    fee: Decimal
    tax: Decimal
    credited_tax: Decimal
    owed_tax: Decimal
    credit: Decimal
    bonus: Decimal


def book(dispute: Dispute, top_up: TopUp, *, changed: bool = False) -> None:
    """Bring what is in effect to what the status asks for. The payment's attempt is locked.

    ``changed``: it is over another amount than before.
    """
    journal = Journal.open([dispute.customer_id])
    invoiced_before = top_up.invoiced_tax
    stays_lost = dispute.status == Status.LOST and not changed
    if dispute.loss_id is not None and (not stays_lost or _is_short(journal, dispute, top_up)):
        _undo_loss(journal, dispute, top_up)
    if dispute.status in Dispute.HARMLESS:
        _release(journal, dispute, top_up, dispute.frozen, dispute.frozen_bonus)
    else:
        wanted = share(journal, dispute, top_up)
        if changed:
            own = EXACT.subtract(dispute.frozen, wanted.credit)
            extra = EXACT.subtract(dispute.frozen_bonus, wanted.bonus)
            _release(journal, dispute, top_up, max(ZERO, own), max(ZERO, extra))
        if dispute.loss_id is None:
            _freeze(journal, dispute, top_up, wanted)
        if dispute.status == Status.LOST and dispute.loss_id is None:
            _book_loss(journal, dispute, top_up, wanted)
    _move_money(journal, dispute, ZERO if dispute.status in Dispute.HARMLESS else dispute.amount)
    journal.write()
    if top_up.invoiced_tax < invoiced_before:
        outcomes.reopen(dispute.customer_id, dispute.currency_id)


def _is_short(journal: Journal, dispute: Dispute, top_up: TopUp) -> bool:
    """Whether it has taken less than is lost, because some of that was on its way back to the payer then."""
    wanted = share(journal, dispute, top_up)
    taken = EXACT.add(EXACT.add(dispute.frozen, dispute.frozen_bonus), dispute.recovered)
    return EXACT.add(wanted.credit, wanted.bonus) > taken


def _begin(journal: Journal, dispute: Dispute, template: str) -> Transaction:
    return journal.begin(
        customer_id=dispute.customer_id,
        template=template,
        reference=f"dispute:{dispute.pk}:{dispute.revision}:{template.partition('.')[2]}",
        occurred_at=journal.now,
    )


def _freeze(journal: Journal, dispute: Dispute, top_up: TopUp, wanted: Share) -> None:
    """Set aside what is left of the payment's own grants, up to what is disputed. What is held stays."""
    paid, bonus = journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id)
    if paid is None:
        return  # It paid the tax of an invoice alone.
    own = min(paid.source.remaining, max(ZERO, EXACT.subtract(wanted.credit, dispute.frozen)))
    extra = ZERO
    if bonus is not None:
        extra = min(bonus.source.remaining, max(ZERO, EXACT.subtract(wanted.bonus, dispute.frozen_bonus)))
    if not own and not extra:
        return
    head = _begin(journal, dispute, "dispute.frozen")
    if own:
        journal.refund(head, paid, own)
    if extra:
        assert bonus is not None
        journal.refund(head, bonus, extra)
    dispute.frozen = EXACT.add(dispute.frozen, own)
    dispute.frozen_bonus = EXACT.add(dispute.frozen_bonus, extra)


def _release(journal: Journal, dispute: Dispute, top_up: TopUp, own: Decimal, extra: Decimal) -> None:
    """Give back so much of what was frozen, to the grants it came from; what is owed since is paid from it."""
    if not own and not extra:
        return
    head = _begin(journal, dispute, "dispute.released")
    for grant_id, amount in ((top_up.grant_id, own), (top_up.bonus_grant_id, extra)):
        if amount:
            state = journal.load_grant(grant_id)
            assert state is not None
            journal.put_back(head, state, amount)
            journal.settle(head, state, min(amount, state.source.remaining))
    dispute.frozen = EXACT.subtract(dispute.frozen, own)
    dispute.frozen_bonus = EXACT.subtract(dispute.frozen_bonus, extra)


def _book_loss(journal: Journal, dispute: Dispute, top_up: TopUp, wanted: Share) -> None:
    """Take what was spent of it from whatever else the wallet holds, and have the rest owed. Fee and tax fall away."""
    head = _begin(journal, dispute, "dispute.lost")
    units = EXACT.add(wanted.credit, wanted.bonus)
    missing = EXACT.subtract(units, EXACT.add(dispute.frozen, dispute.frozen_bonus))
    _take(journal, head, dispute, top_up.asset_id, missing)
    _take(journal, head, dispute, dispute.currency_id, wanted.credited_tax)
    beside = {"fee": wanted.fee, "tax": wanted.tax, "owed_tax": wanted.owed_tax}
    for name, amount in beside.items():
        if amount:
            journal.post_beside(head, dispute.customer_id, dispute.currency_id, name, amount)
    spent_bonus = EXACT.subtract(wanted.bonus, dispute.frozen_bonus)
    if spent_bonus:
        journal.post_beside(head, dispute.customer_id, top_up.asset_id, "bonus", spent_bonus)
    if top_up.asset_id != dispute.currency_id:
        if wanted.credit:
            journal.post_beside(head, dispute.customer_id, top_up.asset_id, "exchanged", wanted.credit)
        if wanted.amount:
            journal.post_beside(head, dispute.customer_id, dispute.currency_id, "credited", wanted.amount)
    _note_owed_tax(top_up, EXACT.subtract(top_up.invoiced_tax, wanted.owed_tax))
    dispute.recovered, dispute.recovered_tax = missing, wanted.credited_tax
    dispute.loss_id = head.id


def _take(journal: Journal, head: Transaction, dispute: Dispute, asset: str, amount: Decimal) -> None:
    """Take ``amount`` from whatever the wallet holds of the asset, and have the rest owed.

    A currency that was only paid in has no balance, and nothing is taken of it.
    """
    if not amount:
        return
    balance = journal.balances[dispute.customer_id, asset]
    payable = burndown.payable(balance.sources, meter=None, moment=journal.now)
    debt = max(ZERO, EXACT.subtract(amount, payable))
    draws = burndown.draw(balance.sources, amount, meter=None, moment=journal.now, overdraft=debt)
    assert draws is not None
    balance.dispute_debt = EXACT.add(balance.dispute_debt, debt)
    journal.draw(head, balance, draws, charge_id=None, spent=False)


def _note_owed_tax(top_up: TopUp, invoiced: Decimal) -> None:
    """What of its tax has paid an invoice now: the rest is open there again."""
    if invoiced != top_up.invoiced_tax:
        top_up.invoiced_tax = invoiced
        top_up.save(update_fields=["invoiced_tax"])


def _undo_loss(journal: Journal, dispute: Dispute, top_up: TopUp) -> None:
    """Book the loss the other way round: to the very grants that were drawn, and off what is owed."""
    head = _begin(journal, dispute, "dispute.regained")
    names = takings.names_of_a_loss()
    parts: dict[str, list[Part]] = {}
    beside: dict[str, Decimal] = {}
    for entry in LedgerEntry.objects.filter(customer_id=dispute.customer_id, transaction_id=dispute.loss_id):
        if entry.balance_id is None:
            name = names[entry.debit, entry.credit]
            beside[name] = entry.amount
            journal.post_beside(head, dispute.customer_id, entry.asset_id, name, entry.amount)
        else:
            parts.setdefault(entry.asset_id, []).append(Part(entry.grant_id, entry.amount))
    for asset, taken in parts.items():
        balance = journal.balances[dispute.customer_id, asset]
        _forget_debt(balance, taken)
        give_back(journal, head, balance, taken, charge_id=None, spent=False)
    _return_tax(journal, dispute, top_up, owed=beside.get("owed_tax", ZERO), paid=beside.get("tax", ZERO))
    dispute.recovered = dispute.recovered_tax = ZERO
    dispute.loss_id = None


def _return_tax(journal: Journal, dispute: Dispute, top_up: TopUp, *, owed: Decimal, paid: Decimal) -> None:
    """Put tax that has come back with a dispute, and that no invoice asks for by now, into the wallet.

    Of what was ``owed`` since the loss that is what was paid meanwhile. Of what the office had given back, and is
    ``paid`` to it again, it is what credit notes have withheld because of that.
    """
    customer_id, currency = dispute.customer_id, dispute.currency_id
    still_owed = min(owed, invoices.open_tax(customer_id, currency))
    _note_owed_tax(top_up, EXACT.add(top_up.invoiced_tax, still_owed))
    twice = EXACT.subtract(owed, still_owed)
    beyond_invoices = EXACT.subtract(top_up.tax, EXACT.add(top_up.invoiced_tax, top_up.tax_refunded))
    of_invoices = max(ZERO, EXACT.subtract(paid, beyond_invoices))
    # What was paid twice was paid for the tax of an invoice alone, and is nothing that a credit note has withheld.
    others = Dispute.objects.filter(customer_id=customer_id, currency_id=currency, top_up__amount__gt=0)
    returned = others.aggregate(tax=Sum("returned_tax"))["tax"] or ZERO
    withheld = EXACT.subtract(invoices.tax_withheld(customer_id, currency), returned)
    amount = EXACT.add(twice, min(of_invoices, max(ZERO, withheld)))
    if not amount:
        return
    head = _begin(journal, dispute, "invoice.taxed")
    if twice:
        journal.post_beside(head, customer_id, currency, "tax", twice)
    invoice_taxes.give(journal, head, customer_id, currency, amount, name="Tax that no invoice asks for")
    dispute.returned_tax = EXACT.add(dispute.returned_tax, amount)


def _forget_debt(balance: BalanceState, parts: list[Part]) -> None:
    owed = exact_sum(part.amount for part in parts if part.grant_id is None)
    balance.dispute_debt = max(ZERO, EXACT.subtract(balance.dispute_debt, owed))


def _move_money(journal: Journal, dispute: Dispute, wanted: Decimal) -> None:
    """What the provider took, or gave back."""
    if dispute.withdrawn == wanted:
        return
    out = wanted > dispute.withdrawn
    head = _begin(journal, dispute, "dispute.withdrawn" if out else "dispute.reinstated")
    amount = EXACT.subtract(wanted, dispute.withdrawn).copy_abs()
    journal.post_beside(head, dispute.customer_id, dispute.currency_id, "money", amount)
    dispute.withdrawn = wanted


# --- How much ---------------------------------------------------------------------------------------------------------


def share(journal: Journal, dispute: Dispute, top_up: TopUp) -> Share:
    """What the dispute is about. What was paid back before, or is in another dispute, is not in it a second time.

    Nor are the fee and the tax that another one has taken: together they take no more than the payment.
    """
    part = Fraction(dispute.amount) / Fraction(top_up.attempt.amount)
    coins = places(dispute.currency_id)
    taken = takings.taken_beside(top_up, but=dispute)
    others = top_up.disputes.exclude(pk=dispute.pk).aggregate(tax=Sum("recovered_tax", default=ZERO))
    taken_of_tax = exact_sum([taken["tax"], taken["owed_tax"], others["tax"]])
    left_of_tax = EXACT.subtract(top_up.tax, EXACT.add(top_up.tax_refunded, taken_of_tax))
    fee = min(round_half_even(Fraction(top_up.fee) * part, precision=coins), EXACT.subtract(top_up.fee, taken["fee"]))
    tax = max(ZERO, min(round_half_even(Fraction(top_up.tax) * part, precision=coins), left_of_tax))
    amount = EXACT.subtract(dispute.amount, EXACT.add(fee, tax))
    amount = min(amount, EXACT.subtract(top_up.amount, taken["credited"]))
    credited_tax = min(tax, dispute.returned_tax)
    more = _credited_tax(dispute, top_up, EXACT.subtract(tax, credited_tax), left_of_tax)
    credited_tax = EXACT.add(credited_tax, more)
    tax = EXACT.subtract(tax, credited_tax)
    owed_tax = min(tax, top_up.invoiced_tax) if not top_up.amount else ZERO
    of_amount = Fraction(amount) / Fraction(top_up.amount) if top_up.amount else Fraction(0)
    paid, bonus = journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id)
    given = takings.given(top_up, paid, bonus, to=dispute)
    of_bonus = _units(given.bonus, of_amount, given.bonus_gone, top_up.asset.precision)
    return Share(
        amount=amount,
        fee=fee,
        tax=EXACT.subtract(tax, owed_tax),
        credited_tax=credited_tax,
        owed_tax=owed_tax,
        credit=_units(given.credit, of_amount, given.credit_gone, top_up.asset.precision),
        # What it has frozen stays with it, though staff have taken back the rest since.
        bonus=max(of_bonus, min(dispute.frozen_bonus, _units(top_up.bonus, of_amount, ZERO, top_up.asset.precision))),
    )


def _credited_tax(dispute: Dispute, top_up: TopUp, tax: Decimal, left: Decimal) -> Decimal:
    """What of ``tax`` had paid an invoice and was given into the wallet since, so that the office has it no longer.

    Of the ``left`` of the top-up's tax, what no invoice had asked for falls away first.
    """
    of_invoices = min(tax, max(ZERO, EXACT.subtract(tax, EXACT.subtract(left, top_up.invoiced_tax))))
    if not of_invoices:
        return ZERO
    assert top_up.settled_at is not None
    given = invoices.tax_given(top_up.customer_id, top_up.currency_id, since=top_up.settled_at)
    others = Dispute.objects.filter(customer_id=top_up.customer_id, currency_id=top_up.currency_id)
    taken = others.exclude(pk=dispute.pk).filter(recovered_tax__gt=0)
    again = taken.aggregate(tax=Sum(F("recovered_tax") - F("returned_tax")))["tax"] or ZERO
    return min(of_invoices, max(ZERO, EXACT.subtract(given, again)))


def _units(whole: Decimal, part: Fraction, gone: Decimal, precision: int) -> Decimal:
    left = max(ZERO, EXACT.subtract(whole, gone))
    return min(left, round_half_even(Fraction(whole) * part, precision=precision))
