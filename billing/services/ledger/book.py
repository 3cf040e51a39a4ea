"""The book that a transaction writes in: the only writer of ledger transactions and entries, and of what balances and
grants hold.

It collects what was decided while the locks are held, and ``write`` sends all of it in a few set-based statements. One
entry or ten thousand cost the same number of round trips.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.ids import uuid7
from billing import pipeline
from billing.engine.money import EXACT, amount_string
from billing.engine.postings import TEMPLATES, Posting, change_of_available
from billing.gateways import wakeups
from billing.services import outbox
from billing.services.ledger import bulk
from billing.services.ledger.states import BalanceState, Wallets

AUTO_TOP_UPS = "billing.run_auto_top_ups"
"""The task that tops up what has run low."""


@dataclass(slots=True)
class Transaction:
    """The head of a ledger transaction that is being put together."""

    id: UUID
    template: str
    occurred_at: datetime


class Book(Wallets):
    """The locked wallets of some customers, and the entries that are about to be posted to them."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.messages: list[outbox.Message] = []
        self.entries: list[dict[str, Any]] = []
        self._transactions: list[dict[str, Any]] = []
        self._writing: bulk.Writing | None = None

    def begin(
        self,
        *,
        customer_id: UUID,
        template: str,
        reference: str,
        occurred_at: datetime,
        transaction_id: UUID | None = None,
        description: str = "",
        reverses: UUID | None = None,
    ) -> Transaction:
        """Start a transaction. ``reference`` names what it is for; the database refuses a second one.

        ``reverses`` is the transaction of which it takes back something or all.
        """
        assert template in TEMPLATES
        transaction = Transaction(transaction_id or uuid7(), template, occurred_at)
        self._transactions.append(
            {
                "id": transaction.id,
                "customer_id": customer_id,
                "template": template,
                "reference": reference,
                "reverses_id": reverses,
                "description": description,
                "occurred_at": occurred_at,
                "posted_at": self.now,
            }
        )
        return transaction

    def post(
        self,
        transaction: Transaction,
        balance: BalanceState,
        name: str,
        amount: Decimal,
        *,
        grant_id: UUID | None = None,
        charge_id: UUID | None = None,
    ) -> None:
        """Add an entry and bring the balance along, so that the entry can say what it was afterwards."""
        posting: Posting = TEMPLATES[transaction.template].postings[name]
        change = change_of_available(debit=posting.debit, credit=posting.credit, amount=amount)
        balance.available = EXACT.add(balance.available, change)
        balance.seq += 1
        balance.changed = True
        self.entries.append(
            {
                "id": uuid7(),
                "transaction_id": transaction.id,
                "customer_id": balance.customer_id,
                "balance_id": balance.id,
                "asset_id": balance.asset,
                "seq": balance.seq,
                "kind": posting.kind,
                "debit": posting.debit,
                "credit": posting.credit,
                "amount": amount,
                "grant_id": grant_id,
                "charge_id": charge_id,
                "available_after": balance.available,
                "held_after": balance.held,
                "occurred_at": transaction.occurred_at,
                "posted_at": self.now,
            }
        )

    def post_beside(self, transaction: Transaction, customer_id: UUID, asset: str, name: str, amount: Decimal) -> None:
        """Add an entry between the operator's own accounts: no balance of the customer's is touched."""
        posting: Posting = TEMPLATES[transaction.template].postings[name]
        self.entries.append(
            {
                "id": uuid7(),
                "transaction_id": transaction.id,
                "customer_id": customer_id,
                "balance_id": None,
                "asset_id": asset,
                "seq": None,
                "kind": posting.kind,
                "debit": posting.debit,
                "credit": posting.credit,
                "amount": amount,
                "grant_id": None,
                "charge_id": None,
                "available_after": None,
                "held_after": None,
                "occurred_at": transaction.occurred_at,
                "posted_at": self.now,
            }
        )

    @property
    def sends_ahead(self) -> bool:
        """Whether ``send`` may be called: within ``writing``."""
        return self._writing is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within it ``send`` has the database begin with what was posted so far. Ends with ``write``."""
        with bulk.Writing() as self._writing:
            yield
        self._writing = None

    def send(self, *more: pipeline.Query | None) -> None:
        """Have the database begin with ``more``, and the transactions and entries that were posted so far."""
        assert self._writing is not None
        self._writing.send(
            *more,
            bulk.insertion("billing_ledgertransaction", self._transactions),
            bulk.insertion("billing_ledgerentry", self.entries),
        )
        self._transactions, self.entries = [], []

    def write(self, *more: pipeline.Query | None) -> None:
        """Send everything that was posted, and ``more`` before it, in one round trip.

        Transactions, entries, messages, and the balances and grants as they are now. The last thing a service does
        with a journal.
        """
        if self._writing is not None:
            self._finish(*more)
        else:
            with self.writing():
                self._finish(*more)

    def _finish(self, *more: pipeline.Query | None) -> None:
        balances = [balance.row() for balance in self.balances.values() if balance.changed]
        grants = [state.row() for state in self.grants.values() if state.changed]
        self._tell_of_low_balances()
        self.send(*more)
        assert self._writing is not None
        self._writing.send(
            bulk.change("billing_balance", balances),
            bulk.change("billing_grant", grants),
            outbox.publication(self.messages, now=self.now),
        )
        self._writing.wait()

    def _tell_of_low_balances(self) -> None:
        """Have an automatic top-up begin right after the commit. Should the word be lost, the sweep finds it."""
        low = [balance for balance in self.balances.values() if balance.changed and balance.ran_low]
        for balance in low:
            facts = {"asset": balance.asset, "available": amount_string(balance.available)}
            self.messages.append(outbox.Message("auto_top_up.due", balance.customer_id, facts))
        if low:
            connection.on_commit(partial(wakeups.wake, AUTO_TOP_UPS), robust=True)
