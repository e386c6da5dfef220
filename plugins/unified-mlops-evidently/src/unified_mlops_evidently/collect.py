"""What the workspace says about where reports come from, without importing Evidently."""

from __future__ import annotations

import logging
from pathlib import Path

from unified_mlops.errors import BackendError
from unified_mlops.records import Collection
from unified_mlops_evidently import convert, store

logger = logging.getLogger("unified_mlops")


def collect(root: Path, cursor: str | None) -> Collection:
    """Read the snapshots that were written, or whose project was renamed, since the cursor.

    A file that cannot be read is left for the next time: it may still be growing, and will have
    changed after the cursor when it is whole.

    Args:
        root: the workspace folder; where there is none, nothing is found or made.
        cursor: the time of change, in nanoseconds, of the newest file seen.
    """
    newest = int(cursor) if cursor else 0
    found = []
    for place in store.places(root):
        if place.changed < int(cursor or 0):  # equal: two files may share the tick of the clock
            continue
        try:
            found.append(convert.observation(store.read(place)))
        except BackendError as error:
            logger.warning("left out of the lineage: %s", error.fact)
            continue
        newest = max(newest, place.changed)
    return Collection(tuple(found), str(newest) if newest else None)
