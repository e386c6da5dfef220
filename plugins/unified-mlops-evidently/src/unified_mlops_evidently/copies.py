"""Data that lies beside a snapshot: anonymous copies, known by what they hold and were stamped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from unified_mlops.errors import LineageError
from unified_mlops.lineage import fingerprint, urn
from unified_mlops.records import Alias, Claim, Edge
from unified_mlops_evidently.naming import place

STAMP = "unified_mlops"
"""The key in a frame's `attrs`, which parquet keeps, that says where its columns came from."""


def of(project: Path, links: Mapping[str, Any]) -> tuple[Path, ...]:
    """The files in which a workspace keeps copies of a snapshot's data.

    Args:
        project: the project's folder.
        links: what `<snapshot>.links.json` holds.
    """
    found = []
    for side in links.values():
        held = side if isinstance(side, Mapping) else {}
        more = held.get("additional")
        ids = [held.get("current"), held.get("reference")]
        ids += more.values() if isinstance(more, Mapping) else ()
        for id_ in filter(None, ids):
            folder = project / "datasets" / Path(str(id_)).name
            found += sorted(
                file for file in folder.glob("*") if file.suffix in {".parquet", ".csv"}
            )
    return tuple(dict.fromkeys(found))


def claims(copy: Path) -> Iterator[Claim]:
    """Each column of a copy may come from one with equal content."""
    target = urn.canonical(copy)
    for name, digest in _fingerprints(copy).items():
        thing = urn.column(target, name)
        yield Claim(f"fingerprint:{digest}", "DERIVES", thing, "column-fingerprint")


def aliases(dataset: str) -> Iterator[Alias]:
    """The fingerprints by which the columns of a local file can be found."""
    for file in _local(dataset):
        for name, digest in _fingerprints(file).items():
            yield Alias(f"fingerprint:{digest}", urn.column(dataset, name))


def stamps(dataset: str) -> Iterator[Edge]:
    """Where the columns of a local parquet file came from, as it is stamped."""
    for file in _local(dataset):
        for name, sources in _stamped(*_state(file)).items():
            target = urn.column(dataset, name)
            for source in sources:
                yield Edge(source, "DERIVES", target, "derived", "frame-stamp")
                yield Edge(dataset, "FIELD", target, "derived", "frame-stamp")
                owner = urn.owner(source)
                yield Edge(owner, "FIELD", source, "derived", "frame-stamp")
                yield Edge(owner, "DERIVES", dataset, "derived", "frame-stamp")


def _local(dataset: str) -> Iterator[Path]:
    try:
        file = urn.path_of(dataset)
    except LineageError:
        return
    if file.is_file():
        yield file


def _state(file: Path) -> tuple[Path, int, int]:
    stat = file.stat()
    return file, stat.st_mtime_ns, stat.st_size


def _fingerprints(file: Path) -> Mapping[str, str]:
    return _columns(*_state(file))


@lru_cache(maxsize=32)  # a reference is compared again and again
def _columns(file: Path, changed: int, size: int) -> Mapping[str, str]:  # noqa: ARG001
    return fingerprint.columns(file)


@lru_cache(maxsize=32)
def _stamped(file: Path, changed: int, size: int) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG001
    """For each column of a parquet file the URNs of the columns that it was made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix.lower() not in {".parquet", ".pq"}:
        return {}
    try:
        attrs = json.loads((pq.read_schema(file).metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
        columns = attrs.get(STAMP, {}).get("columns", {}).items()
    except (OSError, ValueError, AttributeError, pa.ArrowException):
        return {}
    found = {
        str(name): tuple(uri for text in texts if urn.is_column(uri := place(text)))
        for name, texts in columns
        if isinstance(texts, list)
    }
    return {name: sources for name, sources in found.items() if sources}
