"""The client for ordinary code. ``ante_client.aio`` has the same for asyncio."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from ante_client import calls
from ante_client.calls import Exact
from ante_client.context import open_bill
from ante_client.errors import AnteError, Refused, SpoolError, Unreachable
from ante_client.exchange import ONCE, Answer, Call, Retry, Wait, exchange
from ante_client.forward import Forwarder
from ante_client.guard import Fail, Guard, Unseen
from ante_client.inference import HOLD_SECONDS, BlockingInference
from ante_client.shapes import Authorization, Balance, Budget, Estimate, Identity, Pace, Receipt, Summary
from ante_client.spool import Spool

logger = logging.getLogger("ante_client")

T = TypeVar("T")

SOURCE = "ante-client"
CLOSE_SECONDS = 5.0
CHARGE_SECONDS = 5.0
"""So long does an answer wait for what it cost."""
TIMEOUT = httpx2.Timeout(10.0, connect=3.0)
ASK = Retry(attempts=2, first=0.1, longest=0.5)
"""For what a person waits for: the question whether a run may start."""


class Ante:
    """Talks to one Ante with one API key. Safe for threads; connections are kept and shared.

    With ``spool``, a directory, reporting usage is an append to a file there, and a thread forwards it. ``fail`` says
    what happens where nobody can be asked whether a run may start: ``closed`` raises ``Unreachable``, ``open`` lets it
    through within ``unseen``. ``on_refused(event, code)`` hears of reported usage that the server refused for good.
    """

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
        self.source = source
        self.guard = Guard(fail, unseen)
        self._retry = retry
        self._open = partial(httpx2.Client, **http_options(url, api_key, timeout))
        self._http = self._open()
        self._pid = os.getpid()
        self.spool = spool if spool is None or isinstance(spool, Spool) else Spool(spool)
        self._forwarder = None if self.spool is None else Forwarder(self, self.spool, on_refused=on_refused)
        if self._forwarder is not None:
            self._forwarder.start()
        self.wallet = Wallet(self)
        self.usage = Usage(self)

    def perform(self, call: Call[T], retry: Retry | None = None) -> T:
        """Make a call. Raises ``Refused`` and ``Unreachable``."""
        steps = exchange(call, retry or self._retry)
        step = next(steps)
        while True:
            found: Answer | str | None = None
            if isinstance(step, Wait):
                time.sleep(step.seconds)
            else:
                found = self._send(call)
            try:
                step = steps.send(found)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]

    def balance(self, customer: str) -> dict[str, Balance]:
        """What is in the wallet, by asset."""
        return self.perform(calls.balance(customer))

    def estimate(self, customer: str, type: str, data: Mapping[str, Any]) -> Estimate:
        """What this usage would cost. Nothing is written."""
        return self.perform(calls.estimate(customer, type, data))

    def pace(self, customer: str, asset: str | None = None) -> Pace:
        """How fast may be spent, in the customer's currency or in ``asset``."""
        return self.perform(calls.pace(customer, asset))

    def budgets(self, customer: str) -> list[Budget]:
        """The limits on what may be spent, and what they have left: the 200 newest."""
        return self.perform(calls.budgets(customer))

    def whose_key(self, token: str | None = None) -> Identity:
        """Whose the client's key is, or another one."""
        return self.perform(calls.whose_key(token))

    def inference(
        self,
        customer: str,
        type: str,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        expires_in: int = HOLD_SECONDS,
        key_id: str | None = None,
    ) -> BlockingInference:
        """A model call, as a context manager: asks on entry, settles on exit.

        ``key_id`` is the id (``whose_key``) of the customer's own key that it is made with, whose budgets count it and
        whose pause refuses it. Only an operator's key names one.
        """
        return BlockingInference(self, customer, type, data, id=id, expires_in=expires_in, key_id=key_id)

    def keep(self, event: Mapping[str, Any], authorization: str | None = None, *, release: Sequence[str] = ()) -> bool:
        """Put an event into the spool, as a capture where there is an ``authorization``. False where there is no spool.

        What was set aside for it beyond that, ``release``, is given back before the capture, which may need it. Raises
        ``SpoolError``.
        """
        line: dict[str, Any] = {"event": event}
        if authorization is not None:
            line["authorization"] = authorization
        if release:
            line["release"] = list(release)
        return self._put(line)

    def keep_void(self, authorization: str, reason: str) -> bool:
        """Put the giving back of what was set aside into the spool. False where there is no spool. Raises
        ``SpoolError``."""
        return self._put({"void": authorization, "reason": reason})

    def _put(self, line: Mapping[str, Any]) -> bool:
        if self.spool is None or self._forwarder is None:
            return False
        self.spool.append(line)
        self._forwarder.start()  # Where this is a child that was forked since.
        self._forwarder.wake()
        return True

    def flush(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Forward what is in the spool; False where that was not possible in time, and it stays there."""
        return self._forwarder is None or self._forwarder.flush(timeout)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Stop forwarding. What is left in the spool is there at the next start."""
        if self._http.is_closed:
            return
        if self._forwarder is not None and self.spool is not None:
            self._forwarder.stop()
            self.spool.rotate()
            self._forwarder.flush(timeout)
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[Any]) -> Answer | str:
        if self._pid != os.getpid():
            # A child that was forked: the parent's connections are the parent's.
            self._http, self._pid = self._open(), os.getpid()
        try:
            answer = self._http.request(
                call.method,
                call.path,
                content=call.content(),
                headers=call.headers(),
                params=dict(call.query),
                timeout=httpx2.USE_CLIENT_DEFAULT if call.timeout is None else call.timeout,
            )
        except httpx2.TransportError as error:
            return f"{type(error).__name__}: {error}"
        return Answer(answer.status_code, dict(answer.headers), answer.content)


