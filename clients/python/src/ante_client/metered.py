"""The official ``openai`` and ``anthropic`` clients, metered: ``metered(OpenAI(), ante, customer="acme")``.

They keep their own HTTP client, whose transport asks the wallet before a call goes out and settles when its answer has
ended, was closed or broke off. The application sees the provider's bytes as they came; a refusal is the provider
client's own error, with status 402.

Who pays for a call: the ``customer`` given here, or whoever ``paid_by`` names around the call.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import httpx2

from ante_client.aio import AsyncAnte
from ante_client.asking import ask, ask_async, refusal
from ante_client.client import Ante
from ante_client.context import Payer, note_refusal, payer
from ante_client.errors import AnteError, PaymentRequired, Throttled
from ante_client.inference import AsyncInference, BlockingInference
from ante_client.providers import Api, Asked, Tokenizer, api_of
from ante_client.reported import Reported
from ante_client.running import Running

logger = logging.getLogger("ante_client")

EVENT_TYPE = "llm.completion"

C = TypeVar("C")


def metered(
    client: C,
    ante: Ante | AsyncAnte,
    *,
    customer: str | None = None,
    type: str = EVENT_TYPE,
    tokenizer: Tokenizer | None = None,
    **meta: Any,
) -> C:
    """A copy of a provider's client whose calls are paid for. ``AsyncAnte`` for the asynchronous ones.

    Metered are chat completions, responses, embeddings, images and messages; everything else passes as it is. Images
    are events of the type ``image.generation``. ``tokenizer`` counts what is set aside for a prompt.
    """
    given: Any = client
    who = None if customer is None else (customer, meta)
    common: dict[str, Any] = {"timeout": given.timeout, "follow_redirects": True}
    how: dict[str, Any] = {"payer": who, "type": type, "tokenizer": tokenizer}
    http: httpx2.Client | httpx2.AsyncClient
    if isinstance(ante, AsyncAnte):
        http = httpx2.AsyncClient(transport=AsyncMeteredTransport(ante, httpx2.AsyncHTTPTransport(), **how), **common)
    else:
        http = httpx2.Client(transport=MeteredTransport(ante, httpx2.HTTPTransport(), **how), **common)
    return given.with_options(http_client=http)  # type: ignore[no-any-return]


class _Metering:
    """What the two transports share. ``payer`` is a customer and what is said of all its calls."""

    def __init__(self, payer: Payer | None, type: str, tokenizer: Tokenizer | None) -> None:
        self._payer = payer
        self._type = type
        self._tokenizer = tokenizer

    def _asked(self, request: httpx2.Request, content: bytes) -> Asked | None:
        """What is asked for, where it is something to meter. What nobody can read is for the provider to refuse."""
        api = api_of(request.url.path) if request.method == "POST" else None
        try:
            return None if api is None else Asked.read(api, content, tokenizer=self._tokenizer)
        except ValueError:
            return None

    def _run_of(self, asked: Asked) -> tuple[str, str, dict[str, Any]]:
        customer, meta = payer(self._payer)
        return customer, asked.event_type(self._type), {**meta, "model": asked.model, "request_type": asked.api}


def _refused(api: Api, error: AnteError, request: httpx2.Request) -> httpx2.Response:
    if isinstance(error, PaymentRequired | Throttled):
        note_refusal(error)
    status, body = refusal(api, error)
    # They would otherwise try a 503 again by themselves: that was done already.
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    return httpx2.Response(status, headers=headers, content=body, request=request)


def _sent_on(request: httpx2.Request, asked: Asked, most: int | None) -> httpx2.Request:
    headers = httpx2.Headers(request.headers)
    headers["accept-encoding"] = "identity"  # What is metered must be readable.
    content = asked.bounded(most)
    headers["content-length"] = str(len(content))
    return httpx2.Request(request.method, request.url, headers=headers, content=content, extensions=request.extensions)


def _passed_on(response: httpx2.Response, stream: Any, asked: Asked) -> httpx2.Response:
    headers = httpx2.Headers(response.headers)
    if asked.hides_usage and "content-length" in headers:
        del headers["content-length"]
    return httpx2.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)


class MeteredTransport(_Metering, httpx2.BaseTransport):
    """For ``httpx2.Client``."""

    def __init__(
        self,
        ante: Ante,
        inner: httpx2.BaseTransport,
        *,
        payer: Payer | None,
        type: str,
        tokenizer: Tokenizer | None,
    ) -> None:
        super().__init__(payer, type, tokenizer)
        self._ante = ante
        self._inner = inner
        self._running = None if ante.spool is None else Running(ante.spool)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = self._asked(request, request.read())
        if asked is None:
            return self._inner.handle_request(request)
        run = BlockingInference(self._ante, *self._run_of(asked))
        try:
            most = ask(run, asked)
        except AnteError as error:
            return _refused(asked.api, error, request)
        try:
            response = self._inner.handle_request(_sent_on(request, asked, most))
        except BaseException as error:
            run.give_back(type(error).__name__)
            raise
        if response.status_code >= 400:
            run.give_back(f"the provider answered {response.status_code}")
            return response
        assert isinstance(response.stream, httpx2.SyncByteStream)
        return _passed_on(response, _Stream(response.stream, run, asked, self._running), asked)

    def close(self) -> None:
        self._inner.close()


class _Stream(httpx2.SyncByteStream):
    """An answer on its way. Settled once: when it ended, was closed or broke off."""

    def __init__(
        self, inner: httpx2.SyncByteStream, run: BlockingInference, asked: Asked, running: Running | None
    ) -> None:
        self._inner = inner
        self._run = run
        self._reported = Reported(asked)
        self._running = running
        if running is not None:
            running.follow(run, self._reported.data)
        self._settled = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._inner:
                if passed := self._reported.feed(chunk):
                    yield passed
        except Exception:
            self._settle("failed")
            raise
        if rest := self._reported.end():
            yield rest
        self._settle()

    def close(self) -> None:
        self._settle()
        self._inner.close()

    def _settle(self, outcome: str | None = None) -> None:
        if not self._settled:
            self._settled = True
            self._run.used(**self._reported.data())
            try:
                self._run.settle(outcome)
            except AnteError as error:
                # The answer is the application's, whatever becomes of the bill.
                logger.error("Not charged: %s: %s", error, self._run.event(outcome))
            if self._running is not None:
                self._running.end(self._run)


class AsyncMeteredTransport(_Metering, httpx2.AsyncBaseTransport):
    """For ``httpx2.AsyncClient``."""

    def __init__(
        self,
        ante: AsyncAnte,
        inner: httpx2.AsyncBaseTransport,
        *,
        payer: Payer | None,
        type: str,
        tokenizer: Tokenizer | None,
    ) -> None:
        super().__init__(payer, type, tokenizer)
        self._ante = ante
        self._inner = inner
        self._running = None if ante.blocking.spool is None else Running(ante.blocking.spool)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = self._asked(request, await request.aread())
        if asked is None:
            return await self._inner.handle_async_request(request)
        run = AsyncInference(self._ante, *self._run_of(asked))
        try:
            most = await ask_async(run, asked)
        except AnteError as error:
            return _refused(asked.api, error, request)
        try:
            response = await self._inner.handle_async_request(_sent_on(request, asked, most))
        except BaseException as error:
            await run.give_back(type(error).__name__)
            raise
        if response.status_code >= 400:
            await run.give_back(f"the provider answered {response.status_code}")
            return response
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return _passed_on(response, _AsyncStream(response.stream, run, asked, self._running), asked)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _AsyncStream(httpx2.AsyncByteStream):
    """See ``_Stream``."""

    def __init__(
        self, inner: httpx2.AsyncByteStream, run: AsyncInference, asked: Asked, running: Running | None
    ) -> None:
        self._inner = inner
        self._run = run
        self._reported = Reported(asked)
        self._running = running
        if running is not None:
            running.follow(run, self._reported.data)
        self._settled = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                if passed := self._reported.feed(chunk):
                    yield passed
        except Exception:
            await self._settle("failed")
            raise
        if rest := self._reported.end():
            yield rest
        await self._settle()

    async def aclose(self) -> None:
        await self._settle()
        await self._inner.aclose()

    async def _settle(self, outcome: str | None = None) -> None:
        if not self._settled:
            self._settled = True
            self._run.used(**self._reported.data())
            try:
                await self._run.settle(outcome)
            except AnteError as error:
                logger.error("Not charged: %s: %s", error, self._run.event(outcome))
            if self._running is not None:
                self._running.end(self._run)
