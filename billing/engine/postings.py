"""Which account is debited and which credited, for every kind of movement. An accountant can read it.

The codes are stored with the transactions and never change their meaning.
"""

from dataclasses import dataclass
from decimal import Decimal

from billing.engine.money import EXACT


@dataclass(frozen=True, slots=True)
class Posting:
    """A movement from the ``debit`` account to the ``credit`` account; ``kind`` is its name on the statement."""

    debit: str
    credit: str
    kind: str


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of transaction and the movements it may consist of, by name."""

    code: str
    postings: dict[str, Posting]


_AVAILABLE = frozenset({"wallet_available", "receivable"})


def change_of_available(*, debit: str, credit: str, amount: Decimal) -> Decimal:
    """By how much a movement changes ``available``, which is what the wallet holds less what is owed.

    What comes in to the wallet, or settles what is owed, counts up; what leaves it, or is owed, counts down; what
    moves between the two changes nothing.
    """
    return EXACT.multiply(amount, (credit in _AVAILABLE) - (debit in _AVAILABLE))


def _template(code: str, **postings: Posting) -> tuple[str, Template]:
    return code, Template(code, postings)


GIVEN_BACK = {
    # To the grant that had paid, and on to what is owed; to a replacement where that grant's time is over.
    "returned": Posting("usage", "wallet_available", "reversal"),
    "reinstated": Posting("usage", "wallet_available", "reinstatement"),
    "settlement": Posting("wallet_available", "receivable", "settlement"),
    # What had been taken beyond the grants: from what is owed. A grant that has paid it since gets its units back.
    "forgiven": Posting("usage", "receivable", "reversal"),
    "unsettled": Posting("receivable", "wallet_available", "settlement"),
    "unsettled_anew": Posting("receivable", "wallet_available", "reinstatement"),
    # What was written off of a debt that is none after all: no credit comes of it.
    "taken_up": Posting("wallet_available", "adjustment", "void"),
}
"""The movements of ``services.ledger.giving_back``."""

DISPUTE_LOST = {
    "drawn": Posting("wallet_available", "disputed", "chargeback"),
    "overdrawn": Posting("receivable", "disputed", "chargeback"),
    "bonus": Posting("disputed", "promotional_expense", "chargeback"),
    "fee": Posting("payment_fees", "disputed", "fee"),
    "tax": Posting("tax_payable", "disputed", "fee"),
    "owed_tax": Posting("receivable", "disputed", "fee"),
    "exchanged": Posting("disputed", "fx", "chargeback"),
    "credited": Posting("fx", "disputed", "chargeback"),
}
"""A dispute that is lost: what is taken from the wallet beyond what was frozen, and what was not the wallet's."""

PROVIDER_FEE = {
    "kept": Posting("provider_fees", "cash_clearing", "fee"),
    "returned": Posting("cash_clearing", "provider_fees", "fee"),
}
"""What the payment provider takes, and what it gives."""

