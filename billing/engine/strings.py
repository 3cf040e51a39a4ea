"""Texts that the database can hold, and tell apart as people do."""

from typing import Any
from unicodedata import is_normalized

from billing.errors import InvalidRequest


def check_strings(value: Any) -> None:
    """Refuse what PostgreSQL cannot store: NUL, and half of a surrogate pair."""
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidRequest("A string has a NUL character in it.")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest("A string has half of a surrogate pair in it.") from None
    elif isinstance(value, dict):
        for key, member in value.items():
            check_strings(key)
            check_strings(member)
    elif isinstance(value, list):
        for member in value:
            check_strings(member)


def is_normal(text: str) -> bool:
    """Whether it is in Unicode's form C (NFC), in which what looks the same is the same."""
    return text.isascii() or is_normalized("NFC", text)
