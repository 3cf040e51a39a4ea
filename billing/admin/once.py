"""A form that does something runs it once: a second click, or a page sent again, gets the first answer."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.ids import uuid7
from billing.errors import BillingError
from billing.services import idempotency


def begin_anew(form: forms.Form) -> None:
    """The next try with this form is another request, with another ``key``."""
    form.data = {**form.data.dict(), "key": str(uuid7())}  # type: ignore[attr-defined]


def run_once(
    request: HttpRequest, *, about: object, data: Mapping[str, Any], run: Callable[[], dict[str, Any]]
) -> bool:
    """Call ``run`` for the form whose cleaned ``data`` has a ``key`` of its own; True where it was the first time.

    ``about`` is what the form is about, such as a customer's id. Raises the refusal, if it was one.
    """
    refused: list[BillingError] = []

    def answer() -> idempotency.Answer:
        return idempotency.Answer(201, run())

    def refuse(error: BillingError) -> idempotency.Answer:
        refused.append(error)
        return idempotency.Answer(error.status, {"code": error.code, "detail": error.detail})

    content = "|".join(f"{name}={data[name]}" for name in sorted(data) if name != "key")
    found = idempotency.once(
        principal=f"user:{request.user.pk}",
        key=str(data["key"]),
        fingerprint=hashlib.sha256(f"{about}|{content}".encode()).digest(),
        run=answer,
        refuse=refuse,
    )
    if refused:
        raise refused[0]
    if found.status != 201:
        raise BillingError(found.body["detail"])
    return not found.replayed
