"""The schedules of a workspace: each a file, and beside it the compiled pipeline.

Whoever changes one holds a lock and writes it whole, so that nobody's change is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_mlops.errors import (
    AlreadyExistsError,
    BackendError,
    NotFoundError,
    UnifiedMLOpsError,
    store_error,
)
from unified_mlops.files import write_whole
from unified_mlops.pipelines.schedule import Schedule, as_dict, from_dict

PATIENCE = 30.0
"""Seconds to wait for another process that is changing a schedule."""

_FILE = ".schedule.json"


class Timetable:
    """The files of a workspace's schedules.

    Args:
        workspace: the folder of the workspace.
    """

    def __init__(self, workspace: Path) -> None:
        self.folder = workspace / "schedules"

    def names(self) -> list[str]:
        """The id of every schedule."""
        return sorted(path.name[: -len(_FILE)] for path in self.folder.glob(f"*{_FILE}"))

    def all(self) -> list[Schedule]:
        """Every schedule, oldest first."""
        return sorted(map(self.read, self.names()), key=lambda schedule: schedule.create_time)

    def find(self, name: str) -> Schedule:
        """The schedule of an id, or of a display name that only one has."""
        if name in self.names():
            return self.read(name)
        found = [schedule for schedule in self.all() if schedule.display_name == name]
        if len(found) == 1:
            return found[0]
        several = ", ".join(schedule.name for schedule in found)
        fact = f"{len(found)} schedules are called {name!r}" if found else _unknown(name)
        raise NotFoundError(fact, hint=f"one of {several}" if found else "umlops schedule list")

    def read(self, name: str) -> Schedule:
        """A schedule as it is now.

        Raises:
            NotFoundError: there is none of that id.
            BackendError: its file is damaged.
        """
        path = self.folder / f"{name}{_FILE}"
        try:
            return from_dict(json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise NotFoundError(_unknown(name), hint="umlops schedule list") from error
        except (OSError, ValueError, TypeError) as error:
            fact = f"the schedule {str(path)!r} cannot be read: {error}"
            raise BackendError(fact, hint=f"mend it, or delete it: rm {path}") from error

    def template(self, name: str) -> Path:
        """The file of the pipeline that a schedule runs."""
        return self.folder / f"{name}.pipeline.json"

    def add(self, schedule: Schedule, spec: Mapping[str, Any]) -> None:
        """Keep a new schedule with its compiled pipeline, which is there first."""
        self._make_folder()
        write_whole(self.template(schedule.name), json.dumps(spec))
        self._write(schedule)

    def change(self, name: str, step: Callable[[Schedule], Schedule]) -> Schedule:
        """Change a schedule while nobody else does, and answer how it is then."""
        before = self.read(name)
        if step(before) == before:
            return before
        with self._alone():
            before = self.read(name)
            after = step(before)
            if after != before:
                self._write(after)
        return after

    def delete(self, name: str) -> None:
        """Forget a schedule."""
        self.read(name)
        with self._alone():
            (self.folder / f"{name}{_FILE}").unlink(missing_ok=True)
            self.template(name).unlink(missing_ok=True)

    def _write(self, schedule: Schedule) -> None:
        write_whole(
            self.folder / f"{schedule.name}{_FILE}", json.dumps(as_dict(schedule), indent=1)
        )

    @contextmanager
    def run(self) -> Iterator[None]:
        """Be the one that runs what is due, until the block or the process ends.

        Raises:
            AlreadyExistsError: another process is.
        """
        self._make_folder()
        fact = f"a scheduler runs on {str(self.folder.parent)!r} already"
        taken = AlreadyExistsError(fact, hint="end that one first")
        with _held(self.folder / "scheduler.lock", 0, taken):
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self.folder / "schedules.lock"
        taken = BackendError(f"the file {str(path)!r} is locked", hint="end who holds it")
        with _held(path, PATIENCE, taken):
            yield

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            mend = "give a workspace that can be written"
            raise store_error(f"the folder {str(self.folder)!r}", error, mend=mend) from error


@contextmanager
def _held(path: Path, patience: float, taken: UnifiedMLOpsError) -> Iterator[None]:
    """Hold a lock, or raise an error if another process holds it for so many seconds."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise taken from error
    except OSError as error:
        mend = "give a workspace that can be written"
        raise store_error(f"the file {str(path)!r}", error, mend=mend) from error
    try:
        yield
    finally:
        lock.release()


def _unknown(name: str) -> str:
    return f"there is no schedule {name!r}"
