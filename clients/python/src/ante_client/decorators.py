"""Functions that cost something each time: ``@charged(ante, "image.generation", images=1)``."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ante_client.aio import AsyncAnte
from ante_client.client import Ante
from ante_client.context import payer

F = TypeVar("F", bound=Callable[..., Any])


def charged(
    ante: Ante | AsyncAnte, type: str, *, customer: Callable[..., str] | None = None, **data: Any
) -> Callable[[F], F]:
    """Each call of the function is one run with this ``data``: asked before, charged when it returns, and given back
    where it raises. ``AsyncAnte`` for coroutine functions.

    Who pays is what ``customer`` makes of the function's own arguments, or whoever ``paid_by`` names around the call.
    Raises ``PaymentRequired`` instead of calling it.
    """

    def decorate(function: F) -> F:
        def run(args: Any, kwargs: Any) -> Any:
            who, meta = payer() if customer is None else (customer(*args, **kwargs), {})
            return ante.inference(who, type, {**meta, **data})

        if isinstance(ante, AsyncAnte):
            if not inspect.iscoroutinefunction(function):
                raise TypeError(f"{function.__name__} is no coroutine function: use Ante instead of AsyncAnte")

            @functools.wraps(function)
            async def await_it(*args: Any, **kwargs: Any) -> Any:
                async with run(args, kwargs):
                    return await function(*args, **kwargs)

            return await_it  # type: ignore[return-value]
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__name__} is a coroutine function: use AsyncAnte instead of Ante")

        @functools.wraps(function)
        def call_it(*args: Any, **kwargs: Any) -> Any:
            with run(args, kwargs):
                return function(*args, **kwargs)

        return call_it  # type: ignore[return-value]

    return decorate
