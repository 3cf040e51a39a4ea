"""Signed messages to an address that somebody else named, as Standard Webhooks has them.

Where they may go, and for how long somebody may take to answer, is ``accounts.outgoing``'s. What the operator itself
named may also lie in the networks that it allows; what a customer named never does.
"""

import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult

from django.conf import settings
from standardwebhooks import Webhook

from accounts import outgoing
from accounts.outgoing import URL_LENGTH_MAX, Refused

__all__ = ["URL_LENGTH_MAX", "Answer", "Refused", "check", "new_secret", "send", "signatures"]

SECONDS_MAX = 15.0
"""For all of it, however slowly the other side talks."""
ANSWER_BYTES_MAX = 2048
SECRET_BYTES = 32
USER_AGENT = "Ante-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt. ``status`` is None where no answer came; ``said`` is its beginning, or what failed."""

    status: int | None
    said: str
    seconds: float

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def new_secret() -> str:
    """A signing secret as Standard Webhooks writes it: 32 random bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def check(url: str, *, operators: bool) -> SplitResult:
    """The parts of an address that may be named, by the operator or by a customer. Raises ``Refused``.

    Names are not looked up here.
    """
    return outgoing.check(url, allowed=_inner(operators))


def send(url: str, *, operators: bool, body: bytes, message: str, secrets: Sequence[str], now: datetime) -> Answer:
    """POST the body, signed with each of the secrets. Never raises for what the other side does."""
    started = time.monotonic()
    try:
        answer = outgoing.ask(
            url,
            method="POST",
            headers=_headers(body=body, message=message, secrets=secrets, now=now),
            body=body,
            allowed=_inner(operators),
            seconds=SECONDS_MAX,
            bytes_max=ANSWER_BYTES_MAX,
        )
    except (Refused, outgoing.Failed) as error:
        return Answer(None, str(error), time.monotonic() - started)
    said = answer.body.decode("utf-8", "replace").replace("\x00", "")
    return Answer(answer.status, said, time.monotonic() - started)


def _inner(operators: bool) -> Sequence[str]:
    """Where messages may go beyond the internet: for what a customer named, nowhere."""
    return settings.WEBHOOK_ALLOWED_NETWORKS if operators else ()


def signatures(message: str, now: datetime, body: bytes, secrets: Sequence[str]) -> str:
    """The header ``webhook-signature``: one signature for each secret."""
    return " ".join(Webhook(secret).sign(message, now, body.decode()) for secret in secrets)


def _headers(*, body: bytes, message: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures(message, now, body, secrets),
    }
