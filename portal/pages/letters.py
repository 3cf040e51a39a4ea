"""The letters of a demonstration, which go to nobody: what e-mail looks like without a mail server.

Only where ANTE_DEMO is set and letters are written to files. Elsewhere there is no such page.
"""

import email
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

from csp.constants import NONE, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from accounts.models import User
from portal import access

LETTERS_MAX = 100
_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]+\Z")
_RULER = re.compile(rb"\n-{79}\n?\Z")


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter that would have gone out."""

    name: str
    subject: str
    recipient: str
    sent_at: datetime
    text: str
    html: str


@require_GET
@access.own
def letters(request: HttpRequest, user: User) -> HttpResponse:
    """All letters, the newest first."""
    folder = _folder()
    names = sorted((path.stem for path in folder.glob("*.log")), reverse=True) if folder.is_dir() else []
    found = [letter for name in names[:LETTERS_MAX] if (letter := _read(name)) is not None]
    return access.render_own(request, "portal/letters.html", letters=found)


@require_GET
@access.own
def letter(request: HttpRequest, user: User, name: str) -> HttpResponse:
    """One letter."""
    return access.render_own(request, "portal/letter.html", letter=_find(name))


@require_GET
@csp_replace({"default-src": [NONE], "style-src": [UNSAFE_INLINE]})  # type: ignore[arg-type]
@access.own
def letter_html(request: HttpRequest, user: User, name: str) -> HttpResponse:
    """The letter as a mail program shows it; its styles are its own, and nothing in it runs."""
    return HttpResponse(_find(name).html)


def _folder() -> Path:
    if not settings.DEMO or settings.EMAIL_BACKEND != _BACKEND:
        raise Http404
    return Path(settings.EMAIL_FILE_PATH)


def _find(name: str) -> Letter:
    found = _read(name) if _NAME.match(name) else None
    if found is None:
        raise Http404
    return found


def _read(name: str) -> Letter | None:
    path = _folder() / f"{name}.log"
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    message = email.message_from_bytes(_RULER.sub(b"", raw), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return Letter(
        name,
        str(message["Subject"] or ""),
        str(message["To"] or ""),
        parsedate_to_datetime(str(message["Date"])).replace(tzinfo=UTC),
        _part(message, "plain"),
        _part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return "" if part is None else str(part.get_content())
