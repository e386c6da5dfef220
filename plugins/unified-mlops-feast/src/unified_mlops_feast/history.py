"""Training sets: Feast's point-in-time join, made whole.

Feast's stores differ in what they do to entity rows: the default one loses rows that are equal or
that no feature is known for, and all of them carry every other column through the join. So each
view is asked, once, for the distinct keys and times that it needs, under a number of ours; the
answers are laid beside the caller's rows by that number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from unified_mlops.errors import ArgumentError, ArgumentTypeError
from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord, Edge, FeatureViewRecord, Ref
from unified_mlops_feast.convert import PLUGIN
from unified_mlops_feast.definition import View
from unified_mlops_feast.repo import Opened, Repo

TIME = "event_timestamp"
STAMP = "unified_mlops"
"""The key in a frame's `attrs`, which parquet keeps, that says where its columns came from."""

_NUMBER = "unified_mlops_row"
_RULE = "feature retrieval"


def write_history(
    repo: Repo,
    views: Sequence[FeatureViewRecord],
    features: Sequence[str],
    entities: Any,
    destination: Path,
) -> DatasetRecord:
    """Join features to entities as of their times, and write the result as a parquet file.

    Raises:
        ArgumentTypeError: `entities` is no DataFrame.
        NotFoundError: a feature is unknown.
        ArgumentError: a column is missing, doubled or unreadable.
    """
    opened = repo.open()
    wanted = opened.resolve(features)
    frame = _checked(entities, wanted)
    table, joined, path = _table(frame), dict[str, Any](), destination.absolute()
    live = {view.name: opened.names.view(view.name, view.version) for view, _ in wanted}
    sources = {f"{v.name}__{n}": (urn.column(live[v.name], n),) for v, n in wanted}
    marked = getattr(entities, "attrs", {}).get(STAMP, {}).get("columns", {})
    origins = {name: tuple(marked.get(name, ())) for name in table.column_names}
    columns = origins | sources
    with repo.busy(opened):
        for asked in dict.fromkeys(view.name for view, _ in wanted):
            names = [name for view, name in wanted if view.name == asked]
            joined |= _join(opened, opened.views[asked], names, frame)
        for name in sources:
            table = table.append_column(name, joined[name])
        _write(_stamped(table, columns), path)
    return _record(path, columns, table.num_rows, views)


def _checked(entities: Any, wanted: Sequence[tuple[View, str]]) -> Any:
    """A copy of the entities, their times in UTC.

    Raises:
        ArgumentTypeError: it is no DataFrame.
        ArgumentError: a column is missing or doubled, or the times cannot be read.
    """
    import pandas as pd

    if not isinstance(entities, pd.DataFrame):
        kind = type(entities).__name__
        raise ArgumentTypeError(f"entities is a {kind!r}", hint="give a pandas DataFrame")
    _check_columns(list(entities.columns), wanted)
    try:
        times = pd.to_datetime(entities[TIME], utc=True)
    except (ValueError, TypeError) as error:
        fact = f"column {TIME!r} does not hold times: {error}"
        raise ArgumentError(fact, hint="pandas.to_datetime(…, utc=True)") from error
    return entities.assign(**{TIME: times})


def _check_columns(given: list[Any], wanted: Sequence[tuple[View, str]]) -> None:
    columns = [*given, *(f"{view.name}__{name}" for view, name in wanted)]
    for column in columns:
        if not isinstance(column, str) or columns.count(column) > 1:
            hint = "give each column one name, none of them that of a feature asked for"
            raise ArgumentError(f"column {column!r} is doubled or no text", hint=hint)
    for view, _ in wanted:
        for column in (TIME, *view.needs):
            if column not in given:
                raise ArgumentError(
                    f"entities has no column {column!r}, which view {view.name!r} needs",
                    hint=f"add it to {', '.join(map(repr, given))}",
                )


def _table(frame: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except pa.ArrowException as error:
        fact = f"entities cannot be written to parquet: {error}"
        raise ArgumentError(fact, hint="give each column values of one type") from error


def _join(opened: Opened, view: View, names: Sequence[str], frame: Any) -> dict[str, Any]:
    """The columns of one view, a value for each row of the frame."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = list(dict.fromkeys((*view.needs, TIME)))
    number = frame.groupby(keys, sort=False).ngroup()  # -1 where a key or the time is missing
    first = (number >= 0) & ~number.duplicated()
    columns = [f"{view.name}__{name}" for name in names]
    if not first.any():
        return {
            c: _nulls(view.features[n], len(frame)) for c, n in zip(columns, names, strict=True)
        }
    answer = opened.store.get_historical_features(
        entity_df=frame.loc[first, keys].assign(**{_NUMBER: number[first]}),
        features=[f"{view.name}:{name}" for name in names],
        full_feature_names=True,
    ).to_arrow()
    found = answer.column(_NUMBER).combine_chunks()
    place = pc.index_in(pa.array(number), value_set=found)
    return {column: answer.column(column).take(place) for column in columns}


def _nulls(value_type: int, rows: int) -> Any:
    import pyarrow as pa
    from feast.type_map import feast_value_type_to_pa
    from feast.value_type import ValueType

    return pa.nulls(rows, feast_value_type_to_pa(ValueType(value_type)))


def _stamped(table: Any, columns: Mapping[str, Sequence[str]]) -> Any:
    """The table with its origin where pandas keeps `attrs`."""
    attrs = {STAMP: {"columns": columns}}
    metadata = {**(table.schema.metadata or {}), b"PANDAS_ATTRS": json.dumps(attrs).encode()}
    return table.replace_schema_metadata(metadata)


def _write(table: Any, path: Path) -> None:
    """Write a whole file or none."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        pq.write_table(table, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _record(
    path: Path,
    columns: Mapping[str, tuple[str, ...]],
    rows: int,
    views: Sequence[FeatureViewRecord],
) -> DatasetRecord:
    uri = urn.canonical(path)
    marked = (urn.owner(source) for sources in columns.values() for source in sources)
    made_from = dict.fromkeys((*(view.ref.uri for view in views), *marked))
    edges = [Edge(source, "DERIVES", uri, "declared", _RULE) for source in made_from]
    for name, sources in columns.items():
        made = urn.column(uri, name)
        edges += [Edge(source, "DERIVES", made, "declared", _RULE) for source in sources]
    return DatasetRecord(
        ref=Ref(PLUGIN, "dataset", str(path), uri),
        name=path.stem,
        columns=columns,
        rows=rows,
        edges=tuple(edges),
    )
