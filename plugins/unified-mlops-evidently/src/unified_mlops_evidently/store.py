"""The workspace folder, read as the JSON that it is: importing Evidently takes 8 CPU-seconds.

`<folder>/<project id>/metadata.json` names a project and
`<folder>/<project id>/snapshots/<snapshot id>.json` is a snapshot of it; beside them lie links and
copies of data, which are none.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unified_mlops.errors import NotFoundError
from unified_mlops_evidently import convert

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a snapshot lies, and when it or its project was last written (nanoseconds)."""

    file: Path
    changed: int

    @property
    def project(self) -> Path:
        """The folder of its project."""
        return self.file.parent.parent


def places(root: Path) -> Iterator[Place]:
    """Every snapshot of a workspace, oldest project and snapshot first."""
    for metadata in sorted(root.glob("*/metadata.json")):
        if not _ID.fullmatch(metadata.parent.name):
            continue
        renamed = metadata.stat().st_ctime_ns
        for file in sorted(metadata.parent.glob("snapshots/*.json")):
            if _ID.fullmatch(file.stem):
                # the change time: a copied file keeps its modification time
                yield Place(file, max(renamed, file.stat().st_ctime_ns))


def find(root: Path, snapshot: str) -> Place:
    """The place of one snapshot.

    Raises:
        NotFoundError: the workspace does not have it.
    """
    for place in places(root):
        if place.file.stem == snapshot:
            return place
    raise NotFoundError(f"no snapshot {snapshot!r} in {str(root)!r}", hint=f"ls {root}")


def project_name(project: Path) -> str:
    """The name of the project in a folder.

    Raises:
        BackendError: its file is damaged.
    """
    return str(_load(project / "metadata.json").get("name", project.name))


def read(place: Place) -> convert.Snapshot:
    """A snapshot as it was stored.

    Raises:
        BackendError: its file is damaged.
    """
    return convert.snapshot(place.file, project_name(place.project), _load(place.file))


def write(root: Path, monitor: str, snapshot: Any) -> convert.Snapshot:
    """Add a snapshot to the project of a monitor, which is created if it is new.

    Evidently writes file by file, and a page that is open reads them as they appear: let it write
    next door, and move what is whole.

    Raises:
        BackendError: the folder cannot be written.
    """
    from evidently.sdk.models import ProjectModel
    from evidently.ui.workspace import Workspace

    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root.parent, prefix=".evidently-") as staging:
            known = _project_of(root, monitor)
            project = ProjectModel(name=monitor, **({"id": known.name} if known else {}))
            workspace = Workspace(staging)
            workspace.add_project(project)
            added = workspace.add_run(project.id, snapshot)
            target = root / str(project.id)
            file = target / "snapshots" / f"{added.id}.json"
            fresh = Path(staging) / file.relative_to(root)
            if known:
                file.parent.mkdir(exist_ok=True)
                shutil.move(fresh, file)
            else:
                shutil.move(fresh.parent.parent, target)
    except OSError as error:
        raise convert.unusable(root, error) from error
    return read(Place(file, 0))


def _project_of(root: Path, name: str) -> Path | None:
    folders = (file.parent for file in sorted(root.glob("*/metadata.json")))
    return next((f for f in folders if _ID.fullmatch(f.name) and project_name(f) == name), None)


def _load(file: Path) -> Mapping[str, Any]:
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise convert.damaged(file) from error
    except OSError as error:
        raise convert.unusable(file, error) from error
    if not isinstance(body, dict):
        raise convert.damaged(file)
    return body
