"""Running one component: from an earlier run, from the cache, by an importer, or by a plugin."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import UnsupportedError
from unified_mlops.hookspecs import TaskHooks
from unified_mlops.pipelines import component as lightweight
from unified_mlops.pipelines.cache import FILE, Cache, Entry, Explanation, parts
from unified_mlops.pipelines.container import executor_input, located, resolve, resources
from unified_mlops.pipelines.identity import Identity
from unified_mlops.pipelines.inputs import Lookup, Values, with_inputs
from unified_mlops.pipelines.journal import Journal
from unified_mlops.pipelines.outputs import returned
from unified_mlops.pipelines.spec import Secret, Task
from unified_mlops.pipelines.values import fill, whole
from unified_mlops.records import TaskRecord, TaskRequest

if TYPE_CHECKING:
    from unified_mlops.session import Session

_LOG = 20_000
"""Characters of a log that a record keeps in memory, from its end; the file has them all."""


class JobCache:
    """The cache as one job uses it.

    Args:
        journal: the job's; the cache lies beside its folder.
        pipeline: the pipeline's name.
        caching: whether it is used; None as each task says.
        max_age: how old its entries may be, in seconds.
    """

    def __init__(
        self, journal: Journal, pipeline: str, caching: bool | None, max_age: float | None
    ) -> None:
        self._identity = Identity()
        self._pipeline, self._caching, self._job = pipeline, caching, journal.folder.name
        self._cache = Cache(journal.folder.parents[1], pipeline, max_age, self._identity)

    def look(self, task: Task, name: str, inputs: Values) -> Explanation:
        """Whether it has what a task would make, and why not."""
        if not (task.cached if self._caching is None else self._caching):
            return Explanation.off()
        executor = task.component.executor or {}
        found = parts(
            self._pipeline, task.component, inputs, executor, self._identity, task.cache_key
        )
        seen = self._cache.look(name, found)
        if seen.hit and seen.job == self._job:  # iterations that are alike are all run
            return replace(seen, hit=False, entry=None, reason="first made by this job")
        return seen

    def keep(self, seen: Explanation, made: TaskRecord) -> None:
        """Keep what a task made."""
        self._cache.keep(seen.key, seen.parts, made, self._job)


@dataclass(frozen=True)
class Leaves:
    """Runs components one at a time in whichever thread calls.

    Args:
        session: asked to run each task.
        journal: where files go.
        place: the URI below which artifacts go.
        before: tasks that an earlier run finished, by name.
        environment: says which variables to add to a task's environment.
        secret: gives the value of a secret.
        cache: what earlier runs made.
    """

    session: Session
    journal: Journal
    place: str
    before: Mapping[str, TaskRecord]
    environment: Callable[[TaskRecord], Mapping[str, str]]
    secret: Callable[[Secret], str]
    cache: JobCache
    _running: dict[str, TaskRequest] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, task: Task, record: TaskRecord, inputs: Values, job: Lookup) -> TaskRecord:
        """Run a component and wait for it.

        Args:
            task: what to run.
            record: the task as it is now, with what it receives.
            inputs: what it receives, with what only placeholders need.
            job: gives the value of a placeholder for the job or the task.
        """
        done = self._done(record)
        if done and done.ref == record.ref:
            return done
        folder = self.journal.folder_of(record.name)
        place = f"{self.place}/{folder.name}"
        given = executor_input(task.component, inputs, str(folder), place)
        (folder / "executor_input.json").write_text(json.dumps(given))
        if task.component.importer:
            made = self._imported(task.component.importer, record, inputs, job, given)
        elif done:
            made = self._known(replace(record, state="SKIPPED"), done, given)
        else:
            made = self._cached(task, record, inputs, job, given)
        finished = replace(made, folder=str(folder), ended=time.time())
        self.journal.keep(finished)
        return finished

    def cancel(self) -> None:
        """Start nothing more, and stop what runs; returns when nothing does."""
        self._stopped.set()
        while running := list(self._running.values()):
            for request in running:
                try:
                    self.session.ask(TaskHooks.mlops_cancel_task, task=request)
                except UnsupportedError:  # then it runs to its end
                    return
            time.sleep(0.05)  # one that has not begun yet cannot be stopped yet

    def _done(self, record: TaskRecord) -> TaskRecord | None:
        """What an earlier run made of the same inputs."""
        done = self.before.get(record.name)
        if not done or done.state not in ("SUCCEEDED", "SKIPPED"):
            return None
        same = (done.inputs, done.received) == (record.inputs, record.received)
        return done if same else None

    def _cached(
        self,
        task: Task,
        record: TaskRecord,
        inputs: Values,
        job: Lookup,
        given: Mapping[str, Any],
    ) -> TaskRecord:
        """What the cache has, or else what the plugin answers, which is then kept."""
        seen = self.cache.look(task, record.name, inputs)
        record = replace(record, cache=seen.reason)
        folder = Path(given["outputs"]["outputFile"]).parent
        (folder / FILE).write_text(seen.to_json())
        if seen.entry:
            made = self._known(replace(record, state="SKIPPED"), seen.entry, given)
        else:
            made = self._asked(task, record, inputs, job, given)
        if seen.key:
            self.cache.keep(seen, made)
        return made

    def _asked(
        self,
        task: Task,
        record: TaskRecord,
        inputs: Values,
        job: Lookup,
        given: Mapping[str, Any],
    ) -> TaskRecord:
        """What the plugin answers."""
        executor = resolve(task.component.executor or {}, given, inputs.parameters, job)
        container = executor["container"]
        own = {item["name"]: item["value"] for item in container.get("env", ())}
        secrets = {item.variable: self.secret(item) for item in task.component.secrets}
        request = TaskRequest(
            ref=record.ref,
            name=record.name,
            executor=executor,
            executor_input=given,
            folder=str(Path(given["outputs"]["outputFile"]).parent),
            environment={**self.environment(record), **secrets, **own},
            resources=resources(container["resources"]),
        )
        self._running[record.name] = request
        try:
            if self._stopped.is_set():
                return replace(record, state="CANCELLED")
            made = self.session.ask(TaskHooks.mlops_run_task, task=request)
        finally:
            del self._running[record.name]
        return replace(
            record,
            state=made.state,
            parameters=returned(made.parameters, task.component),
            artifacts=made.artifacts,
            edges=made.edges,
            error=made.error,
            log=made.log[-_LOG:],
            tries=record.tries + 1,
        )

    def _imported(
        self,
        importer: Mapping[str, Any],
        record: TaskRecord,
        inputs: Values,
        job: Lookup,
        given: Mapping[str, Any],
    ) -> TaskRecord:
        """The artifact that an importer names."""
        lookup = with_inputs(inputs.parameters, job)
        uri = inputs.parameters.get("uri", importer["artifactUri"].get("constant"))
        artifact = {
            "name": "artifact",
            "type": importer["typeSchema"],
            "uri": located(fill(uri, lookup)),
            "metadata": whole(fill(importer.get("metadata", {}), lookup)),
        }
        brought = {name: [artifact] for name in given["outputs"]["artifacts"]}
        made = replace(record, state="SUCCEEDED", artifacts=brought)
        return self._known(made, made, given)

    def _known(
        self, record: TaskRecord, made: TaskRecord | Entry, given: Mapping[str, Any]
    ) -> TaskRecord:
        """A task whose outputs are known without running it, written down as one that ran."""
        listed = {name: {"artifacts": list(items)} for name, items in made.artifacts.items()}
        written = {"parameterValues": made.parameters, "artifacts": listed}
        Path(given["outputs"]["outputFile"]).write_text(json.dumps(written))
        edges = lightweight.edges(record.ref.uri, given, made.artifacts)
        known = replace(record, parameters=made.parameters, artifacts=made.artifacts, edges=edges)
        self.session.note(TaskHooks.mlops_run_task, known)
        return known
