"""The gateway's ASGI application.

A call goes through: who calls, what is asked, may it start and how long may it be, on to the provider, and back byte
for byte while usage is read from what passes; then what was used is charged. Whoever leaves midway pays for what had
come. Answers in one piece bear what they cost in their headers; a stream's last message does, where the caller asks for
it with ``X-Ante-Usage: event``.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from ante_client.aio import AsyncAnte
from ante_client.asking import ask_async, refusal
from ante_client.errors import AnteError, SpoolError
from ante_client.gateway import http
from ante_client.gateway.allowance import Allowance
from ante_client.gateway.callers import Caller, Callers
from ante_client.gateway.http import Receive, Send
from ante_client.gateway.settings import Route, Settings, read
from ante_client.inference import AsyncInference
from ante_client.providers import Api, Asked, api_of
from ante_client.reported import Reported
from ante_client.running import Running
from ante_client.shapes import Receipt
from ante_client.spool import Spool

logger = logging.getLogger("ante_client.gateway")

SOURCE = "ante-gateway"
TIMEOUT = httpx2.Timeout(600.0, connect=10.0)
LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
_SENT_ON = ("accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta")
_NOT_PASSED_ON = {
    *("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "trailer", "upgrade"),
    *("set-cookie", "server", "date", "alt-svc"),
}


@dataclass(slots=True)
class Call:
    """One call on its way through."""

    asked: Asked
    caller: Caller
    run: AsyncInference
    wants_event: bool
    allowance: Allowance | None = None
    """Where its stream is to be cut when the money is gone."""
    settled: bool = False


class Gateway:
    """One for each process; it opens its connections with the first call, in the server's event loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._given = settings
        self._opened = False

    def _open(self) -> None:
        self._settings = settings = self._given or read()
        spool = Spool(settings.spool)
        self._ante = AsyncAnte(settings.url, settings.key, source=SOURCE, spool=spool, fail=settings.fail)
        self._running = Running(spool)
        self._callers = Callers(self._ante, fail_of=settings.fail_of, steps_max=settings.steps_max)
        self._http = httpx2.AsyncClient(timeout=TIMEOUT, limits=LIMITS)
        self._opened = True

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live_and_die(receive, send)
            return
        if not self._opened:
            self._open()
        api = api_of(scope["path"])
        if scope["path"] == "/healthz":
            await http.whole(send, 200, b'{"status":"ok"}')
        elif api is None or scope["method"] != "POST":
            await http.whole(send, 404, http.error("not_found", "This gateway does not serve this."))
        else:
            with suppress(http.Gone):
                await self._serve(api, scope, receive, send)

    async def close(self) -> None:
        if self._opened:
            self._opened = False
            await self._http.aclose()
            await self._ante.close()

    async def _live_and_die(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._open()
            else:
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _serve(self, api: Api, scope: Any, receive: Receive, send: Send) -> None:
        headers = http.headers_of(scope)
        try:
            caller = await self._callers.caller(headers)
            body = await http.body_of(receive)
            asked = Asked.read(
                api, body, output_tokens=self._settings.output_tokens, tokenizer=self._settings.tokenizer
            )
            self._callers.step(caller, headers.get("x-ante-run", ""))
            call = self._call(asked, caller, headers)
            most = await ask_async(call.run, asked)
        except http.TooLong:
            await http.whole(send, 413, http.error("payload_too_large", "The body is too long."))
        except ValueError as error:
            await http.whole(send, 400, http.error("invalid_request", str(error)))
        except AnteError as error:
            await http.whole(send, *refusal(api, error))
        else:
            call.allowance = self._allowance(call, most)
            await self._pass_on(call, most, scope, headers, receive, send)

    def _call(self, asked: Asked, caller: Caller, headers: Mapping[str, str]) -> Call:
        who: dict[str, Any] = {**caller.meta, "model": asked.model, "request_type": asked.api}
        if isinstance(asked.body.get("user"), str):
            who.setdefault("user", asked.body["user"][:255])
        event_type = asked.event_type(self._settings.event_type)
        run = AsyncInference(self._ante, caller.customer, event_type, who, fail=caller.fail, key_id=caller.key_id)
        return Call(asked, caller, run, wants_event=headers.get("x-ante-usage") == "event")

    def _allowance(self, call: Call, most: int | None) -> Allowance | None:
        """None for what is not cut: whole answers, and what passes unseen."""
        if not self._settings.cuts or not (call.asked.stream and call.asked.boundable) or call.run.held is None:
            return None
        return Allowance(self._ante, call.run, call.asked, most, self._settings.output_tokens)

    async def _pass_on(
        self, call: Call, most: int | None, scope: Any, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        request = self._request(call, most, scope, headers)
        try:
            response = await self._http.send(request, stream=True)
        except httpx2.HTTPError as error:
            await call.run.give_back(type(error).__name__)
            await http.whole(send, 502, http.error("provider_unavailable", "The provider does not answer."))
            return
        except asyncio.CancelledError:
            await call.run.give_back("the caller left")
            raise
        try:
            if response.status_code >= 400:
                await call.run.give_back(f"the provider answered {response.status_code}")
                await http.whole(send, response.status_code, await response.aread(), _passed_on(response))
            elif call.asked.stream:
                await self._stream(call, response, receive, send)
            else:
                await self._whole(call, response, send)
        finally:
            await response.aclose()

    def _request(self, call: Call, most: int | None, scope: Any, headers: Mapping[str, str]) -> httpx2.Request:
        route = self._settings.route(call.asked.api, call.asked.model)
        told = {**_credentials(route, call.asked.api), **{name: headers[name] for name in _SENT_ON if name in headers}}
        told |= {"content-type": "application/json", "accept-encoding": "identity"}
        return self._http.build_request(
            "POST", f"{route.url}{scope['path']}", headers=told, content=call.asked.bounded(most)
        )

    async def _whole(self, call: Call, response: httpx2.Response, send: Send) -> None:
        reported = Reported(call.asked)
        try:
            content = await response.aread()
            reported.feed(content)
            reported.end()
            receipt = await self._charge(call, reported)
        except httpx2.HTTPError:
            await self._settle(call, reported, "failed")
            await http.whole(send, 502, http.error("provider_unavailable", "The provider's answer broke off."))
            return
        finally:
            await self._settle(call, reported)
        told = {**_passed_on(response), **_usage_headers(call, reported, receipt)}
        await http.whole(send, response.status_code, content, told)

    async def _stream(self, call: Call, response: httpx2.Response, receive: Receive, send: Send) -> None:
        """Whatever ends it, what had come is charged, once."""
        reported = Reported(call.asked, limit=None if call.allowance is None else call.allowance.tokens)
        self._running.follow(call.run, reported.data)
        copying = asyncio.ensure_future(self._copy(call, reported, response, send))
        leaving = asyncio.ensure_future(http.gone(receive))
        try:
            await asyncio.wait({copying, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            copying.cancel()
            with suppress(asyncio.CancelledError):
                await copying
            self._running.end(call.run)

    async def _copy(self, call: Call, reported: Reported, response: httpx2.Response, send: Send) -> None:
        try:
            told = {**_passed_on(response), "x-inference-id": call.run.id, "x-accel-buffering": "no"}
            await http.start(send, response.status_code, told)
            async for passed in _passing(call, reported, response):
                if passed:
                    await http.piece(send, passed)
            if call.wants_event:
                receipt = await self._charge(call, reported)
                usage = json.dumps(_usage_headers(call, reported, receipt), separators=(",", ":"))
                await http.piece(send, f"event: ante.usage\ndata: {usage}\n\n".encode())
            else:
                await self._settle(call, reported)
            await http.piece(send, b"", more=False)
        except httpx2.HTTPError as error:
            logger.warning("The provider's stream broke off: %s", error)
            await self._settle(call, reported, "failed")
            # A cut connection, as the provider's own is: never an answer that looks whole.
            raise
        finally:
            await self._settle(call, reported)

    async def _charge(self, call: Call, reported: Reported) -> Receipt | None:
        """Charge at once, so that the answer can say what it cost; by way of the spool where that takes too long."""
        if call.allowance is not None:
            try:
                await call.allowance.give_back()
            except AnteError:
                await self._settle(call, reported)
                return None
        call.run.used(**reported.data())
        event = call.run.event()
        call.settled = True  # From here on, whatever interrupts it.
        try:
            return await self._ante.usage.charge(event, call.run.held)
        except AnteError as error:
            logger.error("Not charged: %s: %s", error, event)
            return None

    async def _settle(self, call: Call, reported: Reported, outcome: str | None = None) -> None:
        """Have it charged, once. Waits for nobody as long as the spool takes it."""
        if call.settled:
            return
        call.settled = True
        call.run.used(**reported.data())
        try:
            if call.allowance is not None and call.allowance.further:
                with suppress(SpoolError):  # Otherwise it is sent at once, as any other.
                    self._ante.blocking.keep(call.run.event(outcome), call.run.held, release=call.allowance.further)
                    return
                await call.allowance.give_back()
            await call.run.settle(outcome)
        except AnteError as error:
            logger.error("Not charged: %s: %s", error, call.run.event(outcome))


async def _passing(call: Call, reported: Reported, response: httpx2.Response) -> AsyncIterator[bytes]:
    """All that comes; or, where it is to be cut, what is paid for, and an end in due form."""
    async for chunk in response.aiter_raw():
        yield reported.feed(chunk)
        while reported.short and call.allowance is not None:
            if not await call.allowance.grow():
                yield reported.cut()
                return
            reported.limit = call.allowance.tokens
            yield reported.feed(b"")
    yield reported.end()


def _credentials(route: Route, api: Api) -> dict[str, str]:
    if api == "messages":
        return {"x-api-key": route.key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {route.key}"}


def _passed_on(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items() if name.lower() not in _NOT_PASSED_ON}


def _usage_headers(call: Call, reported: Reported, receipt: Receipt | None) -> dict[str, str]:
    """What the call cost, in the asset that was set aside for it, and what it used."""
    data = reported.data()
    told = {
        "x-inference-id": call.run.id,
        "x-total-tokens": str(data["input_tokens"] + data["output_tokens"]),
        "x-model": str(data["model"]),
    }
    if receipt is None:
        return told
    asset = call.run.authorization.asset if call.run.authorization is not None else ""
    if asset not in receipt.cost:
        asset = next(iter(receipt.cost), "")
    if asset:
        told["x-usage-cost"] = format(receipt.cost[asset], "f")
    if asset in receipt.balance:
        told["x-wallet-balance"] = format(receipt.balance[asset], "f")
    return told


application = Gateway()
