"""What the workspace says about where reports come from, without importing Evidently."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError
from unified_mlops.records import Collection, Observation
from unified_mlops_evidently import store
from unified_mlops_evidently.observe import observation

TICK = 100_000_000
"""Nanoseconds for which a file that was just written may be written again unnoticed."""


def collect(root: Path, cursor: str | None) -> Collection:
    """Read the snapshots that were written, or whose project was renamed, since the cursor.

    A file or a project that cannot be read is a problem of the collection, and tried again.

    Args:
        root: the workspace folder; where there is none, nothing is found or made.
        cursor: the time of change of the newest file seen, in nanoseconds; the files of that very
            moment, which others may share; the files and projects that could not be read; whether
            there were copies of data, whose origin is looked for in what all reports name.

    Raises:
        BackendError: the workspace is no folder, or the system does not let us read it.
    """
    copied = store.has_copies(root)
    newest, last, left = _cursor(cursor, copied)
    found: list[Observation] = []
    changed: dict[str, int] = {}
    failed: dict[str, BackendError] = {}
    for project in store.projects(root):
        for place in _places(project, failed):
            name = place.file.stem
            changed[name] = place.changed
            again = name in left or project.name in left
            if again or place.changed > newest or (place.changed == newest and name not in last):
                _read(place, copied, found, failed)
    if not changed and not failed:
        return Collection((), None)
    newest = max(changed.values(), default=newest)
    settled = time.time_ns() - newest > TICK
    last = [name for name, moment in changed.items() if moment == newest and settled]
    cursor = json.dumps([newest, last, list(failed), copied])
    return Collection(tuple(found), cursor, tuple(failed.values()))


def _cursor(text: str | None, copied: bool) -> Any:
    held: Any = json.loads(text) if text else None
    known = isinstance(held, list) and held[-1] == copied
    return held[:3] if known else (0, [], [])


def _places(project: Path, failed: dict[str, BackendError]) -> list[store.Place]:
    try:
        return store.places(project)
    except BackendError as error:
        failed[project.name] = error
        return []


def _read(
    place: store.Place, copied: bool, found: list[Observation], failed: dict[str, BackendError]
) -> None:
    try:
        found.append(observation(store.read(place), place.changed / 1e9, copied))
    except BackendError as error:
        failed[place.file.stem] = error
