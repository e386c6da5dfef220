"""What a column holds, as one short name: equal for equal values in equal order.

Tools keep copies of data under names that say nothing. Two columns with one fingerprint hold the
same, and so perhaps come from one another: an inferred join, never an identity.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

MAX_BYTES = 64_000_000
MAX_ROWS = 2_000_000

_INDEX = "__index_level_"
"""How pandas names a column for an index without a name."""


def columns(path: Path) -> dict[str, str]:
    """The fingerprint of each column of a local parquet or CSV file.

    The type in which a number or a text is stored does not matter: a CSV file and the parquet
    file written from it agree. A column that holds one value only has no fingerprint, since it
    would be that of many others; nor has one of a type that is no plain value.

    Args:
        path: the file. One that is missing, unreadable, neither parquet nor CSV, or larger than
            `MAX_BYTES` or `MAX_ROWS`, has no fingerprints.
    """
    import pyarrow as pa

    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        table = _read(path)
    except (OSError, pa.ArrowException):
        return {}
    if table is None or table.num_rows > MAX_ROWS:
        return {}
    names = (name for name in table.column_names if not name.startswith(_INDEX))
    found = ((name, _fingerprint(table.column(name))) for name in names)
    return {name: digest for name, digest in found if digest}


def _read(path: Path) -> Any:
    """The file as a table; None where it is neither parquet nor CSV, or has two equal columns."""
    kind = path.suffix.lower()
    if kind in {".parquet", ".pq"}:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            table = file.read() if file.metadata.num_rows <= MAX_ROWS else None
    elif kind == ".csv":
        from pyarrow import csv

        table = csv.read_csv(path)
    else:
        return None
    if table is None or len(set(table.column_names)) < len(table.column_names):
        return None
    return table


def _fingerprint(column: Any) -> str:
    """A hash over the values in order; empty where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    plain = _plain(column)
    if plain is None or pc.count_distinct(plain, mode="all").as_py() < 2:
        return ""
    digest = hashlib.sha256()
    for part in _parts(plain):
        digest.update(part)
    return digest.hexdigest()[:32]


def _plain(column: Any) -> Any:
    """Numbers as doubles, with NaN for what is missing, and all else as text; None if it is odd."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types, kind = pa.types, column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return pc.fill_null(column.cast(pa.float64(), safe=False), float("nan"))
    if types.is_timestamp(kind):
        return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).cast(pa.large_string())
    if types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind):
        return column.cast(pa.large_string())
    return None


def _parts(column: Any) -> list[bytes]:
    """The bytes of a column of doubles or texts, the same however it is cut into chunks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        return [_buffer(column)]
    lengths = pc.fill_null(pc.binary_length(column), -1)  # which tells nothing from an empty text
    return [b"text", _buffer(lengths), _text(pc.fill_null(column, ""))]


def _text(column: Any) -> bytes:
    """The texts of a column without nulls, one after the other."""
    import pyarrow as pa

    whole = pa.concat_arrays(column.chunks)
    _, places, text = whole.buffers()
    if text is None:  # all of them are empty
        return b""
    ends = memoryview(places).cast("q")
    return bytes(memoryview(text)[ends[whole.offset] : ends[whole.offset + len(whole)]])


def _buffer(column: Any) -> bytes:
    """The values of a column without nulls, of a type with eight bytes."""
    import pyarrow as pa

    whole = pa.concat_arrays(column.chunks)
    begin, width = whole.offset * 8, len(whole) * 8
    return bytes(memoryview(whole.buffers()[1])[begin : begin + width])
