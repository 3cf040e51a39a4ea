"""JSON without floats, read strictly."""

import json
import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import IO, Any

import msgspec
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from billing.engine.journals import CONTENT_TYPES, PARQUET
from billing.engine.strings import check_strings
from billing.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

BYTES_MAX = 5 * 1024 * 1024
DEPTH_MAX = 20
PARTS_MAX = 400_000
"""Commas and opening brackets of a body, those inside strings included. A batch of 1,000 events with sixty members of
data each has 68,000, five MiB of collectors' spans have 330,000."""
MEMBERS_MAX = 10_000
"""Of one object."""
_EXPONENT_MAX = 40
_DIGITS_MAX = 80
_INT_DIGITS_MAX = 18
# Also one that never ends, which would otherwise be looked for again from each of its characters.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^\[\]{}]++")
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def check_encoding(named: str, *, unpacked: Collection[str] = ()) -> None:
    """Refuse what a ``Content-Encoding`` header names unless it is ``identity``, or one of those that are ``unpacked``.

    Raises ``UnsupportedMediaType``.
    """
    encoding = named.strip().lower()
    if encoding not in {"", "identity", *unpacked}:
        ways = " or ".join(["as it is", *(f"with {way}" for way in unpacked)])
        raise UnsupportedMediaType(f"Send the body {ways}, not encoded as {encoding[:50]}.")


def read(body: bytes) -> Any:
    """Parse a request's body. Numbers with a point or an exponent become ``Decimal``, exactly as written.

    Refused as ``InvalidRequest``: what is not JSON, not UTF-8, names a key twice, has NaN or Infinity, an exponent that
    nothing could mean, a NUL or half a surrogate pair in a string, or more than 20 levels. ``PayloadTooLarge``: more
    bytes or parts than are taken, or members of one object.
    """
    if len(body) > BYTES_MAX:
        raise PayloadTooLarge(f"The body has {len(body)} bytes; at most {BYTES_MAX} are taken.")
    if (parts := sum(map(body.count, b",[{"))) > PARTS_MAX:
        raise PayloadTooLarge(f"The body has some {parts} values; at most {PARTS_MAX} are taken.")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    if _depth(text) > DEPTH_MAX:
        raise InvalidRequest(f"The body is nested more than {DEPTH_MAX} levels deep.")
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise InvalidRequest(f"The body is nested more than {DEPTH_MAX} levels deep.") from None
    if "\\u" in text or "\x00" in text:
        check_strings(value)
    return value


def _depth(text: str) -> int:
    """How deep the brackets are nested; 0 where there are too few of them to matter."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return 0
    brackets = _NO_BRACKETS.sub("", _STRINGS.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _INT_DIGITS_MAX else _decimal(text)


def _decimal(text: str) -> Decimal:
    """The number as the database gives it back: 100 for 1e2, and zero without a sign."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # An exponent that Python cannot even hold.
        raise InvalidRequest(f"The number {text[:40]} is out of any range.") from None
    # Zero has an exponent as well, which the database would try to keep.
    if abs(number.adjusted()) > _EXPONENT_MAX:
        raise InvalidRequest(f"The number {text[:40]} is out of any range.")
    if len(text) > _DIGITS_MAX and len(number.as_tuple().digits) > _DIGITS_MAX:
        raise InvalidRequest(f"The number {text[:40]}… has too many digits.")
    if "e" in text or "E" in text:
        number = Decimal(f"{number:f}")
    return number if number else abs(number)


def _no_constant(text: str) -> Any:
    raise InvalidRequest(f"{text} is not a number in JSON.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MEMBERS_MAX:
        raise PayloadTooLarge(f"An object has {len(pairs)} members; at most {MEMBERS_MAX} are taken.")
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidRequest.field(key[:100] or "body", "is there twice", code="duplicate")
            seen.add(key)
    return result


_decoder = json.JSONDecoder(
    parse_float=_decimal, parse_int=_integer, parse_constant=_no_constant, object_pairs_hook=_unique
)


_encode_numbers = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical").encode


def write(value: Any) -> bytes:
    """Compact JSON. Decimals are expected to be strings already; one inside free-form data is written as the number
    it was."""
    return _encode_numbers(value)


class ExactJSONParser(BaseParser):
    """Reads any JSON content type, CloudEvents' ones included."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return read(stream.read(BYTES_MAX + 1))


class CloudEventParser(ExactJSONParser):
    media_type = "application/cloudevents+json"


class CloudEventBatchParser(ExactJSONParser):
    media_type = "application/cloudevents-batch+json"


class ExactJSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else write(data)


class CSVRenderer(BaseRenderer):
    """Only to be asked for: the view that offers it writes the CSV itself."""

    media_type = "text/csv"
    format = "csv"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return write(data)


class ParquetRenderer(CSVRenderer):
    """The same of Parquet."""

    media_type = CONTENT_TYPES[PARQUET]
    format = "parquet"
