"""Middleware for any ASGI application (Starlette, FastAPI, …): ``app = UsageMiddleware(app, customer=who)``."""

from collections.abc import Awaitable, Callable
from typing import Any

from ante_client.middleware import PROBLEM_JSON, Who, metering, problem, refusal_in

App = Callable[[Any, Any, Any], Awaitable[None]]


class UsageMiddleware:
    """See ``ante_client.django``. ``customer`` is a function of the connection's scope.

    ``X-Usage-Cost``, ``X-Total-Tokens``, ``X-Model`` and ``X-Wallet-Balance`` are on answers whose usage was known
    when they began; a refusal that the application does not handle becomes a 402, or a 429 of a budget.
    """

    def __init__(self, app: App, customer: Callable[[Any], Who] = lambda scope: None) -> None:
        self._app = app
        self._customer = customer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with metering(self._customer(scope)) as bill:
            begun = False

            async def tell(message: Any) -> None:
                nonlocal begun
                if message["type"] == "http.response.start":
                    begun = True
                    message = {**message, "headers": [*message.get("headers", ()), *_lines(bill.headers())]}
                    # What a stream uses from now on can no longer be told here, so nobody waits for it.
                    bill.open = False
                await send(message)

            try:
                await self._app(scope, receive, tell)
            except Exception as error:
                refused = refusal_in(error, bill)
                if refused is None or begun:
                    raise
                body = problem(refused)
                told = {"content-type": PROBLEM_JSON, "content-length": str(len(body))}
                await send({"type": "http.response.start", "status": refused.status, "headers": _lines(told)})
                await send({"type": "http.response.body", "body": body})


def _lines(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
