"""Middleware for Django: ``MIDDLEWARE = [..., "ante_client.django.UsageMiddleware"]``, after authentication.

What views use is charged to whoever ``ANTE_CUSTOMER`` in the settings names, a function of the request or the path to
one, and the answer says what it cost. A refusal becomes a 402, or a 429 of a budget.

```python
ANTE_CUSTOMER = lambda request: request.user.company if request.user.is_authenticated else None
```
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from ante_client.context import Bill
from ante_client.middleware import PROBLEM_JSON, Who, metering, paying, problem, refusal_in

_BILL = "ante_bill"


class UsageMiddleware:
    """``X-Usage-Cost``, ``X-Total-Tokens``, ``X-Model`` and ``X-Wallet-Balance`` on what views answer, and 402.

    A streamed answer bears what was used before it began; what it uses itself is charged when it ends.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        named = getattr(settings, "ANTE_CUSTOMER", None)
        self._who: Callable[[HttpRequest], Who] = import_string(named) if isinstance(named, str) else named or _nobody
        self._awaits = iscoroutinefunction(get_response)
        if self._awaits:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._awaits:
            return self._answer_async(request)
        who = self._who(request)
        with metering(who) as bill:
            setattr(request, _BILL, bill)
            return _told(self._get_response(request), bill, who)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        who = self._who(request)
        with metering(who) as bill:
            setattr(request, _BILL, bill)
            return _told(await self._get_response(request), bill, who)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        refused = refusal_in(error, cast(Bill, getattr(request, _BILL)))
        if refused is None:
            return None
        return HttpResponse(problem(refused), status=refused.status, content_type=PROBLEM_JSON)


def _nobody(request: HttpRequest) -> None:
    return None


def _told(response: HttpResponseBase, bill: Bill, who: Who) -> HttpResponseBase:
    for name, value in bill.headers().items():
        response.headers.setdefault(name, value)
    if isinstance(response, StreamingHttpResponse):
        # It is written after the middleware has returned, and is still theirs.
        chunks: Any = response.streaming_content
        response.streaming_content = (
            _within_async(aiter(chunks), who) if response.is_async else _within(iter(chunks), who)
        )
    return response


def _within(chunks: Iterator[bytes], who: Who) -> Iterator[bytes]:
    while True:
        with paying(who):
            try:
                chunk = next(chunks)
            except StopIteration:
                return
        yield chunk


async def _within_async(chunks: AsyncIterator[bytes], who: Who) -> AsyncIterator[bytes]:
    while True:
        with paying(who):
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                return
        yield chunk