TEMPLATES: dict[str, Template] = dict(
    [
        # Value comes in. What the customer owes is paid first; the grant counts that part as drawn.
        _template(
            "grant.purchase",
            value=Posting("cash_clearing", "wallet_available", "top_up"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        _template(
            "grant.promotional",
            value=Posting("promotional_expense", "wallet_available", "grant"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        _template(
            "grant.allowance",
            value=Posting("allowances", "wallet_available", "grant"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        _template(
            "grant.adjustment",
            value=Posting("adjustment", "wallet_available", "adjustment"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        _template(
            "grant.rollover",
            value=Posting("allowances", "wallet_available", "grant"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        # Usage takes from grants, and beyond them from the overdraft. Where it makes the whole period cheaper, as a
        # volume price does, it gives back: off what is owed, to the grants that had paid or what stands in for them,
        # off what was written off, and, of debts that were paid since, into a grant that collects such credits.
        _template(
            "usage.charged",
            drawn=Posting("wallet_available", "usage", "usage"),
            overdrawn=Posting("receivable", "usage", "usage"),
            returned=Posting("usage", "wallet_available", "usage"),
            reinstated=Posting("usage", "wallet_available", "reinstatement"),
            credited=Posting("usage", "wallet_available", "adjustment"),
            credited_debt=Posting("usage", "receivable", "usage"),
            **{name: GIVEN_BACK[name] for name in ("forgiven", "unsettled", "unsettled_anew", "taken_up")},
        ),
        # A charge taken back, and a part of one. They point at the transaction that charged it.
        _template("usage.reversed", **GIVEN_BACK),
        _template("usage.refunded", **GIVEN_BACK),
        # An authorization sets value aside, on grants or beyond them on the overdraft, and gives it back: before the
        # usage that it was for is charged, or because that never came. What is over then pays what is owed.
        _template(
            "authorization.opened",
            held=Posting("wallet_available", "wallet_held", "hold"),
            overdraft_held=Posting("receivable", "wallet_held", "hold"),
        ),
        _template(
            "authorization.released",
            held=Posting("wallet_held", "wallet_available", "release"),
            overdraft_held=Posting("wallet_held", "receivable", "release"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        # An amount captured without a usage event.
        _template(
            "authorization.captured",
            drawn=Posting("wallet_available", "usage", "usage"),
            overdrawn=Posting("receivable", "usage", "usage"),
        ),
        # What a plan costs beside its usage, and what is missing to the minimum that was agreed.
        _template(
            "fee.charged",
            drawn=Posting("wallet_available", "fees", "fee"),
            overdrawn=Posting("receivable", "fees", "fee"),
        ),
        _template(
            "fee.true_up",
            drawn=Posting("wallet_available", "fees", "fee"),
            overdrawn=Posting("receivable", "fees", "fee"),
        ),
        # Time that was paid for and not used comes back, as a grant; what had been taken beyond the grants, first off
        # what is owed.
        _template(
            "fee.credited",
            value=Posting("fees", "wallet_available", "fee"),
            forgiven=Posting("fees", "receivable", "fee"),
            **{name: GIVEN_BACK[name] for name in ("settlement", "unsettled", "unsettled_anew", "taken_up")},
        ),
        # What the operator takes out by hand. What is put in by hand is a grant.
        _template(
            "adjustment.debited",
            drawn=Posting("wallet_available", "adjustment", "adjustment"),
            overdrawn=Posting("receivable", "adjustment", "adjustment"),
        ),
        # What a grant still held when its time was over.
        _template("grant.expired", rest=Posting("wallet_available", "breakage", "expiry")),
        # What else a payment was for, and how it was exchanged: a grant counts what came in in its own asset, the payer
        # paid in a currency. The operator's side alone; the grant has its own transaction.
        _template(
            "top_up.settled",
            fee=Posting("cash_clearing", "payment_fees", "fee"),
            tax=Posting("cash_clearing", "tax_payable", "fee"),
            invoiced_tax=Posting("cash_clearing", "receivable", "fee"),
            exchanged=Posting("cash_clearing", "fx", "top_up"),
            credited=Posting("fx", "cash_clearing", "top_up"),
        ),
        # Tax on what an invoice asks for: owed to the office from now on, and by the customer until it is paid. What is
        # credited of it and had been paid goes into the wallet.
        _template(
            "invoice.taxed",
            tax=Posting("receivable", "tax_payable", "fee"),
            credited=Posting("tax_payable", "receivable", "fee"),
            value=Posting("tax_payable", "wallet_available", "adjustment"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        # An invoice that should not have been issued is taken back, by a credit note in full: off what is owed, and to
        # the grants that have paid it.
        _template(
            "invoice.voided",
            forgiven=Posting("adjustment", "receivable", "adjustment"),
            **{name: GIVEN_BACK[name] for name in ("settlement", "unsettled", "unsettled_anew", "taken_up")},
        ),
        # What a partner gets of what a customer pays whom they brought, and what is paid out to them.
        _template(
            "partner.accrued",
            accrued=Posting("partner_expense", "partner_payable", "fee"),
            taken_back=Posting("partner_payable", "partner_expense", "fee"),
        ),
        _template("partner.paid", paid=Posting("partner_payable", "cash_clearing", "fee")),
        # What the provider keeps of a payment, or adds to it, and takes for a dispute; some give that back where it is
        # won.
        _template("payment.fee", **PROVIDER_FEE),
        _template("payment.dispute_fee", **PROVIDER_FEE),
        # Money goes back to whoever paid: out of the grants it came with, and back into them if it does not arrive.
        _template(
            "top_up.refunded",
            purchase=Posting("wallet_available", "refunds", "refund"),
            promotional=Posting("wallet_available", "promotional_expense", "refund"),
            tax=Posting("tax_payable", "refunds", "refund"),
        ),
        _template(
            "top_up.refund_failed",
            purchase=Posting("refunds", "wallet_available", "refund"),
            promotional=Posting("promotional_expense", "wallet_available", "refund"),
            tax=Posting("refunds", "tax_payable", "refund"),
        ),
        _template("top_up.refund_settled", settlement=Posting("wallet_available", "receivable", "settlement")),
        _template(
            "top_up.refund_paid",
            exchanged=Posting("refunds", "fx", "refund"),
            credited=Posting("fx", "refunds", "refund"),
            paid=Posting("refunds", "cash_clearing", "refund"),
        ),
        _template(
            "top_up.refund_returned",
            exchanged=Posting("fx", "refunds", "refund"),
            credited=Posting("refunds", "fx", "refund"),
            returned=Posting("cash_clearing", "refunds", "refund"),
        ),
        # A payer's bank takes a payment back. What is left of it is frozen, or set free; the money goes, or comes back.
        _template(
            "dispute.frozen",
            purchase=Posting("wallet_available", "disputed", "dispute"),
            promotional=Posting("wallet_available", "promotional_expense", "dispute"),
        ),
        _template(
            "dispute.released",
            purchase=Posting("disputed", "wallet_available", "dispute"),
            promotional=Posting("promotional_expense", "wallet_available", "dispute"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
        ),
        _template("dispute.withdrawn", money=Posting("disputed", "cash_clearing", "dispute")),
        _template("dispute.reinstated", money=Posting("cash_clearing", "disputed", "dispute")),
        # It is lost: what of it was spent is taken from the wallet's other grants or owed, and fee and tax fall away.
        _template("dispute.lost", **DISPUTE_LOST),
        # Lost at first, won after all: the same the other way round.
        _template(
            "dispute.regained",
            returned=Posting("disputed", "wallet_available", "chargeback"),
            reinstated=Posting("disputed", "wallet_available", "reinstatement"),
            settlement=Posting("wallet_available", "receivable", "settlement"),
            forgiven=Posting("disputed", "receivable", "chargeback"),
            unsettled=Posting("receivable", "wallet_available", "settlement"),
            unsettled_anew=Posting("receivable", "wallet_available", "reinstatement"),
            taken_up=Posting("wallet_available", "adjustment", "void"),
            **{
                name: Posting(posting.credit, posting.debit, posting.kind)
                for name, posting in DISPUTE_LOST.items()
                if name not in {"drawn", "overdrawn"}
            },
        ),
        # What remained of a grant that the operator took back: to where its kind comes from.
        _template(
            "grant.voided",
            purchase=Posting("wallet_available", "cash_clearing", "void"),
            promotional=Posting("wallet_available", "promotional_expense", "void"),
            allowance=Posting("wallet_available", "allowances", "void"),
            adjustment=Posting("wallet_available", "adjustment", "void"),
            rollover=Posting("wallet_available", "allowances", "void"),
        ),
    ]
)
