"""The client for asyncio: the same calls, and the same spool, whose thread forwards for it too."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from ante_client import calls
from ante_client.calls import Exact
from ante_client.client import ASK, CHARGE_SECONDS, CLOSE_SECONDS, SOURCE, TIMEOUT, Ante, http_options
from ante_client.context import open_bill
from ante_client.errors import AnteError, Refused, SpoolError, Unreachable
from ante_client.exchange import ONCE, Answer, Call, Retry, Wait, exchange
from ante_client.guard import Fail, Unseen
from ante_client.inference import HOLD_SECONDS, AsyncInference
from ante_client.shapes import Authorization, Balance, Budget, Estimate, Identity, Pace, Receipt, Summary
from ante_client.spool import Spool

logger = logging.getLogger("ante_client")

T = TypeVar("T")


class AsyncAnte:
    """See ``Ante``. Belongs to one event loop."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        source: str = SOURCE,
        spool: str | os.PathLike[str] | Spool | None = None,
        fail: Fail = "closed",
        unseen: Unseen = Unseen(),  # noqa: B008 - frozen.
        retry: Retry = Retry(),  # noqa: B008
        timeout: httpx2.Timeout | float = TIMEOUT,
        on_refused: Callable[[Mapping[str, Any], str], None] = lambda event, code: None,
    ) -> None:
        self._retry = retry
        self._http = httpx2.AsyncClient(**http_options(url, api_key, timeout))
        # It has the spool and its thread, and the guard; only the loop's own requests are made here.
        self.blocking = Ante(
            url,
            api_key,
            source=source,
            spool=spool,
            fail=fail,
            unseen=unseen,
            retry=retry,
            timeout=timeout,
            on_refused=on_refused,
        )
        self.source = source
        self.guard = self.blocking.guard
        self.wallet = AsyncWallet(self)
        self.usage = AsyncUsage(self)

    async def perform(self, call: Call[T], retry: Retry | None = None) -> T:
        """Make a call. Raises ``Refused`` and ``Unreachable``."""
        steps = exchange(call, retry or self._retry)
        step = next(steps)
        while True:
            found: Answer | str | None = None
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            else:
                found = await self._send(call)
            try:
                step = steps.send(found)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]

    async def balance(self, customer: str) -> dict[str, Balance]:
        """What is in the wallet, by asset."""
        return await self.perform(calls.balance(customer))

    async def estimate(self, customer: str, type: str, data: Mapping[str, Any]) -> Estimate:
        """What this usage would cost. Nothing is written."""
        return await self.perform(calls.estimate(customer, type, data))

    async def pace(self, customer: str, asset: str | None = None) -> Pace:
        """How fast may be spent, in the customer's currency or in ``asset``."""
        return await self.perform(calls.pace(customer, asset))

    async def budgets(self, customer: str) -> list[Budget]:
        """The limits on what may be spent, and what they have left: the 200 newest."""
        return await self.perform(calls.budgets(customer))

    async def whose_key(self, token: str | None = None) -> Identity:
        """Whose the client's key is, or another one."""
        return await self.perform(calls.whose_key(token))

    def inference(
        self,
        customer: str,
        type: str,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        expires_in: int = HOLD_SECONDS,
        key_id: str | None = None,
    ) -> AsyncInference:
        """A model call, for ``async with``: asks on entry, settles on exit."""
        return AsyncInference(self, customer, type, data, id=id, expires_in=expires_in, key_id=key_id)

    async def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Stop forwarding. What is left in the spool is there at the next start."""
        await asyncio.to_thread(self.blocking.close, timeout)
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: Call[Any]) -> Answer | str:
        try:
            answer = await self._http.request(
                call.method, call.path, content=call.content(), headers=call.headers(), params=dict(call.query)
            )
        except httpx2.TransportError as error:
            return f"{type(error).__name__}: {error}"
        return Answer(answer.status_code, dict(answer.headers), answer.content)


class AsyncWallet:
    """See ``Wallet``."""

    def __init__(self, ante: AsyncAnte) -> None:
        self._ante = ante

    async def authorize(
        self,
        customer: str,
        type: str,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        expires_in: int = HOLD_SECONDS,
        fail: Fail | None = None,
        key_id: str | None = None,
    ) -> Authorization:
        """See ``Wallet.authorize``."""
        key = id or calls.new_id()
        call = calls.authorize(customer=customer, type=type, data=data, expires_in=expires_in, key=key, key_id=key_id)
        with self._ante.guard.asking(customer, fail) as asked:
            asked.answer = await self._ante.perform(call, ASK)
        return asked.answer

    async def authorize_amount(
        self, customer: str, asset: str, amount: Exact, *, id: str | None = None, expires_in: int = HOLD_SECONDS
    ) -> Authorization:
        """See ``Wallet.authorize_amount``."""
        key = id or calls.new_id()
        call = calls.authorize_amount(customer=customer, asset=asset, amount=amount, expires_in=expires_in, key=key)
        return await self._ante.perform(call, ASK)

    async def capture(self, authorization: str, event: Mapping[str, Any], *, final: bool = True) -> Receipt:
        """See ``Wallet.capture``."""
        return await self._ante.perform(calls.capture(authorization, event, final=final))

    async def capture_amount(self, authorization: str, amount: Exact, *, key: str, final: bool = True) -> Receipt:
        """See ``Wallet.capture_amount``."""
        return await self._ante.perform(calls.capture_amount(authorization, amount, final=final, key=key))

    async def void(self, authorization: str, *, reason: str = "", key: str | None = None) -> None:
        """See ``Wallet.void``."""
        await self._ante.perform(calls.void(authorization, reason=reason, key=key or f"{authorization}:void"))

    async def give_back(self, authorization: str, *, reason: str = "") -> None:
        """See ``Wallet.give_back``."""
        try:
            if not self._ante.blocking.keep_void(authorization, reason):
                await self._ante.perform(calls.void(authorization, reason=reason, key=f"{authorization}:void"), ASK)
        except AnteError as error:
            logger.warning("%s lapses by itself, for it could not be given back: %s", authorization, error)


class AsyncUsage:
    """See ``Usage``."""

    def __init__(self, ante: AsyncAnte) -> None:
        self._ante = ante

    async def record(
        self,
        customer: str,
        metric: str,
        quantity: Exact,
        unit_price: Exact | None = None,
        meta: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        time: datetime | None = None,
    ) -> str:
        """See ``Usage.record``."""
        return await self.report(customer, metric, calls.metric(quantity, unit_price, meta), id=id, time=time)

    async def report(
        self,
        customer: str,
        type: str,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        time: datetime | None = None,
        outcome: str | None = None,
        key_id: str | None = None,
    ) -> str:
        """See ``Usage.report``."""
        event = calls.event(
            customer=customer,
            type=type,
            data=data,
            id=id,
            time=time,
            outcome=outcome,
            source=self._ante.source,
            key_id=key_id,
        )
        await self.settle(event)
        return str(event["id"])

    async def settle(self, event: Mapping[str, Any], authorization: str | None = None) -> None:
        """See ``Usage.settle``."""
        bill = open_bill()
        if bill is None:
            await self._keep(event, authorization)
        else:
            bill.add(event["data"], await self.charge(event, authorization))

    async def charge(self, event: Mapping[str, Any], authorization: str | None = None) -> Receipt | None:
        """See ``Usage.charge``."""
        try:
            async with asyncio.timeout(CHARGE_SECONDS):
                return await self.send(event, authorization, retry=ASK)
        except BaseException as error:
            await self._keep(event, authorization)
            if not isinstance(error, Refused | Unreachable | TimeoutError):
                raise
            logger.warning("%s is charged later: %s", event["id"], error)
            return None

    async def _keep(self, event: Mapping[str, Any], authorization: str | None) -> None:
        """The append to the spool is done at once: it is quicker than handing it to a thread."""
        retry = None
        trouble: SpoolError | None = None
        try:
            if self._ante.blocking.keep(event, authorization):
                return
        except SpoolError as error:
            logger.error("Usage cannot be kept here, so it is sent at once: %s", error)
            retry, trouble = ONCE, error
        try:
            await self.send(event, authorization, retry=retry)
        except Unreachable as error:
            if trouble is not None:
                raise trouble from error
            raise

    async def send(
        self, event: Mapping[str, Any], authorization: str | None = None, *, retry: Retry | None = None
    ) -> Receipt:
        """See ``Usage.send``."""
        if authorization is None:
            return await self._ante.perform(calls.record(event), retry)
        return await self._ante.perform(calls.capture(authorization, event), retry)

    async def summary(self, customer: str, *, start: datetime | None = None, end: datetime | None = None) -> Summary:
        """See ``Usage.summary``."""
        return await self._ante.perform(calls.summary(customer, start=start, end=end))
