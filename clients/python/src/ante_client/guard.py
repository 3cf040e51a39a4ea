"""What happens to a run when nobody can be asked whether it may start."""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal

Fail = Literal["open", "closed"]
REFUSED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Unseen:
    """How much may pass unseen, per process and outage: runs of all customers together, and of each."""

    runs: int = 1000
    runs_of_one: int = 100


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

    def passes(self, customer: str) -> bool:
        """Whether this run may start unseen; it is counted then."""
        with self._lock:
            if self._fail == "closed" or customer in self._refused:
                return False
            if self._passed.total() >= self._unseen.runs or self._passed[customer] >= self._unseen.runs_of_one:
                return False
            self._passed[customer] += 1
            return True
