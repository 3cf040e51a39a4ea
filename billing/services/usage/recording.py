"""The hot path, top to bottom."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Self
from uuid import UUID
from zlib import crc32

from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts.services import api_keys
from billing import pipeline
from billing.errors import (
    BillingError,
    InternalError,
    NotFound,
)
from billing.selectors.catalog import costs
from billing.selectors.customer import customers
from billing.services import budgets
from billing.services.ledger import bulk
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.usage import answers, rating
from billing.services.usage.counters import Counters, reading_values
from billing.services.usage.counters import reading as counter_reading
from billing.services.usage.deciding import Decisions, refusal_of
from billing.services.usage.events import IncomingEvent, Outcome
from billing.services.usage.renewing import PeriodBegins, renewed_first
from billing.services.wallet.wallets import ensure_balances

logger = logging.getLogger(__name__)

SENT_TOGETHER = 128
"""After how many events of a batch the database is given their rows, to write them while the next are decided."""
PARTED_FROM = 500
"""From how many events on a batch is written in several transactions."""
PARTS = 4
"""How many. Each has the customers of a quarter of all subjects, whichever batch they come in, and the quarters take
their turn in one order: a batch that comes while another is written follows it from quarter to quarter instead of
waiting for the whole of it."""
CLOCK_SKEW_MAX = timedelta(hours=1)
"""How far our clock may be from the database's when we guess which periods an event without a time may touch."""


def record(events: Sequence[IncomingEvent]) -> list[Outcome]:
    """Rate and debit ``events`` in the order given, each exactly once, and say what became of each.

    An event stands for itself: one that is refused does not touch its neighbours. All of one customer's commit
    together, and all of a batch below ``PARTED_FROM``, or of one that is part of somebody else's transaction. Events
    that were recorded before get their first answer again, so a batch that was interrupted is completed by sending it
    again. Raises ``WalletBusy`` where the locks cannot be had in time.
    """
    outcomes: dict[int, Outcome] = {}
    for positions in _parts(events):
        outcomes.update(zip(positions, _record_together([events[at] for at in positions]), strict=True))
    return [outcomes[at] for at in range(len(events))]


def _parts(events: Sequence[IncomingEvent]) -> Iterable[Sequence[int]]:
    """The positions of the events that share a transaction, in the order of the transactions."""
    if len(events) < PARTED_FROM or connection.in_atomic_block:
        return [range(len(events))]
    parts: list[list[int]] = [[] for _ in range(PARTS)]
    for at, event in enumerate(events):
        parts[crc32(event.subject.encode()) % PARTS].append(at)
    return filter(None, parts)


def _record_together(events: Sequence[IncomingEvent]) -> list[Outcome]:
    try:
        return _record(events)
    except (DataError, IntegrityError, ArithmeticError):
        # A bug that one of them met. Nobody pays for a neighbour's trouble: each gets a transaction of its own.
        if len(events) == 1 or connection.in_atomic_block:
            raise
        logger.exception("%d events could not be recorded together", len(events))
        return [_record_alone(event) for event in events]


def record_unlocked(events: Sequence[IncomingEvent]) -> list[Outcome | None]:
    """The same without waiting for anybody: None for the events of customers that somebody else has locked."""
    return renewed_first(partial(_record_unlocked, events))


def _record_unlocked(events: Sequence[IncomingEvent], renewing: bool) -> list[Outcome | None]:
    with transaction.atomic():
        recording = Recording.open(events, skip_locked=True, renewing=renewing)
        with recording.journal.writing():
            outcomes = recording.decide_unlocked()
            recording.write()
    return outcomes


def _record(events: Sequence[IncomingEvent]) -> list[Outcome]:
    return renewed_first(retried(partial(_record_locked, events)))


def _record_locked(events: Sequence[IncomingEvent], renewing: bool) -> list[Outcome]:
    with transaction.atomic():
        recording = Recording.open(events, renewing=renewing)
        with recording.journal.writing():
            outcomes = recording.decide()
            recording.write()
    return outcomes


def _record_alone(event: IncomingEvent) -> Outcome:
    try:
        return _record([event])[0]
    except (DataError, IntegrityError, ArithmeticError):
        logger.exception("The event %s of %s could not be recorded", event.id, event.subject)
        return refusal_of(event, InternalError("This event could not be recorded. It is in the log."))


