"""Secrets and addresses of people that tests use turn up where they belong alone.

After every test that used the database, what it left in sessions, the trail, the outbox, notices and kept answers is
searched, what was logged after every test at all, and the cache and the queue at the end of each process.
"""

import base64
import json
import logging
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from redis import Redis

from accounts.logs import ScrubbingFormatter
from accounts.sessions import SessionStore

SECRETS = "|".join(
    [
        r"[cs]k_(?:live|test)_[A-Za-z0-9_-]{43}",  # Of API keys,
        r"whsec_[A-Za-z0-9+/=]{20}",  # webhooks,
        r"\m[A-Z2-7]{32}\M",  # authenticators,
        r"\m[a-hjkmnp-z2-9]{2}(?:-[a-hjkmnp-z2-9]{4}){4}\M",  # recovery codes,
        r"/(?:invitations|reset)/[A-Za-z0-9_/-]{20}",  # links;
        r"correct horse battery|another[- ]long[- ]|ante-demo-2026",  # passwords.
    ]
)
CARDS = "|".join(
    rf"(?<![\w.-]){number}(?![.-]?\w)"
    for number in (
        r"(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d)[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}",
        r"3[47]\d\d[ -]?\d{6}[ -]?\d{5}",
    )
)
"""What may be the number of a card; it is one where its last digit fits the others (``cards_in``)."""
PEOPLE = r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+\.test\M"
"""Expressions of PostgreSQL's, where ``\\m`` and ``\\M`` are where words begin and end."""
CLAIMED = "company_unknown"
"""What a provider says of somebody, in their session for ten minutes: they are shown it once."""
SINKS = {
    "accounts_auditevent": f"{SECRETS}|{PEOPLE}",
    "accounts_auditdetail": SECRETS,
    "accounts_outgoingmail": SECRETS,
    "billing_idempotencyrecord": SECRETS,
    "billing_notice": SECRETS,
    "billing_noticedelivery": SECRETS,
    "billing_outboxevent": SECRETS,
    "billing_webhookdelivery": SECRETS,
}
_ANYWHERE = " UNION ALL ".join(f"SELECT '{table}', t::text FROM {table} t WHERE t::text ~ %s" for table in SINKS)
_PARAMETERS = [f"{expression}|{CARDS}" for expression in SINKS.values()]


def _of_python(expression: str) -> re.Pattern[str]:
    return re.compile(expression.replace(r"\m", r"\b").replace(r"\M", r"\b"))


_IN = {table: _of_python(expression) for table, expression in SINKS.items()}
_CANARY, _CARD = _of_python(f"{SECRETS}|{PEOPLE}"), re.compile(CARDS)


class Logged(logging.Handler):
    """Keeps what is logged and should not be, as the settings have it written."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(ScrubbingFormatter(as_json=settings.LOG_FORMAT == "json"))
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found += found_in(self.format(record))

    def taken(self) -> list[str]:
        """What was found since the last time."""
        found, self.found = self.found, []
        return found


def found_in(text: str, canary: re.Pattern[str] = _CANARY) -> list[str]:
    return [*canary.findall(text), *cards_in(text)]


def cards_in(text: str) -> list[str]:
    """The numbers of cards in it, of any issuer whose payments can be taken: the last digit fits the others (Luhn)."""
    return [number for number in _CARD.findall(text) if _fits([int(each) for each in number if each.isdigit()])]


def _fits(digits: list[int]) -> bool:
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def in_database() -> list[tuple[str, str]]:
    """Table and canary, for each row of the connection's database that holds one."""
    with connection.cursor() as cursor:
        cursor.execute(_ANYWHERE, _PARAMETERS)
        found = [(table, canary) for table, row in cursor.fetchall() for canary in found_in(row, _IN[table])]
        cursor.execute("SELECT session_data FROM accounts_session")
        for (data,) in cursor.fetchall():
            held = SessionStore().decode(data)
            held.pop(CLAIMED, None)
            found += [("accounts_session", canary) for canary in found_in(json.dumps(held))]
    return found


def in_redis(url: str, look: Callable[[str], list[str]] = found_in) -> list[tuple[str, str]]:
    """Key and canary, for all that is in the cache and the queue."""
    redis: Any = Redis.from_url(url)
    found = []
    for key in redis.scan_iter():
        match redis.type(key):
            case b"list":
                values = [_message(item) for item in redis.lrange(key, 0, -1)]
            case b"hash":
                values = redis.hgetall(key).items()
            case b"stream":
                values = redis.xrange(key)
            case b"set":
                values = redis.smembers(key)
            case b"zset":
                values = redis.zrange(key, 0, -1)
            case _:
                values = [redis.get(key)]
        name = key.decode("latin-1")
        found += [(name, canary) for canary in look(f"{name} {list(values)}")]
    redis.close()
    return found


def _message(item: bytes) -> object:
    """A task in the queue with what it is told, which Celery hides in base64."""
    try:
        return item, base64.b64decode(json.loads(item)["body"])
    except (ValueError, KeyError, TypeError):
        return item
