"""Logs of one JSON object a line, read from where the last reading ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unified_mlops_ray.convert import storage

Line = tuple[str, dict[str, Any] | None]
"""Where a line stands, as `path:offset`, and its object; None where it is cut short."""


def read(path: Path, offset: int) -> tuple[list[Line], int]:
    """The lines that were written whole since an offset, and where the next one will start.

    Raises:
        BackendError: the system does not let us read the file.
    """
    if not path.is_file():
        return [], 0
    with storage(path), path.open("rb") as log:
        log.seek(offset if offset <= path.stat().st_size else 0)  # a log that was begun anew
        start = log.tell()
        text = log.read()
    whole = text[: text.rfind(b"\n") + 1]
    return list(_lines(path, start, whole)), start + len(whole)


def _lines(path: Path, start: int, text: bytes) -> Iterator[Line]:
    for line in text.splitlines(keepends=True):
        yield f"{path}:{start}", _object(line)
        start += len(line)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:  # a line that a full disk cut short
        return None
    return found if isinstance(found, dict) else None