class Recording(Decisions):
    """One transaction's worth of events: read together, decided one by one in memory, written together."""

    @classmethod
    def open(
        cls,
        events: Sequence[IncomingEvent],
        *reads: pipeline.Query,
        skip_locked: bool = False,
        renewing: bool = False,
    ) -> Self:
        """Lock the customers and read all that the decisions rest on, and ``reads``, in one round trip.

        Customers beyond the reach of the key that reported are not even locked. ``renewing``: see ``renewed_first``.
        """
        identities = customers.identities({event.subject for event in events})
        key_owners = api_keys.owners({event.named_key_id for event in events if event.named_key_id})
        reached = [
            event
            for event in events
            if (who := identities.get(event.subject)) and event.organization_id in {None, who.organization_id}
        ]
        customer_ids = {identities[event.subject].id for event in reached}
        times = [event.time for event in events if event.time is not None]
        latest = max([*times, timezone.now() + CLOCK_SKEW_MAX])
        earliest = min([*times, timezone.now() - CLOCK_SKEW_MAX])
        payers = rating.reading(customer_ids)
        known = answers.reading({(identities[e.subject].id, e.source, e.id) for e in reached})
        counted = counter_reading(customer_ids, earliest=earliest, latest=latest)
        limits = budgets.Reading(customer_ids, lambda: (event.use for event in reached))
        changed = costs.check()
        more = [*limits.queries, *([changed] if changed is not None else []), *reads]
        journal = Journal.open(customer_ids, payers, known, counted, *more, skip_locked=skip_locked)
        costs.note(changed)
        counters = Counters()
        counters.take(counted.rows)
        recorded = answers.load([row[0] for row in known.rows])
        found = rating.payers(payers.rows)
        if renewing:
            begun = [payer.id for payer in found.values() if payer.begins_period(journal.now)]
            if not journal.busy.issuperset(begun):
                raise PeriodBegins(begun)
        recording = cls(events, journal, found, recorded, counters)
        recording.key_owners = key_owners
        recording.budgets = limits.load(journal, [payer.id for payer in found.values() if payer.budgeted])
        return recording

    def decide(self) -> list[Outcome]:
        """What becomes of each event, in order."""
        outcomes = [outcome for outcome in self.decide_unlocked() if outcome is not None]
        assert len(outcomes) == len(self.events)
        return outcomes

    def decide_unlocked(self) -> list[Outcome | None]:
        """The same, with None for the events of customers that are locked elsewhere."""
        fresh = [event for event in self.events if self._is_fresh(event)]
        rated = {id(event): self.lines(event) for event in fresh}
        self.read_values(self._lines_of(rated))
        self.fair_use.read(self._lines_of(rated))
        ensure_balances(
            self.journal,
            {
                pair
                for event in fresh
                if isinstance(lines := rated[id(event)], list)
                for pair in self._charged_in(event, lines)
            },
        )
        outcomes: list[Outcome | None] = []
        for event in self.events:
            if not self._reaches(event):
                outcomes.append(refusal_of(event, NotFound(f"There is no customer {event.subject}.")))
            elif (recorded := self.known.get(self._key(event))) is not None:
                outcomes.append(recorded.answer(event))
            elif id(event) in rated:
                outcomes.append(self._decide(event, rated[id(event)]))
            else:
                outcomes.append(None)
            if self.journal.sends_ahead and len(self.rows) == SENT_TOGETHER:
                self.journal.send(*self._take_rows())
        return outcomes

    def _lines_of(self, rated: "Mapping[int, list[rating.Line] | BillingError]") -> Iterator[tuple[UUID, rating.Line]]:
        for event in self.events:
            if isinstance(lines := rated.get(id(event)), list):
                for line in lines:
                    yield self.payers[event.subject].id, line

    def read_values(self, lines: Iterable[tuple[UUID, rating.Line]]) -> None:
        """Which of the values that meters of different values are about to count were counted before."""
        read = reading_values(lines)
        if read is not None:
            pipeline.run([read])
            self.counters.take_values(read.rows)

    def _is_fresh(self, event: IncomingEvent) -> bool:
        if not self._reaches(event) or self._key(event) in self.known:
            return False
        return self.payers[event.subject].id not in self.journal.busy

    def _reaches(self, event: IncomingEvent) -> bool:
        """Whether there is such a customer, as far as the key that reported the event can see."""
        payer = self.payers.get(event.subject)
        return payer is not None and event.organization_id in {None, payer.organization_id}

    def write(self, *more: bulk.Write | None) -> None:
        """Everything that was decided, and ``more``, in one round trip."""
        rows = self._take_rows()
        self.journal.messages += self.rows.messages()
        self.journal.write(*rows, *self.counters.writes(), *self.budgets.writes(), *self.fair_use.writes(), *more)

    def _take_rows(self) -> list[bulk.Write | None]:
        writes = self.rows.take()
        self.counters.rows_sent()
        return writes
