"""Django's sessions in the database, in rows that say whose they are.

The key of a session is in its browser's cookie and nowhere else. Its row has the SHA-256 of it, which opens nothing and
is what pages call the session by.
"""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts import addresses
from accounts.models import Session

FIRST_SEEN, ADDRESS, AGENT = "first_seen", "address", "agent"


class SessionStore(DatabaseStore):
    """The store that SESSION_ENGINE names."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.session_key = name_of(row.session_key)
        user_id = data.get(SESSION_KEY)
        row.user_id = None if user_id is None else UUID(user_id)
        row.created_at = datetime.fromisoformat(data[FIRST_SEEN]) if FIRST_SEEN in data else timezone.now()
        row.ip_address, row.agent = data.get(ADDRESS), data.get(AGENT, "")
        return row

    def load(self) -> dict[str, Any]:
        row = _row(self.session_key).filter(expire_date__gt=timezone.now()).first()
        if row is None:
            self._session_key = None
            return {}
        return self.decode(row.session_data)

    def exists(self, session_key: str) -> bool:
        return _row(session_key).exists()

    def delete(self, session_key: str | None = None) -> None:
        _row(session_key or self.session_key).delete()

    def cycle_key(self) -> None:
        """Another key for the same session. Raises ``SessionInterrupted`` where it was ended: it does not come back."""
        signed_in, key = SESSION_KEY in self, self.session_key
        with transaction.atomic():
            ended = key is not None and not _row(key).delete()[0]
            if ended and signed_in:
                raise SessionInterrupted("The session was ended while this was asked for in it.")
            self.create()


def name_of(session_key: str | None) -> str:
    """What the session with this key is called in its row and on pages: the SHA-256 of the key, in hex."""
    return hashlib.sha256((session_key or "").encode()).hexdigest()


def _row(session_key: str | None) -> QuerySet[Session]:
    return Session.objects.filter(session_key=name_of(session_key))


def describe(request: HttpRequest) -> None:
    """Note in the session where it was opened."""
    request.session[FIRST_SEEN] = timezone.now().isoformat()
    request.session[ADDRESS] = addresses.text_of(request)
    request.session[AGENT] = agent_of(request)


def agent_of(request: HttpRequest) -> str:
    """The browser and the system in a few words, from what the browser says of itself."""
    said = request.headers.get("User-Agent", "")
    browsers = [("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")]
    systems = [("Android", "Android"), ("iPhone", "iOS"), ("iPad", "iOS"), ("Windows", "Windows")]
    systems += [("Mac OS", "macOS"), ("Linux", "Linux")]
    browser = next((name for mark, name in browsers if mark in said), "A browser")
    system = next((name for mark, name in systems if mark in said), "")
    return f"{browser} on {system}" if system else browser


def open_sessions(user_id: UUID) -> QuerySet[Session]:
    """The person's sessions that have not expired, the newest first."""
    return Session.objects.filter(user_id=user_id, expire_date__gt=timezone.now()).order_by("-seen_at")


def end(user_id: UUID, *, keep: str | None = None, only: str | None = None) -> int:
    """End the person's sessions, but not the one called ``keep``; or ``only`` one. Says how many.

    Sessions are called as ``name_of`` says.
    """
    rows = Session.objects.filter(user_id=user_id)
    if keep is not None:
        rows = rows.exclude(session_key=keep)
    if only is not None:
        rows = rows.filter(session_key=only)
    return rows.delete()[0]
