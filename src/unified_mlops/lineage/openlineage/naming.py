"""URNs as OpenLineage's pairs of namespace and name, and back.

Physical things are named as OpenLineage's naming rules say. What has a URN of ours and no place
stands in one namespace under its URN.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import NAMESPACE_URL, uuid5

from unified_mlops.errors import LineageError
from unified_mlops.lineage.urn import LOGICAL, canonical, is_column, owner, path_of, without_secrets

OURS = "unified_mlops"
"""The namespace of names that are URNs."""
PRODUCER = "urn:unified-mlops"
DERIVATION = "derives/"
"""Begins the name of a job that is nothing but the derivation of one artifact from others."""

_RUNS = uuid5(NAMESPACE_URL, PRODUCER)
_FILES = {"sqlite", "duckdb"}
_DATABASES = {
    *("postgresql", "mysql", "mariadb", "mssql", "oracle", "redshift", "snowflake", "clickhouse"),
    "mongodb",
}
_PLACES = {
    *("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "wasb", "wasbs", "hdfs", "http", "https"),
    *("kafka", "redis", "postgres", *_DATABASES),
}
_KEYS = {"s3", "s3a", "s3n", "gs", "gcs"}
"""Where a name may begin with a slash that is part of it."""


def run_id(uri: str) -> str:
    """The run id of an execution: the same one whenever it is told."""
    return str(uuid5(_RUNS, uri))


def named(uri: str) -> tuple[str, str]:
    """The namespace and name of a thing that is no column.

    Args:
        uri: its canonical URN.
    """
    scheme, _, rest = uri.partition("://")
    host, _, key = rest.partition("/")
    if scheme == "openlineage":
        return unquote(host), unquote(key)
    if scheme in _FILES:
        file, _, table = uri.partition("#table=")
        return file, unquote(table)
    if scheme in LOGICAL or not key or "#" in rest:
        return ("bigquery", rest) if scheme == "bigquery" else (OURS, uri)
    return _by_rule(uri, scheme, host, key)


def _by_rule(uri: str, scheme: str, host: str, key: str) -> tuple[str, str]:
    if scheme == "file":
        return "file", str(path_of(uri))
    if scheme == "abfs":
        return (f"abfss://{host}.dfs.core.windows.net", key) if "@" in host else (OURS, uri)
    if scheme in _DATABASES:
        database = "postgres" if scheme == "postgresql" else scheme
        return f"{database}://{host}", key.replace("/", ".", 1)
    return f"{scheme}://{host}", f"/{key}" if scheme == "hdfs" else key


def thing_of(uri: str) -> str:
    """A thing, or the thing that a column belongs to."""
    return owner(uri) if is_column(uri) else uri


def field_of(uri: str) -> str:
    """The name of a column."""
    return unquote(uri.rpartition("#")[2])


def urn_of(namespace: str, name: str, symlinks: Iterable[tuple[str, str]] = ()) -> str:
    """The URN of a dataset: ours where it or a symlink names a physical thing.

    Args:
        namespace: of the dataset.
        name: of the dataset.
        symlinks: other namespaces and names of it.

    Raises:
        LineageError: it is a file whose place is not known.
    """
    also = list(symlinks)
    ours = [pair for pair in also if pair[0] == OURS]
    for pair in (*ours, (namespace, name), *also):
        if place := _place(*pair):
            return place
    parts = (quote(without_secrets(part), safe="") for part in (namespace, name))
    return f"openlineage://{'/'.join(parts)}"


def _place(namespace: str, name: str) -> str | None:
    """The URN of a physical thing, or of what stands under its URN."""
    if namespace == OURS:
        return canonical(name)
    if namespace == "file":
        return canonical(Path(name))
    if namespace == "bigquery":
        return canonical(f"bigquery://{name}")
    scheme, separator, _ = namespace.partition("://")
    return _placed(scheme.lower(), namespace.rstrip("/"), name) if separator else None


def _placed(scheme: str, root: str, name: str) -> str | None:
    if scheme in _FILES:
        return canonical(f"{root}#table={quote(name)}")
    if scheme in _DATABASES | {"postgres"}:
        return canonical(f"{root}/{name.replace('.', '/', 1)}")
    if scheme in _PLACES:
        return canonical(f"{root}/{name if scheme in _KEYS else name.lstrip('/')}")
    if scheme == "file":
        with suppress(LineageError):  # of another machine: known by its name only
            return canonical(f"{root}/{quote(name.lstrip('/'))}")
    return None
