"""The workspace folder, read as the JSON that it is: importing Evidently takes 8 CPU-seconds.

`<folder>/<project id>/metadata.json` names a project and
`<folder>/<project id>/snapshots/<snapshot id>.json` is a snapshot of it; beside them lie links and
copies of data, which are none.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unified_mlops.errors import NotFoundError
from unified_mlops_evidently import convert, copies

VERSION = 2
"""Of the form of a project's file, as Evidently 0.7 writes it."""

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


def projects(root: Path) -> list[Path]:
    """The folders of a workspace's projects, oldest first; none where there is no workspace.

    Raises:
        BackendError: it is no folder, or the system does not let us read it.
    """
    try:
        found = sorted(root.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise convert.unusable(root, error) from error
    return [folder for folder in found if _ID.fullmatch(folder.name)]


def places(project: Path) -> list[Place]:
    """Every snapshot of a project, oldest first.

    Raises:
        BackendError: the system does not let us read it.
    """
    metadata = project / "metadata.json"
    try:
        if not metadata.exists():
            return []
        renamed, files = _changed(metadata), sorted((project / "snapshots").iterdir())
        return [
            Place(file, max(renamed, _changed(file), _changed(_links(file))))
            for file in files
            if file.suffix == ".json" and _ID.fullmatch(file.stem) and file.exists()
        ]
    except FileNotFoundError:  # a project without a run
        return []
    except OSError as error:
        raise convert.unusable(project, error) from error


def _changed(file: Path) -> int:
    """When a file was changed, by the change time: a copied file keeps its modification time."""
    try:
        return file.stat().st_ctime_ns
    except FileNotFoundError:
        return 0


def _links(file: Path) -> Path:
    """What says where the copies of a snapshot's data lie; it is written after the snapshot."""
    return file.with_suffix(".links.json")


def has_copies(root: Path) -> bool:
    """Whether a workspace keeps copies of data."""
    return any(root.glob("*/datasets/*"))


def find(root: Path, snapshot: str) -> Place:
    """The place of one snapshot.

    Raises:
        NotFoundError: the workspace does not have it.
    """
    for project in projects(root):
        for place in places(project):
            if place.file.stem == snapshot:
                return place
    raise NotFoundError(f"no snapshot {snapshot!r} in {str(root)!r}", hint=f"ls {root}")


def project_name(project: Path) -> str:
    """The name of the project in a folder.

    Raises:
        BackendError: its file is damaged, or written by a newer Evidently.
    """
    held = _load(project / "metadata.json")
    version = str(held.get("version") or "1")
    if not version.isdecimal() or int(version) > VERSION:
        raise convert.foreign(project / "metadata.json")
    return str(held.get("name", project.name))


def read(place: Place) -> convert.Snapshot:
    """A snapshot as it was stored.

    Raises:
        BackendError: its file is damaged.
    """
    name, links = project_name(place.project), _links(place.file)
    held = copies.of(place.project, _load(links)) if links.exists() else ()
    return convert.snapshot(place.file, name, _load(place.file), held)


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
