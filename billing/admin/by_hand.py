"""What a form says of an action that may have to wait for a second person."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.models import User
from billing.admin import display
from billing.admin.once import run_once
from billing.models import Approval
from billing.services import four_eyes


def warning(
    request: HttpRequest, amounts: Mapping[str, Decimal], *, is_plan: bool = False, endless: str | None = None
) -> str:
    """What to say before the form is sent, where it will wait; empty where it will be done at once."""
    assert isinstance(request.user, User)
    why = four_eyes.reason(request.user.pk, amounts, is_plan=is_plan, endless=endless)
    return f"{display.said(why)} Nothing moves until somebody else has approved it." if why else ""


def tell(request: HttpRequest, waiting: Approval | None, done: str) -> None:
    """What became of it: done, or written down for a second person."""
    if waiting is None:
        messages.success(request, done)
        return
    url = reverse("admin:billing_approval_change", args=[waiting.pk])
    text = (
        'Nothing has moved yet: a second person has to approve it. <a class="ante-link" href="{}">See the request</a>'
    )
    messages.warning(request, format_html(text, url))


def once(
    request: HttpRequest, *, about: object, data: Mapping[str, Any], ask: Callable[[], Approval | None], done: str
) -> None:
    """``ask`` for what the form with this ``data`` is about (``run_once``), and say what became of it.

    Raises the refusal, if it was one.
    """
    waiting: Approval | None = None

    def run() -> dict[str, Any]:
        nonlocal waiting
        waiting = ask()
        return {"approval": waiting and str(waiting.pk)}

    if run_once(request, about=about, data=data, run=run):
        tell(request, waiting, done)
    else:
        messages.info(request, "This was sent already. Nothing is done a second time.")
