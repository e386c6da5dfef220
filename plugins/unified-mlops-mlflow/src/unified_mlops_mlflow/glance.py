"""A look at the database file that needs no MLflow: whether it changed, and which runs did.

MLflow gives no time to a tag that is set, or to an input that is logged, after a run has ended;
but in SQLite a row that is added has a higher number than all before it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path

SETTLED = 2.0
"""Seconds after which a write cannot hide behind the file system's clock, which may be coarse."""
_ADDED = {
    "runs": "SELECT run_uuid FROM runs WHERE rowid > ?",
    "tags": "SELECT run_uuid FROM tags WHERE rowid > ?",
    "inputs": "SELECT iif(destination_type = 'RUN', destination_id, source_id) FROM inputs "
    "WHERE rowid > ? AND (destination_type = 'RUN' OR source_type LIKE 'RUN%')",
}
"""Of each table of MLflow's database, the runs of its rows after a number."""


def mark(file: Path) -> str:
    """A text that is another one after every write; empty while the last write is fresh."""
    parts = []
    for path in (file, file.with_name(f"{file.name}-wal")):
        try:
            found = path.stat()
        except OSError:
            continue
        if found.st_size:
            if abs(time.time() - found.st_mtime) < SETTLED:
                return ""
            parts.append(f"{found.st_ino} {found.st_size} {found.st_mtime_ns}")
    return ", ".join(parts)


def given_models(file: Path) -> set[str]:
    """The runs that have models as inputs, which MLflow's search leaves out of its answers."""
    query = "SELECT DISTINCT source_id FROM inputs WHERE source_type = 'RUN_INPUT'"
    with _open(file) as database:
        return {row[0] for row in database.execute(query)}


def added(file: Path, seen: Mapping[str, int]) -> tuple[set[str], dict[str, int]]:
    """The runs that got rows since, and the last rows now.

    Args:
        file: MLflow's SQLite database.
        seen: the last rows then, by table; nothing: no run is named.
    """
    runs: set[str] = set()
    last = {}
    with _open(file) as database:
        for table, query in _ADDED.items():
            highest = database.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0]
            last[table] = highest or 0
            if table in seen:
                runs.update(row[0] for row in database.execute(query, (seen[table],)))
    return runs, last


def _open(file: Path) -> AbstractContextManager[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=5))