def http_options(url: str, api_key: str, timeout: httpx2.Timeout | float) -> dict[str, Any]:
    """How either client opens its connections."""
    return {
        "base_url": f"{url.rstrip('/')}/api/v1",
        "headers": {"Authorization": f"Bearer {api_key}"},
        "timeout": timeout,
        "trust_env": False,
    }


class Wallet:
    """Set aside before the work, charge what was used after it."""

    def __init__(self, ante: Ante) -> None:
        self._ante = ante

    def authorize(
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
        """Set aside what this usage would cost; ``data`` is the most that is expected.

        ``id`` is the inference's: the same id again gets the same answer. ``key_id``: see ``Ante.inference``. Raises
        ``PaymentRequired`` where the wallet does not suffice, ``PermissionDenied`` where that key is paused or has
        ended, and ``Unreachable`` where nobody answers and the client, or ``fail`` here, says closed.
        """
        key = id or calls.new_id()
        call = calls.authorize(customer=customer, type=type, data=data, expires_in=expires_in, key=key, key_id=key_id)
        with self._ante.guard.asking(customer, fail) as asked:
            asked.answer = self._ante.perform(call, ASK)
        return asked.answer

    def authorize_amount(
        self, customer: str, asset: str, amount: Exact, *, id: str | None = None, expires_in: int = HOLD_SECONDS
    ) -> Authorization:
        """Set aside an amount. Never passes unseen: nothing would be charged for it afterwards."""
        key = id or calls.new_id()
        call = calls.authorize_amount(customer=customer, asset=asset, amount=amount, expires_in=expires_in, key=key)
        return self._ante.perform(call, ASK)

    def capture(self, authorization: str, event: Mapping[str, Any], *, final: bool = True) -> Receipt:
        """Charge what was really used: ``event`` is a CloudEvent, whose id makes a repeat harmless."""
        return self._ante.perform(calls.capture(authorization, event, final=final))

    def capture_amount(self, authorization: str, amount: Exact, *, key: str, final: bool = True) -> Receipt:
        """Charge a plain amount. ``key`` makes a repeat harmless."""
        return self._ante.perform(calls.capture_amount(authorization, amount, final=final, key=key))

    def void(self, authorization: str, *, reason: str = "", key: str | None = None) -> None:
        """Give back all that is left of it."""
        self._ante.perform(calls.void(authorization, reason=reason, key=key or f"{authorization}:void"))

    def give_back(self, authorization: str, *, reason: str = "") -> None:
        """The same for a run that came to nothing, whose caller has other troubles: by way of the spool where there is
        one, and never raises an ``AnteError``. What nobody could be told of lapses by itself."""
        try:
            if not self._ante.keep_void(authorization, reason):
                self._ante.perform(calls.void(authorization, reason=reason, key=f"{authorization}:void"), ASK)
        except AnteError as error:
            logger.warning("%s lapses by itself, for it could not be given back: %s", authorization, error)


class Usage:
    """Report what was used, and read what it came to."""

    def __init__(self, ante: Ante) -> None:
        self._ante = ante

    def record(
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
        """Report so much of ``metric``, and return the event's id. With a spool this takes microseconds and no network.

        The event's type is ``metric``; its data are ``meta`` and ``quantity``, and with ``unit_price`` also ``amount``,
        for prices of the model ``event``. Raises ``SpoolError`` where it could be neither kept nor sent at once.
        """
        return self.report(customer, metric, calls.metric(quantity, unit_price, meta), id=id, time=time)

    def report(
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
        """The same for an event with data of any form. ``key_id``: see ``Ante.inference``."""
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
        self.settle(event)
        return str(event["id"])

    def settle(self, event: Mapping[str, Any], authorization: str | None = None) -> None:
        """Put a finished CloudEvent into the spool; without one, or where it takes no more, send it at once.

        While a request is answered whose bill is open (``ante_client.context``), charge it at once and put it there.
        """
        bill = open_bill()
        if bill is None:
            self._keep(event, authorization)
        else:
            bill.add(event["data"], self.charge(event, authorization))

    def charge(self, event: Mapping[str, Any], authorization: str | None = None) -> Receipt | None:
        """Send a finished CloudEvent at once and return what it came to.

        Where that fails, takes too long or is interrupted, it goes to the spool; nobody knows yet then: None.
        """
        try:
            return self.send(event, authorization, retry=ASK, timeout=CHARGE_SECONDS)
        except BaseException as error:
            self._keep(event, authorization)
            if not isinstance(error, Refused | Unreachable):
                raise
            logger.warning("%s is charged later: %s", event["id"], error)
            return None

    def _keep(self, event: Mapping[str, Any], authorization: str | None) -> None:
        retry = None
        trouble: SpoolError | None = None
        try:
            if self._ante.keep(event, authorization):
                return
        except SpoolError as error:
            logger.error("Usage cannot be kept here, so it is sent at once: %s", error)
            retry, trouble = ONCE, error
        try:
            self.send(event, authorization, retry=retry)
        except Unreachable as error:
            if trouble is not None:
                raise trouble from error
            raise

    def send(
        self,
        event: Mapping[str, Any],
        authorization: str | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a finished CloudEvent now and return what became of it. Raises ``Refused`` and ``Unreachable``."""
        call = calls.record(event) if authorization is None else calls.capture(authorization, event)
        return self._ante.perform(replace(call, timeout=timeout), retry)

    def summary(self, customer: str, *, start: datetime | None = None, end: datetime | None = None) -> Summary:
        """What was used and what it came to, from ``start`` (the first of the month) to ``end`` (now)."""
        return self._ante.perform(calls.summary(customer, start=start, end=end))
