"""How often somebody may fail to sign in, before no further attempt is looked at for a while.

Attempts are counted before the password is looked at, so that many at once get no further than one after another; one
that succeeds is taken back. The counters are in the cache, for all processes together. Where it cannot be reached, each
process counts on its own: without a cache there are fewer attempts on record, never none.
"""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field

from django.core.cache import cache
from django.http import HttpRequest

from accounts import addresses

WINDOW_SECONDS = 15 * 60
PAIR_MAX = 10
"""For one e-mail from one address."""
ADDRESS_MAX = 50
"""For one address, whatever e-mails it tries."""
PREFIX = "sign-in"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Local:
    """Counters of this process alone. At most so many that they fill no memory: the oldest go first."""

    size_max: int = 10_000
    _counts: dict[str, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str, amount: int) -> int:
        now = time.monotonic()
        with self._lock:
            count, end = self._counts.get(key, (0, 0.0))
            if end <= now:
                self._counts.pop(key, None)
                count, end = 0, now + WINDOW_SECONDS
            while key not in self._counts and len(self._counts) >= self.size_max:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = count + amount, end
            return count + amount

    def clear(self, key: str = "") -> None:
        """Forget one counter, or all of them."""
        with self._lock:
            if key:
                self._counts.pop(key, None)
            else:
                self._counts.clear()


local = Local()


def begin(request: HttpRequest, email: str) -> bool:
    """Count an attempt. False where there were too many: then do not even look at the password."""
    pair, address = _keys(request, email)
    # Both, always: who has used up one of them goes on filling the other.
    return (_add(pair, 1) <= PAIR_MAX) & (_add(address, 1) <= ADDRESS_MAX)


def succeeded(request: HttpRequest, email: str) -> None:
    """It was the right person: their failures are forgotten, and the attempt is not one of the address's."""
    pair, address = _keys(request, email)
    _add(address, -1)
    local.clear(pair)
    try:
        cache.delete(pair)
    except Exception as error:
        logger.warning("The cache cannot be reached: %s", error)


def _keys(request: HttpRequest, email: str) -> tuple[str, str]:
    address = _address(request)
    person = hashlib.sha256(f"{email.strip().lower()}\n{address}".encode()).hexdigest()
    return f"{PREFIX}:pair:{person}", f"{PREFIX}:address:{address}"


def _address(request: HttpRequest) -> str:
    return hashlib.sha256((addresses.text_of(request) or "unknown").encode()).hexdigest()


def _add(key: str, amount: int) -> int:
    try:
        for _ in range(2):
            cache.add(key, 0, timeout=WINDOW_SECONDS)
            try:
                return int(cache.incr(key, amount))
            except ValueError:
                continue  # It lapsed in between.
    except Exception as error:
        logger.warning("Sign-ins are counted by this process alone, for the cache cannot be reached: %s", error)
    return local.add(key, amount)
