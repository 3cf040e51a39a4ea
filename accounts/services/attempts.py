"""How often somebody may fail to sign in, before no further attempt is looked at for a while.

Counted are the failures of a person at one address, of an address, of a person at all addresses together, and of
everybody. Who tries one person's password from everywhere keeps that person from nothing in browsers in which they were
seen before, and they are told.

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
from django.utils.translation import gettext_lazy as _

from accounts import addresses
from accounts.models import User
from accounts.services import devices, mail

WINDOW_SECONDS = 15 * 60
PAIR_MAX = 10
"""For one e-mail from one address."""
ADDRESS_MAX = 50
"""For one address, whatever e-mails it tries."""
PERSON_MAX = 100
"""For one e-mail, from all addresses together. Beyond it only browsers are heard where they were seen before."""
COMPANY_MAX = 300
"""For one address, that goes to a company to sign in there and does not come back: an office has one for all."""
EVERYBODY_MAX = 5000
"""For all together. Beyond it nobody has more than ``STRICT_PAIR_MAX``."""
STRICT_PAIR_MAX = 3
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
    pair, address, person, everybody = _keys(request, email)
    # Both, always: who has used up one goes on filling the other. What is refused for that is counted nowhere else, or
    # one address would be enough to keep a person, or everybody, out.
    at_address, from_address = _add(pair, 1), _add(address, 1)
    if at_address > PAIR_MAX or from_address > ADDRESS_MAX:
        return False
    of_person, of_all = _add(person, 1), _add(everybody, 1)
    if of_person == PERSON_MAX + 1:
        _tell(email)
    if of_all == EVERYBODY_MAX + 1:
        logger.warning("More than %d sign-ins failed in %d seconds", EVERYBODY_MAX, WINDOW_SECONDS)
    if of_all > EVERYBODY_MAX and at_address > STRICT_PAIR_MAX:
        return False
    return of_person <= PERSON_MAX or _was_here(request, email)


def succeeded(request: HttpRequest, email: str) -> None:
    """It was the right person: their failures here are forgotten, and the attempt is none of the others'."""
    pair, *others = _keys(request, email)
    for key in others:
        _add(key, -1)
    local.clear(pair)
    try:
        cache.delete(pair)
    except Exception as error:
        logger.warning("The cache cannot be reached: %s", error)


def begin_onward(request: HttpRequest) -> bool:
    """Count somebody who goes to their company to sign in there. False where too many of their address did.

    Nothing is counted for the company, nor for all together: or who only knows its name could keep its people out.
    """
    return _add(_onward(request), 1) <= COMPANY_MAX


def came_back(request: HttpRequest) -> None:
    """They came back and were let in: it is none of those that are counted."""
    _add(_onward(request), -1)


def _onward(request: HttpRequest) -> str:
    return f"{PREFIX}:company:{_digest(addresses.text_of(request) or 'unknown')}"


def _keys(request: HttpRequest, email: str) -> tuple[str, str, str, str]:
    address, person = _digest(addresses.text_of(request) or "unknown"), _digest(email.strip().lower())
    pair = f"{PREFIX}:pair:{person}:{address}"
    return pair, f"{PREFIX}:address:{address}", f"{PREFIX}:person:{person}", f"{PREFIX}:everybody"


def _tell(email: str) -> None:
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if user is not None:
        mail.tell(
            user,
            _("Many attempts to sign in as you"),
            _(
                "More than {count} attempts to sign in as you failed, from several addresses. For a while you can sign "
                "in only with browsers that you used before. A new password, set by a link sent to this address, lets "
                "another browser in as well."
            ),
            count=PERSON_MAX,
        )


def _was_here(request: HttpRequest, email: str) -> bool:
    user = User.objects.filter(email=email.strip().lower()).first()
    return user is not None and devices.knows(request, user)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
