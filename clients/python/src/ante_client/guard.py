"""What happens to a run when nobody can be asked whether it may start."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from ante_client.errors import PaymentRequired, Unreachable
from ante_client.shapes import Authorization

logger = logging.getLogger("ante_client")

Fail = Literal["open", "closed"]
REFUSED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Unseen:
    """How much may pass unseen, per process and outage: runs of all customers together, and of each."""

    runs: int = 1000
    runs_of_one: int = 100


@dataclass(slots=True)
class Asking:
    """The question, and what was answered to it."""

    answer: Authorization = field(default_factory=lambda: Authorization(id=None))


class Guard:
    """Fail-open with a limit, or fail-closed. An answer, whatever it says, ends the outage and the count.

    Who was last refused for lack of money does not pass unseen.
    """

    def __init__(self, fail: Fail, unseen: Unseen) -> None:
        if fail not in {"open", "closed"}:
            raise ValueError(f"fail is open or closed, not {fail!r}")
        self._fail = fail
        self._unseen = unseen
        self._lock = threading.Lock()
        self._passed: Counter[str] = Counter()
        self._refused: dict[str, None] = {}

    @contextmanager
    def asking(self, customer: str, fail: Fail | None = None) -> Iterator["Asking"]:
        """Around the question whether a run of this customer may start. Where nobody answers and it may pass unseen,
        the block ends well, and ``answer`` is an authorization without an id. ``fail`` goes before the client's own.
        """
        asked = Asking()
        try:
            yield asked
        except PaymentRequired:
            self.answered(customer, refused=True)
            raise
        except Unreachable:
            if not self.passes(customer, fail):
                raise
            logger.warning("A run of %s passes unseen: nobody could be asked", customer)
        else:
            self.answered(customer, refused=False)

    def answered(self, customer: str, *, refused: bool) -> None:
        """The server answered for this customer."""
        with self._lock:
            self._passed.clear()
            if refused:
                self._refused[customer] = None
                if len(self._refused) > REFUSED_MAX:
                    del self._refused[next(iter(self._refused))]
            else:
                self._refused.pop(customer, None)

    def passes(self, customer: str, fail: Fail | None = None) -> bool:
        """Whether this run may start unseen; it is counted then."""
        with self._lock:
            if (fail or self._fail) == "closed" or customer in self._refused:
                return False
            if self._passed.total() >= self._unseen.runs or self._passed[customer] >= self._unseen.runs_of_one:
                return False
            self._passed[customer] += 1
            return True
