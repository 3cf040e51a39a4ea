"""Parquet files, where the extra ``bi`` (pyarrow) is installed. Memory stays flat, whatever the number of rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from io import RawIOBase
from itertools import islice
from typing import IO, Any

from billing.engine.money import DECIMALS_MAX, DIGITS_MAX

ROWS_A_GROUP = 50_000
MISSING = "Parquet needs the package pyarrow (the extra bi): pip install 'pyarrow>=23'."


def installed() -> bool:
    """Whether Parquet can be written here."""
    return find_spec("pyarrow") is not None


def write(body: IO[bytes], columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> int:
    """Write the rows into the file and return how many there were.

    ``columns`` are names and types: ``text``, ``amount`` (exact, 30 digits with 12 after the point), ``time`` (UTC),
    ``date``, ``number``, ``flag``.
    """
    import pyarrow.parquet as pq

    schema, count = _schema(columns), 0
    with pq.ParquetWriter(body, schema, compression="zstd") as writer:
        for batch in _batches(schema, rows):
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def stream(columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The same file in parts, each as soon as its rows are there."""
    import pyarrow.parquet as pq

    schema, written = _schema(columns), _Written()
    with pq.ParquetWriter(written, schema, compression="zstd") as writer:
        for batch in _batches(schema, rows):
            writer.write_batch(batch)
            yield written.taken()
    yield written.taken()


class _Written(RawIOBase):
    """A file that forgets what was taken from it, and knows where it is."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _schema(columns: Mapping[str, str]) -> Any:
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "amount": pa.decimal128(DIGITS_MAX, DECIMALS_MAX),
        "time": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "number": pa.int64(),
        "flag": pa.bool_(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def _batches(schema: Any, rows: Iterable[Sequence[Any]]) -> Iterator[Any]:
    import pyarrow as pa

    rest = iter(rows)
    while group := list(islice(rest, ROWS_A_GROUP)):
        arrays = [pa.array(values, field.type) for field, values in zip(schema, zip(*group, strict=True), strict=True)]
        del group  # Gone before the next is gathered: one at a time is held.
        yield pa.record_batch(arrays, schema=schema)
