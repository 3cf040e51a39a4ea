"""What must not stand in a log: keys, tokens, links that open something, addresses. And a log line is one line."""

import logging
import re

SECRET = re.compile(
    r"(?P<keep>\b[cs]k_(?:live|test)_)[A-Za-z0-9_-]{6,}"
    r"|(?P<bearer>(?i:bearer\s+))[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<link>/(?:invitations|reset|sign-up|embed)/)[^\s\"'?]+"
    r"|(?P<answer>[?&](?:code|state)=)[^\s\"'&]{12,}"
    r"|(?P<stripe>\b(?:sk|rk|pk|whsec)_(?:live_|test_)?)[A-Za-z0-9+/=]{16,}"
    r"|(?P<field>(?i:password|passwd|secret|token|authorization|api[_-]?key|sessionid|csrf\w*)[\"']?\s*[=:]\s*[\"']?(?i:bearer\s+|basic\s+)?)[^\s\"',;&}]{4,}"
    r"|(?P<row>Failing row contains \()[^\n]+"  # As PostgreSQL tells of a constraint: all that is in the row.
    r"|(?P<person>)\b[\w.+%-]{1,64}@(?:[\w-]{1,63}\.)+\w+"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


def scrub(text: str) -> str:
    """The text without its secrets; what they began with stays, so that one sees that something was there."""
    return SECRET.sub(lambda found: f"{found[found.lastgroup or 0]}***", text)


class ScrubbingFormatter(logging.Formatter):
    """Formats as configured, then takes secrets and control characters out of the whole, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", scrub(super().format(record)))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message itself on one line: what somebody sent must not look like a line of ours."""
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)
