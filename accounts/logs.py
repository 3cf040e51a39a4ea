"""What a log line says, and what it must not: keys, tokens, links that open something, addresses of people."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime

from celery import current_task

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The name of the request that is worked for, or empty: for none, or for several at once."""

SECRET = re.compile(
    r"(?P<keep>\b[cs]k_(?:live|test)_)[A-Za-z0-9_-]{6,}"
    r"|(?P<bearer>(?i:bearer\s+))[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<link>/(?:invitations|reset|sign-up|embed)/)[^\s\"'?]+"
    r"|(?P<answer>[?&](?:code|state|sig)=)[^\s\"'&]{12,}"
    r"|(?P<stripe>\b(?:sk|rk|pk|whsec)_(?:live_|test_)?)[A-Za-z0-9+/=]{16,}"
    r"|(?P<field>(?i:password|passwd|secret|token|authorization|api[_-]?key|sessionid|csrf\w*)[\"']?\s*[=:]\s*[\"']?(?i:bearer\s+|basic\s+)?)[^\s\"',;&}]{4,}"
    r"|(?P<cookie>\b(?:__Host-|ante_)\w+\s*=\s*[\"']?)[^\s\"',;&]{8,}"
    r"|(?P<messenger>\bhooks\.slack\.com/services/)[^\s\"'<>]+"
    r"|(?P<recovery>)\b[a-hjkmnp-z2-9]{2}(?:-[a-hjkmnp-z2-9]{4}){4}\b"
    # As PostgreSQL tells of a constraint: all that is in the row, up to where a trace goes on with another exception.
    r"|(?P<row>Failing row contains \()(?:(?!\n\n(?:The above|During handling of) )[\s\S])+"
    r"|(?P<person>)\b[\w.+%-]{1,64}@(?:[\w-]{1,63}\.)+\w+"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_ECS_VERSION = "8.11.0"


def scrub(text: str) -> str:
    """The text without its secrets; what they began with stays, so that one sees that something was there."""
    return SECRET.sub(lambda found: f"{found[found.lastgroup or 0]}***", text)


class ScrubbingFormatter(logging.Formatter):
    """Each record as one JSON object on a line of its own, its fields named by the Elastic Common Schema, or as text.

    Every value is scrubbed, tracebacks included, and no text from outside can make a line that looks like one of ours.
    """

    def __init__(self, *, as_json: bool = True) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: _clean(value) for name, value in self._fields(record).items() if value or name == "message"}
        return json.dumps(fields) if self._as_json else _text(fields)

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        fields = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "ecs.version": _ECS_VERSION,
            "log.logger": record.name,
            "http.request.id": request_id.get(),
        }
        if current_task:  # type: ignore[truthy-bool]  # A proxy, false where there is no task.
            fields |= {"labels.task": current_task.name, "labels.task_id": current_task.request.id or ""}
        if record.exc_info and record.exc_info[0]:
            fields["error.type"] = record.exc_info[0].__name__
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        fields["error.stack_trace"] = "\n".join(filter(None, (trace, record.stack_info)))
        return fields


def _clean(value: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", scrub(value))


def _text(fields: dict[str, str]) -> str:
    """For people. What follows the first line is indented."""
    work = fields.get("http.request.id") or fields.get("labels.task_id")
    message = fields["message"].replace("\n", "\\n")
    origin = f"{fields['log.logger']} [{work}]" if work else fields["log.logger"]
    line = f"{fields['@timestamp']} {fields['log.level'].upper()} {origin}: {message}"
    trace = fields.get("error.stack_trace")
    return f"{line}\n{trace}".replace("\n", "\n    ") if trace else line
