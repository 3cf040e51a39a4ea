"""Who calls: an Ante key, asked of the server and remembered for a moment."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ante_client.aio import AsyncAnte
from ante_client.calls import whose_key
from ante_client.client import ASK
from ante_client.errors import Refused, Unreachable
from ante_client.guard import Fail
from ante_client.shapes import Identity

SCOPE = "authorizations:write"
"""What a key needs to spend, a customer's or the operator's."""
FRESH_SECONDS = 5.0
"""So long is a key known without asking again. One that was paused or revoked since is refused when value is set
aside."""
STALE_SECONDS = 3600.0
"""So long is a key known while nobody can be asked, where runs may pass unseen."""
KEYS_MAX = 10_000
RUNS_MAX = 100_000

_META = ("user", "project", "feature", "session")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who pays, with which of their keys (None with an operator's), what is said of the call, and what happens to it
    while nobody can be asked."""

    customer: str
    key_id: str | None
    meta: Mapping[str, str]
    fail: Fail


class Callers:
    """Of one event loop."""

    def __init__(self, ante: AsyncAnte, *, fail_of: Callable[[str], Fail], steps_max: int) -> None:
        self._ante = ante
        self._fail_of = fail_of
        self._steps_max = steps_max
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._steps: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Raises ``Refused`` and ``Unreachable``. An operator's key says who pays in ``X-Ante-Customer``."""
        bearer = headers.get("authorization", "")
        token = bearer[7:].strip() if bearer[:7].lower() == "bearer " else headers.get("x-api-key", "")
        if not token.startswith(("ck_", "sk_")):
            raise _refused(401, "unauthenticated", "Send an Ante API key as Authorization: Bearer, or as x-api-key.")
        identity = await self._identity(token)
        if not {"*", SCOPE} & set(identity.scopes):
            raise _refused(403, "permission_denied", f"This key does not have the scope {SCOPE}.", scope=SCOPE)
        customer = identity.customer or headers.get("x-ante-customer", "")
        if not customer:
            raise _refused(400, "invalid_request", "With an operator's key, X-Ante-Customer says who pays.")
        meta = {name: headers[f"x-ante-{name}"][:255] for name in _META if headers.get(f"x-ante-{name}")}
        if run := headers.get("x-ante-run"):
            meta.setdefault("session", run[:255])  # Where the server's budgets know it by.
        key_id = identity.key_id if identity.customer else None
        return Caller(customer, key_id, meta, self._fail_of(token))

    def step(self, caller: Caller, run: str) -> None:
        """Count one more call of this run. Raises ``Refused`` beyond the most that a run may make."""
        if not run or not self._steps_max:
            return
        name = (caller.customer, run[:255])
        taken = self._steps.pop(name, 0)
        self._steps[name] = min(taken + 1, self._steps_max)
        if len(self._steps) > RUNS_MAX:
            self._steps.popitem(last=False)
        if taken >= self._steps_max:
            detail = f"The run {name[1]} has made its {self._steps_max} calls."
            raise _refused(429, "step_limit_reached", detail, scope={"run": name[1]}, limit=self._steps_max)

    async def _identity(self, token: str) -> Identity:
        name = hashlib.sha256(token.encode()).digest()
        seen, known = self._known.get(name, (float("-inf"), None))
        age = time.monotonic() - seen
        if known is not None and age < FRESH_SECONDS:
            return known
        try:
            found = await self._ante.perform(whose_key(token), ASK)
        except Unreachable:
            if known is not None and self._fail_of(token) == "open" and age < STALE_SECONDS:
                return known
            raise
        except Refused:
            self._known.pop(name, None)
            raise
        self._known[name] = (time.monotonic(), found)
        self._known.move_to_end(name)
        if len(self._known) > KEYS_MAX:
            self._known.popitem(last=False)
        return found


def _refused(status: int, code: str, detail: str, **more: object) -> Refused:
    return Refused(status, {"code": code, "detail": detail, **more})
