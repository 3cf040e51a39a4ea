"""What can go wrong, as exceptions.

* AnteError
  + Unreachable           no answer: the network, a time-out, a server that says "later" to the last try
  + Refused               an answer that says no (RFC 9457); ``code`` is what a program branches on
    - InvalidRequest (400), Unauthenticated (401), PermissionDenied (403), NotFound (404), UnpricedUsage (422)
    - PaymentRequired (402)
    - Conflict (409)
    - Throttled (429)     a budget that asks to come again later
  + SpoolError            SpoolFull, SpoolUnwritable: what was to be kept on this machine could not be kept
"""

from collections.abc import Mapping
from typing import Any


class AnteError(Exception):
    """Anything that this package raises of its own accord."""


class Unreachable(AnteError):
    """Nobody answered, or only "come again later". Whether it took effect is not known: repeat it with the same key."""


class Refused(AnteError):
    """The server's refusal. ``problem`` is the whole document, with its figures as decimal strings."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", ""))
        self.request_id = str(problem.get("request_id", ""))
        self.errors: list[Mapping[str, str]] = list(problem.get("errors") or [])
        super().__init__(f"{status} {self.code}: {self.detail}")


class InvalidRequest(Refused):
    """400. ``errors`` names the fields."""


class Unauthenticated(Refused):
    """401. The key is unknown, revoked or expired."""


class PaymentRequired(Refused):
    """402. ``problem`` has ``asset``, ``available`` and ``required``, or the budget's scope and when it starts anew."""


class PermissionDenied(Refused):
    """403. The key does not have the scope, or may not be used from here."""


class NotFound(Refused):
    """404. Also for what belongs to somebody else."""


class Conflict(Refused):
    """409. The same id with other content, or not possible in this state."""


class UnpricedUsage(Refused):
    """422. No plan, meter or price for it."""


class Throttled(Refused):
    """429. A budget has nothing left until it starts anew, at ``problem["resets_at"]``."""


class SpoolError(AnteError):
    """An event could not be kept on this machine."""


class SpoolFull(SpoolError):
    """The spool has reached its bound: nothing was forwarded for long, or more comes in than goes out."""


class SpoolUnwritable(SpoolError):
    """The disk is full, or the directory cannot be written."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    402: PaymentRequired,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    422: UnpricedUsage,
    429: Throttled,
}


def refusal(status: int, problem: Mapping[str, Any]) -> Refused:
    """The exception for an answer with this status."""
    return _BY_STATUS.get(status, Refused)(status, problem)
