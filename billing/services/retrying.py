"""Waiting for a lock took too long, or two transactions met crosswise: try again, a few times, then say so."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

from billing.errors import WalletBusy

_P = ParamSpec("_P")
_R = TypeVar("_R")

ATTEMPTS_MAX = 3
_TRANSIENT = {"40001", "40P01", "55P03"}
"""SQLSTATE of a serialization failure, a deadlock and a lock time-out."""


def retried(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Repeat ``function``, which is one whole transaction, where the database asks for it. Then ``WalletBusy``."""

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if connection.in_atomic_block:
            # A part of somebody else's transaction cannot be repeated alone.
            return function(*args, **kwargs)
        for _ in range(ATTEMPTS_MAX):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) not in _TRANSIENT:
                    raise
                busy = error
        raise WalletBusy("Too many requests want this wallet at the same moment. Try again shortly.") from busy

    return wrapper
