"""What a run leaves on disk, so that it can be looked at, gone on with and run again.

<root>/<pipeline>/<job>/job.json                the job: what it is, its states
<root>/<pipeline>/<job>/pipeline.json           its compiled definition
<root>/<pipeline>/<job>/job.lock                held by the process that runs it
<root>/<pipeline>/<job>/cancel                  another process wants it to stop
<root>/<pipeline>/<job>/<task>/task.json        a finished task
<root>/<pipeline>/<job>/<task>.try2/            a second try's files
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unified_mlops.errors import AlreadyExistsError, BackendError, NotFoundError
from unified_mlops.files import new_folder, write_whole
from unified_mlops.records import Ref, TaskRecord

RUNNING = "PIPELINE_STATE_RUNNING"
_JOB, _SPEC, _LOCK, _TASK = "job.json", "pipeline.json", "job.lock", "task.json"
_CANCEL = "cancel"
_KEYS = {"jobId", "displayName", "pipeline", "state", "parameters", "artifacts", "labels", "root"}
_KEYS |= {"runner", "experiment", "options", "scheduleTime", "createTime"}
_GLANCE = 0.05  # seconds that a lock may be held by who only looks whether it is
_PLAIN = tuple(field.name for field in fields(TaskRecord) if field.name not in ("ref", "edges"))


class Journal:
    """The files of one job.

    Args:
        folder: the job's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = _lock(folder, thread_local=False)
        self._making = threading.Lock()

    @classmethod
    def of(cls, root: Path, pipeline: str, job_id: str) -> Journal:
        """The journal of a job below a pipeline root."""
        return cls(root.absolute() / re.sub(r"[^\w.-]+", "-", pipeline).lstrip(".") / job_id)

    def create(self, job: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Make the folder of a new job, and hold its lock.

        A folder that holds no job was left by a process that was killed here, and is used.

        Raises:
            AlreadyExistsError: there is a job of this id.
            BackendError: the folder cannot be made.
        """
        fact = f"there is a job {self.folder.name!r} already"
        taken = AlreadyExistsError(fact, hint="give the new job another id")
        missing = [place for place in self.folder.parents if not place.exists()]
        try:
            with suppress(FileExistsError), new_folder(self.folder):
                pass
            self._lock.acquire()
        except Timeout as error:
            raise taken from error
        try:
            if (self.folder / _JOB).exists():
                raise taken
            self._fill(job, spec)
        except BaseException:
            self.close()
            with suppress(OSError):
                for place in missing:
                    place.rmdir()
            raise

    def _fill(self, job: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Write a new job's files, or leave none."""
        try:
            write_whole(self.folder / _SPEC, json.dumps(spec))
            self.write(job)
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def reopen(self) -> None:
        """Hold the lock of a job that is to go on.

        Raises:
            BackendError: another process runs it.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            fact = f"job {self.folder.name!r} is running in another process"
            raise BackendError(fact, hint="job.wait()") from error
        (self.folder / _CANCEL).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.release()

    @property
    def alive(self) -> bool:
        """Whether a process runs the job now."""
        if self._lock.is_locked:
            return True
        other = _lock(self.folder)
        try:
            with other:
                return False
        except Timeout:
            return True

    def cancel(self) -> None:
        """Ask the process that runs the job to stop it."""
        (self.folder / _CANCEL).touch()

    def unwanted(self) -> bool:
        """Whether another process asked for the job to be stopped."""
        return (self.folder / _CANCEL).exists()

    def write(self, job: Mapping[str, Any]) -> None:
        """Keep what the job is and how it went, whole or not at all."""
        write_whole(self.folder / _JOB, json.dumps(job))

    def read(self) -> dict[str, Any]:
        """The job as it was last written.

        Raises:
            NotFoundError: there is none.
            BackendError: what is there is damaged.
        """
        return self._object(_JOB, _KEYS)

    def spec(self) -> dict[str, Any]:
        """The compiled definition.

        Raises:
            NotFoundError: there is none.
            BackendError: what is there is damaged.
        """
        return self._object(_SPEC, {"root"})

    def _object(self, name: str, keys: set[str]) -> dict[str, Any]:
        file = self.folder / name
        try:
            told = json.loads(file.read_bytes())
        except OSError as error:
            fact = f"there is no job in {str(self.folder)!r}"
            raise NotFoundError(fact, hint="umlops pipeline list") from error
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict) and keys <= told.keys():
            return told
        raise BackendError(
            f"{str(file)!r} is damaged", hint=f"remove {str(self.folder)!r}, and run the job again"
        )

    def folder_of(self, name: str) -> Path:
        """A new folder for a task's next try."""
        with self._making:
            path, tries = self.folder / name, 1
            while path.exists():
                tries += 1
                path = self.folder / f"{name}.try{tries}"
            path.mkdir()
            return path

    def keep(self, record: TaskRecord) -> None:
        """Keep a finished task."""
        folder = self.folder / record.name
        folder.mkdir(exist_ok=True)
        told = {name: getattr(record, name) for name in _PLAIN}
        write_whole(folder / _TASK, json.dumps({**told, "ref": asdict(record.ref)}))

    def tasks(self) -> Iterator[TaskRecord]:
        """The finished tasks; one whose file is damaged counts as not finished."""
        for file in sorted(self.folder.glob(f"*/{_TASK}")):
            try:
                told = json.loads(file.read_bytes())
                known = {name: told[name] for name in _PLAIN if name in told}
                yield TaskRecord(ref=Ref(**told["ref"]), **known)
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue

    def delete(self) -> None:
        """Remove the job with all its files."""
        shutil.rmtree(self.folder)


def home(root: str, workspace: Path) -> tuple[Path, str]:
    """Where the journals of a pipeline root are, and where its artifacts go.

    Args:
        root: a folder or the URI of a store; empty for a folder in the workspace.
        workspace: where the journals are if the root is no folder.
    """
    own = workspace / "pipelines"
    scheme, separator, rest = root.partition("://")
    if separator and scheme != "file":
        return own, root.rstrip("/")
    folder = Path("/", rest.lstrip("/")) if separator else Path(root or own)
    folder = folder.expanduser().absolute()
    return folder, str(folder)


def journals(root: Path) -> Iterator[Journal]:
    """The journals below a pipeline root; a damaged one is named in a warning."""
    for file in sorted(root.glob(f"[!.]*/*/{_JOB}")):
        journal = Journal(file.parent)
        try:
            journal.read()
            journal.spec()
        except (BackendError, NotFoundError) as error:
            warnings.warn(f"a job is left out: {error}", stacklevel=2)
        else:
            yield journal


def find(root: Path, job_id: str) -> Journal:
    """The journal of a job.

    Raises:
        NotFoundError: there is no such job.
    """
    for file in root.glob(f"[!.]*/*/{_JOB}"):
        if file.parent.name == job_id:
            return Journal(file.parent)
    raise NotFoundError(
        f"there is no job {job_id!r} below {str(root)!r}", hint="PipelineJob.list()"
    )


def _lock(folder: Path, *, thread_local: bool = True) -> FileLock:
    return FileLock(
        folder / _LOCK, timeout=_GLANCE, poll_interval=_GLANCE / 5, thread_local=thread_local
    )
