"""What an event says, in 16 bytes."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

_canonical = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


def fingerprint(type_: str, time: datetime | None, data: Mapping[str, Any], extensions: Mapping[str, Any]) -> bytes:
    """16 bytes that two events share only if their content is the same, in whatever order its fields came.

    ``time`` is in UTC; None where the sender left it out. Numbers must be as the database gives them back: without
    exponents that make them larger, and zero without a sign.
    """
    return hashlib.blake2b(_canonical([type_, time, data, extensions]), digest_size=16).digest()
