"""Datasets: files that are read and written, known by where they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.lineage import urn
from unified_mlops.lineage.urn import canonical, path_of
from unified_mlops.records import DatasetRecord, Ref
from unified_mlops.resources.base import Resource
from unified_mlops.session import Session

STAMP = "unified_mlops"
"""The key of a DataFrame's `attrs`, kept by parquet, under which its columns' origins stand."""


class Dataset(Resource[DatasetRecord]):
    """A parquet file.

    Args:
        name: its path or URI.
        session: the session it is used in.
    """

    @staticmethod
    def _find(session: Session, name: str | Path) -> DatasetRecord:  # noqa: ARG004
        uri = canonical(name, Path.cwd())
        path = path_of(uri)
        if not path.is_file():
            raise NotFoundError(f"no file {str(name)!r}", hint="give the path of a parquet file")
        columns, rows = _schema(path)
        ref = Ref("session", "dataset", str(path), uri)
        return DatasetRecord(ref=ref, name=path.stem, columns=columns, rows=rows)

    @property
    def path(self) -> Path:
        """Where the file is."""
        return path_of(self.uri)

    def mark(self, frame: Any, columns: Mapping[str, Sequence[str]]) -> None:
        """Say which columns of this dataset a frame's columns were made from.

        The mark stands in `frame.attrs`, which a feature retrieval and a parquet file keep.

        Args:
            frame: a DataFrame made from this dataset.
            columns: for each of its columns, the columns of this dataset that it comes from.

        Raises:
            ArgumentError: a column that the frame or this dataset does not have.
        """
        for name, sources in columns.items():
            for column in [*(set(sources) - set(self.record.columns)), *({name} - set(frame))]:
                raise ArgumentError(f"no column {column!r}", hint="name columns that are there")
        origins = {
            name: [urn.column(self.uri, source) for source in sources]
            for name, sources in columns.items()
        }
        frame.attrs[STAMP] = {"columns": origins}

    def to_pandas(self) -> Any:
        """The rows as a DataFrame."""
        import pandas as pd

        return pd.read_parquet(self.path)


def _schema(path: Path) -> tuple[dict[str, tuple[str, ...]], int]:
    """The columns of a parquet file with what it says of their origins, and its row count."""
    from pyarrow import ArrowInvalid, parquet

    try:
        file = parquet.ParquetFile(path)
    except ArrowInvalid as error:
        raise ArgumentError(
            f"{str(path)!r} is not a parquet file", hint="write it with DataFrame.to_parquet"
        ) from error
    attrs = json.loads((file.schema_arrow.metadata or {}).get(b"PANDAS_ATTRS", "{}"))
    origins = attrs.get(STAMP, {}).get("columns", {})
    return {name: tuple(origins.get(name, ())) for name in file.schema_arrow.names}, (
        file.metadata.num_rows
    )
