"""Parquet files as columns that can be compared: numbers as floats, everything else as text."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from unified_mlops.errors import ArgumentError, LineageError, NotFoundError
from unified_mlops.lineage.urn import path_of
from unified_mlops_evidently import distance

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["number", "text"]
JENSEN_SHANNON, L_INFINITY = "jensen_shannon_divergence", "l_infinity"


def load(reference: str, current: str, columns: Sequence[str]) -> tuple[Any, Any]:
    """Read columns of two parquet files, each column of one kind in both.

    Args:
        reference: URN of a file.
        current: URN of the other one.
        columns: what to read, and nothing else is.

    Returns:
        Two pyarrow tables whose columns are float64 or string.

    Raises:
        NotFoundError: no such file.
        ArgumentError: a file that is not local, not parquet or has no rows, a column that is
            missing, of an unusual type or of another kind in the other file.
    """
    import pyarrow as pa

    tables = [_read(uri, columns) for uri in (reference, current)]
    for name in columns:
        types = [table.schema.field(name).type for table in tables]
        kinds = {kind for type_ in types if (kind := _kind(name, type_))}
        if len(kinds) > 1:
            raise ArgumentError(
                f"column {name!r} is {types[0]} in the reference and {types[1]} now",
                hint="write it with one type in both",
            )
        target = pa.float64() if "number" in kinds else pa.string()
        tables = [_cast(table, name, target) for table in tables]
    return tables[0], tables[1]


def score(reference: Any, current: Any) -> tuple[str, float]:
    """The method and the distance of one loaded column, over all of its rows."""
    import pyarrow as pa

    if pa.types.is_floating(reference.type):
        sides = [distance.histogram(side.to_numpy()) for side in (reference, current)]
        return JENSEN_SHANNON, distance.jensen_shannon(*sides)
    return L_INFINITY, distance.l_infinity(_counts(reference), _counts(current))


def sample(table: Any, rows: int) -> pd.DataFrame:
    """At most this many rows of a loaded table, the same ones each time, in order."""
    import numpy as np

    if table.num_rows > rows:
        chosen = np.random.default_rng(0).choice(table.num_rows, rows, replace=False)
        table = table.take(np.sort(chosen))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _read(uri: str, columns: Sequence[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        path = path_of(uri)
    except LineageError as error:
        raise ArgumentError(error.fact, hint=error.hint) from error
    if not path.is_file():
        raise NotFoundError(f"no file {str(path)!r}", hint=f"ls {path.parent}")
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _require(columns, names, str(path))
            table = file.read(columns=list(columns))
    except pa.ArrowInvalid as error:
        raise ArgumentError(f"{str(path)!r} is not parquet", hint="df.to_parquet(path)") from error
    if not table.num_rows:
        raise ArgumentError(f"{str(path)!r} has no rows", hint="compare datasets that have some")
    return table


def _require(columns: Sequence[str], names: Sequence[str], path: str) -> None:
    for name in columns:
        if name not in names:
            near = get_close_matches(name, names) or names
            raise ArgumentError(
                f"{path!r} has no column {name!r}", hint=f"columns: {', '.join(near)}"
            )


def _kind(name: str, type_: Any) -> Kind | None:
    """What a column holds; None where it holds nothing but missing values."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(type_):
        return _kind(name, type_.value_type)
    if types.is_null(type_):
        return None
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return "number"
    if types.is_boolean(type_) or types.is_string(type_) or types.is_large_string(type_):
        return "text"
    raise ArgumentError(
        f"column {name!r} holds {type_}, which has no distance here",
        hint="compare numbers, booleans and text",
    )


def _cast(table: Any, name: str, target: Any) -> Any:
    import pyarrow as pa

    column, index = table.column(name), table.schema.get_field_index(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return table.set_column(index, name, column.cast(target, safe=False))


def _counts(column: Any) -> dict[str, int]:
    import pyarrow.compute as pc

    counted = pc.value_counts(column.drop_null())
    return dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
