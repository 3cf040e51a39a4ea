"""One model call: what is set aside for it, what it used, and how it ends. Its id is made before anything else.

```python
with ante.inference("acme", "llm.completion", {"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 4000}) as run:
    answer = ask_the_model(max_tokens=run.at_most("output_tokens", 4000))
    run.used(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
```
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ante_client import calls
from ante_client.guard import Fail
from ante_client.shapes import Authorization

if TYPE_CHECKING:
    from ante_client.aio import AsyncAnte
    from ante_client.client import Ante

HOLD_SECONDS = 600


class Inference:
    """A run of either client. ``data`` is what was announced: who, which model, and the most that is expected.

    ``key_id`` is the id of the customer's own key that it is made with, where an operator's program says so.
    """

    def __init__(
        self,
        customer: str,
        type: str,
        data: Mapping[str, Any],
        *,
        source: str,
        id: str | None = None,
        expires_in: int = HOLD_SECONDS,
        fail: Fail | None = None,
        key_id: str | None = None,
    ) -> None:
        self.id = id or calls.new_id()
        self.customer = customer
        self.type = type
        self.source = source
        self.expires_in = expires_in
        self.fail = fail
        self.key_id = key_id
        self.data = {**data, "inference_id": self.id}
        self.authorization: Authorization | None = None
        self._used: dict[str, Any] | None = None
        self._ended_at: datetime | None = None

    def used(self, **data: Any) -> None:
        """What was really used so far, in the fields of ``data``. Said again, the later one holds."""
        self._used = {**(self._used or {}), **data}

    def at_most(self, field: str, wanted: int) -> int:
        """So much of ``field``, or what the wallet affords where that is less."""
        if self.authorization is None or field not in self.authorization.affordable:
            return wanted
        return min(wanted, int(self.authorization.affordable[field]))

    def event(self, outcome: str | None = None) -> dict[str, Any]:
        """The usage event: what was announced, with what was used in its place. ``failed`` is how a run breaks off.

        Its time is that of the first asking, so that it stays the same event.
        """
        self._ended_at = self._ended_at or datetime.now(UTC)
        return calls.event(
            customer=self.customer,
            type=self.type,
            data={**self.data, **(self._used or {})},
            id=self.id,
            source=self.source,
            time=self._ended_at,
            outcome=outcome,
            key_id=self.key_id,
        )

    def so_far(self, used: Mapping[str, Any]) -> dict[str, Any]:
        """What the spool is to be told if nothing else comes: a failed run that had used so much."""
        event = calls.event(
            customer=self.customer,
            type=self.type,
            data={**self.data, **used},
            id=self.id,
            source=self.source,
            outcome="failed",
            key_id=self.key_id,
        )
        return {"event": event} if self.held is None else {"event": event, "authorization": self.held}

    def _asked(self, key: str | None) -> dict[str, Any]:
        """How ``Wallet.authorize`` is asked for it."""
        return {"id": key or self.id, "expires_in": self.expires_in, "fail": self.fail, "key_id": self.key_id}

    @property
    def held(self) -> str | None:
        """The authorization's id, where there is one."""
        return None if self.authorization is None else self.authorization.id

    @property
    def _worthless(self) -> bool:
        """Whether a run that broke off had used nothing that it knew of."""
        return self._used is None


class BlockingInference(Inference):
    """A context manager: asks on entry, settles on exit.

    Where the block ends well, what ``used`` said is charged, or what was announced where it was never called. Where it
    raises, what was used until then is charged as a failed run, or everything goes back where nothing was.
    """

    def __init__(self, ante: "Ante", customer: str, type: str, data: Mapping[str, Any], **more: Any) -> None:
        super().__init__(customer, type, data, source=ante.source, **more)
        self._ante = ante

    def authorize(self, data: Mapping[str, Any] | None = None, *, key: str | None = None) -> Self:
        """Set aside what ``data`` costs, or what was announced. Raises ``PaymentRequired``, and ``Unreachable`` where
        the client fails closed. Another ``key`` than the id for another question about the same run."""
        self.authorization = self._ante.wallet.authorize(
            self.customer, self.type, data or self.data, **self._asked(key)
        )
        return self

    def settle(self, outcome: str | None = None) -> None:
        """Charge what was used, by way of the spool where there is one."""
        self._ante.usage.settle(self.event(outcome), self.held)

    def void(self, reason: str = "") -> None:
        """All of it goes back, now."""
        if self.held is not None:
            self._ante.wallet.void(self.held, reason=reason)

    def give_back(self, reason: str) -> None:
        """Nothing was used: all of it goes back, by way of the spool where there is one."""
        if self.held is not None:
            self._ante.wallet.give_back(self.held, reason=reason)

    def __enter__(self) -> Self:
        return self.authorize()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.settle()
        elif self._worthless:
            self.give_back(kind.__name__)
        else:
            self.settle("failed")


class AsyncInference(Inference):
    """The same, with ``async with``."""

    def __init__(self, ante: "AsyncAnte", customer: str, type: str, data: Mapping[str, Any], **more: Any) -> None:
        super().__init__(customer, type, data, source=ante.source, **more)
        self._ante = ante

    async def authorize(self, data: Mapping[str, Any] | None = None, *, key: str | None = None) -> Self:
        """See ``BlockingInference.authorize``."""
        self.authorization = await self._ante.wallet.authorize(
            self.customer, self.type, data or self.data, **self._asked(key)
        )
        return self

    async def settle(self, outcome: str | None = None) -> None:
        """See ``BlockingInference.settle``."""
        await self._ante.usage.settle(self.event(outcome), self.held)

    async def void(self, reason: str = "") -> None:
        """See ``BlockingInference.void``."""
        if self.held is not None:
            await self._ante.wallet.void(self.held, reason=reason)

    async def give_back(self, reason: str) -> None:
        """See ``BlockingInference.give_back``."""
        if self.held is not None:
            await self._ante.wallet.give_back(self.held, reason=reason)

    async def __aenter__(self) -> Self:
        return await self.authorize()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.settle()
        elif self._worthless:
            await self.give_back(kind.__name__)
        else:
            await self.settle("failed")
