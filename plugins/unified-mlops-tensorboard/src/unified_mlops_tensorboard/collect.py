"""Lineage from the log folder: which run each folder of event files is of."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from unified_mlops.lineage import urn
from unified_mlops.records import Collection, Edge, Node, Observation
from unified_mlops_tensorboard import files
from unified_mlops_tensorboard.convert import run_of

OVERLAP = 60
"""Seconds that are read twice: a file may be there before its first record is whole."""


def collect(root: Path, cursor: str | None) -> Collection:
    """The folders that changed since the cursor.

    The cursor is a time, and the marks of the folders that will be read again although they have
    been told.
    """
    if not root.exists():
        return Collection((), None)
    state = json.loads(cursor or '{"since": 0, "told": {}}')
    found, told, since = [], {}, time.time() - OVERLAP
    for folder in sorted({path.parent for path in root.rglob(files.PATTERN)}):
        changed = folder.stat().st_mtime  # of the folder: a file was added
        if changed < state["since"]:
            continue
        seen = _observe(root, folder)
        mark = short(repr(seen))
        if state["told"].get(seen.key) != mark:
            found.append(seen)
        if changed >= since:
            told[seen.key] = mark
    return Collection(found, json.dumps({"since": since, "told": told}))


def runs_in(folder: Path) -> set[str]:
    """The runs that the event files of a folder say they are of."""
    found = {run_of(files.read(path, 3)) for path in folder.glob(files.PATTERN)}
    return {uri for uri in found if uri}


def short(text: str) -> str:
    """A few characters that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _observe(root: Path, folder: Path) -> Observation:
    uri = urn.canonical(folder)
    node = Node(uri, "dataset", folder.relative_to(root).as_posix())
    edges = tuple(Edge(run, "OUTPUT", uri) for run in sorted(runs_in(folder)))
    return Observation(uri, (node,), edges)
