"""What earlier tasks of a pipeline made, by what went into them.

<root>/.cache/<pipeline>/<key>.json          a task that succeeded: what it made, what went in
<root>/.cache/<pipeline>/last/<task>.json    what went into the last run of a task

A key is a hash over parts with names: parameters, artifacts, outputs, image, command, arguments,
environment, requirements. A miss is explained by the parts that differ from the last run's.
Of variables and commands only hashes are kept; parameters are kept as they are, as in the
records of a run.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unified_mlops.errors import store_error
from unified_mlops.files import write_whole
from unified_mlops.pipelines.identity import Identity
from unified_mlops.pipelines.parts import Parts, compare, key_of, parts
from unified_mlops.records import Artifacts, TaskRecord

__all__ = ["FILE", "OFF", "Cache", "Entry", "Explanation", "Identity", "key_of", "parts"]

FILE = "cache.json"
"""The file in a task's folder that holds its explanation."""

OFF = "caching is off for this task"
_WRITING = threading.Lock()  # the draft of a file is named by its process alone


@dataclass(frozen=True, slots=True)
class Entry:
    """A task that succeeded, as the cache keeps it.

    Args:
        key: what it is found by.
        task: its name.
        job: the job it ran in.
        ended: when it ended, in seconds.
        parameters: its output parameters.
        artifacts: its output artifacts, as KFP writes them.
        parts: what went into it.
        contents: what stood at the URI of each artifact.
        seen: the local files among them, as `Identity.seen` tells.
    """

    key: str
    task: str
    job: str
    ended: float
    parameters: Mapping[str, Any]
    artifacts: Artifacts
    parts: Parts
    contents: Mapping[str, list[str]]
    seen: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task was or was not taken from the cache.

    Args:
        key: what was looked for; empty where nobody looked.
        hit: whether it was there.
        reason: why, in a few words.
        parts: what went into the task.
        job: the job of the run it was compared with; empty where there was none.
        before: what went into that run.
        entry: what was found; not part of the explanation's file.
    """

    key: str
    hit: bool
    reason: str
    parts: Parts
    job: str = ""
    before: Parts = field(default_factory=dict)
    entry: Entry | None = field(default=None, compare=False, repr=False)

    @classmethod
    def off(cls) -> Explanation:
        """That caching is switched off."""
        return cls("", False, OFF, {})

    @classmethod
    def from_json(cls, text: str) -> Explanation:
        """An explanation that `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> str:
        """The explanation as text, without what was found."""
        told = {name: getattr(self, name) for name in ("key", "hit", "reason", "parts")}
        return json.dumps({**told, "job": self.job, "before": self.before})


class Cache:
    """The cache of one pipeline. Several processes may use it at once: each file is whole.

    Args:
        root: the pipeline root.
        pipeline: the pipeline's name.
        max_age: seconds after which a task's outputs are made anew; None: never.
        identity: tells what artifacts are; the one that `parts` was given saves reading twice.
    """

    def __init__(
        self,
        root: Path,
        pipeline: str,
        max_age: float | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.folder = root / ".cache" / re.sub(r"[^\w.-]+", "-", pipeline).lstrip(".")
        self._max_age = max_age
        self._identity = identity or Identity()

    def look(self, task: str, parts: Parts) -> Explanation:
        """Look for a task with these parts, and say why it is or is not there.

        Args:
            task: its name in the job.
            parts: what goes into it.
        """
        key = key_of(parts, task)
        entry, reason = self._seek(key)
        if entry:
            told = f"same as in job {entry.job!r}"
            return Explanation(key, True, told, parts, entry.job, entry.parts, entry)
        last = _read(self._last(task)) or {}
        job, before = str(last.get("job", "")), last.get("parts") or {}
        return Explanation(key, False, reason or compare(parts, before), parts, job, before)

    def find(self, key: str) -> Entry | None:
        """What is kept under a key, as long as it is young enough and its outputs are there."""
        return self._seek(key)[0]

    def explain(self, task: str, parts: Parts) -> str:
        """Why a task with these parts is or is not in the cache."""
        return self.look(task, parts).reason

    def keep(self, key: str, parts: Parts, record: TaskRecord, job: str) -> None:
        """Keep what a task made, in the place of what was there.

        Args:
            key: as `look` told.
            parts: what went into it.
            record: the finished task. One that was SKIPPED is noted as the task's last run, one
                that did not succeed is not kept.
            job: the job it ran in.

        Raises:
            BackendError: the cache cannot be written.
        """
        if record.state == "SUCCEEDED":
            self._write(self.folder / f"{key}.json", asdict(self._entry(key, parts, record, job)))
        if record.state in ("SUCCEEDED", "SKIPPED"):
            self._write(self._last(record.name), {"job": job, "parts": parts})

    def _entry(self, key: str, parts: Parts, record: TaskRecord, job: str) -> Entry:
        return Entry(
            key,
            record.name,
            job,
            record.ended or time.time(),
            record.parameters,
            record.artifacts,
            parts,
            self._contents(record.artifacts),
            {k: v for uri in _uris(record.artifacts) for k, v in self._identity.seen(uri).items()},
        )

    def _seek(self, key: str) -> tuple[Entry | None, str]:
        """What can be used of what is kept, or why it cannot; neither where nothing is kept."""
        found = _read(self.folder / f"{key}.json")
        if found is None:
            return None, ""
        try:
            entry = Entry(**found)
        except TypeError:
            return None, "what was kept cannot be read"
        if self._max_age is not None and time.time() - entry.ended > self._max_age:
            return None, f"older than {self._max_age:g} s"
        self._identity.learn(entry.seen)
        there = self._contents(entry.artifacts)
        for name, contents in entry.contents.items():
            if there[name] != contents:
                gone = "" in there[name] and "" not in contents
                what = "is no longer there" if gone else "has changed since"
                return None, f"output {name!r} of job {entry.job!r} {what}"
        return entry, ""

    def _contents(self, artifacts: Artifacts) -> dict[str, list[str]]:
        """What stands at each artifact's URI."""
        return {
            name: [self._identity.content(str(item.get("uri", ""))) for item in items]
            for name, items in artifacts.items()
        }

    def _last(self, task: str) -> Path:
        return self.folder / "last" / f"{task}.json"

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            mend = "give a pipeline root that can be written"
            raise store_error(f"the cache {str(self.folder)!r}", error, mend=mend) from error
        with _WRITING:
            write_whole(path, json.dumps(value))


def _read(path: Path) -> dict[str, Any] | None:
    """A file of the cache: None where there is none, and nothing in it where it is damaged."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _uris(artifacts: Artifacts) -> Iterator[str]:
    for items in artifacts.values():
        yield from (str(item.get("uri", "")) for item in items)
