"""Lineage from the log folder: which run each folder of event files is of, whoever wrote it.

Our own files say whose they are. Of others only their names tell: many writers put the time, the
host and the process into them, and the run that this process wrote at that time is looked up.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from unified_mlops.lineage import urn
from unified_mlops.records import Claim, Collection, Edge, Node, Observation
from unified_mlops_tensorboard import files
from unified_mlops_tensorboard.convert import Origin, made_at, origin, problem, run_of

OVERLAP = 60
"""Seconds that are read twice: a file may be there before its first record is whole."""


def collect(root: Path, cursor: str | None) -> Collection:
    """The folders that changed since the cursor.

    The cursor is a time, and the marks of the folders that will be read again although they have
    been told.

    Raises:
        NotADirectoryError: the root is a file.
        PermissionError: the root cannot be read.
    """
    if not root.exists():
        return Collection((), None)
    state = json.loads(cursor or '{"since": 0, "told": {}}')
    found, told, since = [], {}, time.time() - OVERLAP
    for folder, changed in sorted(_folders(root, state["since"])):
        seen = _observe(root, folder)
        if seen is None:
            continue
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


def _folders(root: Path, since: float) -> Iterator[tuple[Path, float]]:
    """The folders that changed: files were added, or the folder was moved here.

    Links are followed, as TensorBoard follows them, into each folder once.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [(str(root), root.stat())]
    os.scandir(root).close()  # here, and in no other folder, it is an error if it cannot be read
    while waiting:
        path, stat = waiting.pop()
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        if stat.st_ctime >= since:
            yield Path(path), stat.st_ctime
        waiting += _below(path)


def _below(path: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    if entry.is_dir():
                        yield entry.path, entry.stat()
                except OSError:  # gone, or a link that leads nowhere
                    continue
    except OSError:  # what cannot be read is named where its folder is observed
        return


def _observe(root: Path, folder: Path) -> Observation | None:
    """What a folder's event files say; None where it has none."""
    uri = urn.canonical(folder)
    try:
        names = sorted(path.name for path in folder.iterdir() if path.match(files.PATTERN))
    except OSError as error:
        return Observation(uri, unresolved=(f"{uri} cannot be read: {error.strerror}",))
    if not names:
        return None
    read = {name: _run_in(folder / name) for name in names}
    runs = {run for run, _ in read.values() if isinstance(run, str)}
    made = [run for run, _ in read.values() if isinstance(run, Origin)]
    times = [second for name in names if (second := made_at(name))]
    title = folder.relative_to(root).as_posix()
    return Observation(
        key=uri,
        nodes=(Node(uri, "dataset", title, time=min(times, default=None)),),
        edges=tuple(Edge(run, "OUTPUT", uri) for run in sorted(runs)),
        unresolved=tuple(f"{uri}/{name} {wrong}" for name, (_, wrong) in read.items() if wrong),
        claims=tuple(
            Claim(f"process:{each.host}:{each.pid}", "OUTPUT", uri, "process", each.time)
            for each in made
        ),
        time=max(times, default=None),
    )


def _run_in(path: Path) -> tuple[str | Origin | None, str]:
    """The run that a file says it is of, or which process made it; and what is wrong with it."""
    try:
        if wrong := problem(path):
            return None, wrong
        events = list(files.read(path, 3))
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    return run_of(events) or origin(path.name, events), ""
