"""Who is told when something of a customer changes: one question a second to the database, however many listen.

Nothing announces a change to this process: a balance may be moved by any web process, worker or clock (a grant lapses
by itself). So while somebody listens, one poller asks for the rows of all customers listened to, in one statement,
and wakes the listeners of those whose rows differ from the last. When nobody listens it does not run.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LISTENERS_MAX = 2000
CUSTOMER_LISTENERS_MAX = 200
PERSON_LISTENERS_MAX = 20
"""Of one customer, and of one person: more tabs than anybody has, and too few to keep others out."""
_BACK_OFF_MAX_SECONDS = 10.0


class Row(Protocol):
    """What a hub reads: it is told whose it is, and compares it with what was there before."""

    @property
    def customer_id(self) -> UUID: ...


R = TypeVar("R", bound=Row)


class TooManyListeners(Exception):
    """There are as many open streams as this process takes on: of all, of this customer, or of this person."""


class Listener(Generic[R]):
    """One open stream. It keeps the latest rows only: who reads slowly skips some, and never falls behind."""

    def __init__(self, customer_id: UUID, person_id: UUID) -> None:
        self.customer_id = customer_id
        self.person_id = person_id
        self._latest: list[R] | None = None
        self._news = asyncio.Event()
        self.closed = False

    def tell(self, rows: list[R]) -> None:
        self._latest = rows
        self._news.set()

    def close(self) -> None:
        self.closed = True
        self._news.set()

    async def wait(self, seconds: float) -> list[R] | None:
        """The latest rows as soon as there are new ones; None after ``seconds`` without, or when it was closed."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return None
        self._news.clear()
        latest, self._latest = self._latest, None
        return latest


class Hub(Generic[R]):
    """The listeners of this process and their poller.

    ``read`` is asked in the threads of ``executor``; ``rest`` there too, when the last listener has gone.
    """

    def __init__(
        self,
        read: Callable[[Iterable[UUID]], Sequence[R]],
        *,
        executor: Any,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._read = read
        self._rest = rest
        self._executor = executor
        self._listeners: dict[UUID, set[Listener[R]]] = {}
        self._known: dict[UUID, list[R]] = {}
        self._poller: asyncio.Task[None] | None = None
        self.closing = False

    @property
    def listening(self) -> int:
        return sum(map(len, self._listeners.values()))

    def join(self, customer_id: UUID, person_id: UUID) -> Listener[R]:
        """A new listener, told the rows once at once and then whenever they change. Raises ``TooManyListeners``."""
        others = self._listeners.get(customer_id, set())
        if self.closing or self.listening >= LISTENERS_MAX or len(others) >= CUSTOMER_LISTENERS_MAX:
            raise TooManyListeners
        if sum(other.person_id == person_id for other in others) >= PERSON_LISTENERS_MAX:
            raise TooManyListeners
        listener: Listener[R] = Listener(customer_id, person_id)
        self._listeners.setdefault(customer_id, set()).add(listener)
        if customer_id in self._known:
            listener.tell(self._known[customer_id])
        if self._poller is None or self._poller.done():
            self._poller = asyncio.get_running_loop().create_task(self._poll(), name="live")
        return listener

    def leave(self, listener: Listener[R]) -> None:
        others = self._listeners.get(listener.customer_id, set())
        others.discard(listener)
        if not others:
            self._listeners.pop(listener.customer_id, None)
            self._known.pop(listener.customer_id, None)

    def close(self) -> None:
        """End every stream, so that the server can stop. No new one is taken on."""
        self.closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while self._listeners and not self.closing:
            await self._ask_while_somebody_listens()
            await loop.run_in_executor(self._executor, self._rest)

    async def _ask_while_somebody_listens(self) -> None:
        loop = asyncio.get_running_loop()
        pause = POLL_SECONDS
        while self._listeners and not self.closing:
            asked = list(self._listeners)
            try:
                rows = await loop.run_in_executor(self._executor, self._read, asked)
            except Exception:
                logger.exception("What is live could not be read; trying again")
                pause = min(pause * 2, _BACK_OFF_MAX_SECONDS)
            else:
                pause = POLL_SECONDS
                self._publish(asked, rows)
            await asyncio.sleep(pause)

    def _publish(self, asked: list[UUID], rows: Sequence[R]) -> None:
        found: dict[UUID, list[R]] = {customer_id: [] for customer_id in asked}
        for row in rows:
            found[row.customer_id].append(row)
        for customer_id, theirs in found.items():
            if customer_id in self._listeners and self._known.get(customer_id) != theirs:
                self._known[customer_id] = theirs
                for listener in self._listeners[customer_id]:
                    listener.tell(theirs)
