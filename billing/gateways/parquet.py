"""Parquet files, where the extra ``bi`` (pyarrow) is installed. Memory stays flat, whatever the number of rows."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "amount": pa.decimal128(DIGITS_MAX, DECIMALS_MAX),
        "time": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "number": pa.int64(),
        "flag": pa.bool_(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    count, rest = 0, iter(rows)
    with pq.ParquetWriter(body, schema, compression="zstd") as writer:
        while group := list(islice(rest, ROWS_A_GROUP)):
            by_column = zip(schema, zip(*group, strict=True), strict=True)
            arrays = [pa.array(values, field.type) for field, values in by_column]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(group)
    return count
