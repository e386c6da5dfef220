"""Reading what runs leave on disk: what is new, and JSON that may be half written or huge."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError
from unified_mlops.records import Observation

LARGEST = 32 * 2**20
"""Bytes of a JSON file of lineage; what is larger is data that went astray."""
_TICK = 20 * 10**6
"""Nanoseconds in which a file may change twice and look as if it had once."""


class Changes:
    """Tells what changed since the last look, by the times that the operating system keeps.

    Args:
        state: what `state()` gave at the last look.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.since = int(state.get("since", 0))
        self._told: Mapping[str, int] = state.get("told", {})
        self._settled = time.time_ns() - _TICK
        self._seen: dict[str, int] = {}

    def new(self, key: str, changed: int) -> bool:
        """Whether a record that was last changed then has not been told yet."""
        if changed < self.since:
            return False
        self._seen[key] = changed
        return self._told.get(key) != changed

    def state(self) -> dict[str, Any]:
        """What to remember: a moment, and what changed at it and need not be told again."""
        since = min(max(self._seen.values(), default=self.since), self._settled)
        since = max(since, self.since)
        told = dict(self._told) if since == self.since else {}
        told |= {key: at for key, at in self._seen.items() if since <= at < self._settled}
        return {"since": since, "told": told}


def read_json(file: Path, problems: list[str]) -> dict[str, Any] | None:
    """The object in a file; None where it is not there, or, with the problem named, not usable."""
    try:
        if file.stat().st_size > LARGEST:
            problems.append(f"{str(file)!r} is larger than {LARGEST} bytes")
            return None
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{str(file)!r} cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        problems.append(f"{str(file)!r} is not whole: it holds no JSON")
    else:
        if isinstance(content, dict):
            return content
        problems.append(f"{str(file)!r} holds no JSON object")
    return None


def whole(key: str, time: float, observe: Callable[[], Observation]) -> Observation:
    """What a record says; one that is not what KFP writes is named, and the others go on."""
    try:
        return observe()
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        said = f"{key}: this is not what KFP writes ({type(error).__name__})"
        return Observation(key, unresolved=(said,), time=time)


def folders(path: Path, problems: list[str]) -> Iterator[os.DirEntry[str]]:
    """The folders in a folder, by name; a folder that cannot be read is named as a problem."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"the folder {str(path)!r} cannot be read: {error.strerror}")
        return
    yield from (entry for entry in entries if entry.is_dir(follow_symlinks=False))


def is_there(root: Path, key: str) -> bool:
    """Whether a configured folder exists.

    Raises:
        BackendError: it is not a folder, or cannot be read.
    """
    try:
        with os.scandir(root):
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BackendError(
            f"the folder {str(root)!r} cannot be read: {error.strerror}",
            hint=f"set {key} in [plugins.kfp] to a folder that can be read",
        ) from error


def last(of: Callable[[os.stat_result], Any], *files: Path) -> Any:
    """The largest of something among the files that are there; 0 where none is."""
    found = [0]
    for file in files:
        try:
            found.append(of(file.stat()))
        except OSError:
            continue
    return max(found)


def changed(*files: Path) -> int:
    """When the operating system last saw a change, a move or a copy of them, in nanoseconds."""
    return int(last(lambda stat: stat.st_ctime_ns, *files))


def modified(*files: Path) -> float:
    """When their content was last changed, in seconds."""
    return float(last(lambda stat: stat.st_mtime, *files))
