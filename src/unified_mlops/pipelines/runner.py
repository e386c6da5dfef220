"""Walks a pipeline: every task waits for the tasks before it, and runs when its turn comes.

The runner binds inputs, decides conditions, spreads loops and records states. It knows neither KFP
nor Ray: a component is run by whichever plugin answers `mlops_run_task`. The walk is one thread of
coroutines; components run in a pool of threads. `journal` says what it leaves on disk.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from unified_mlops.pipelines.container import resources
from unified_mlops.pipelines.inputs import (
    Lookup,
    Values,
    iterations,
    receive,
    with_defaults,
    with_inputs,
)
from unified_mlops.pipelines.leaves import Leaves
from unified_mlops.pipelines.outputs import gather, select
from unified_mlops.pipelines.plan import Walked
from unified_mlops.pipelines.room import Room
from unified_mlops.pipelines.spec import Component, Pipeline, Task
from unified_mlops.pipelines.threads import in_thread
from unified_mlops.pipelines.values import fill
from unified_mlops.records import Ref, TaskRecord, TaskState

_GOOD = ("SUCCEEDED", "SKIPPED")
_GLANCE = 0.5  # seconds between looks at what another process wants


@dataclass(frozen=True, slots=True)
class Place:
    """Where a graph stands: the group that it is, its iterations, whether it is retried."""

    group: str = ""
    numbers: tuple[int, ...] = ()
    retried: bool = False


@dataclass
class Runner:
    """One walk of a pipeline.

    Args:
        pipeline: what to run.
        leaves: runs its components.
        inputs: the pipeline's own inputs.
        ref: gives the ref of a task by its name.
        placeholder: gives the value of a placeholder, of the job and of a task by its name.
        changed: told of each task and group that comes to a new state.
        unwanted: whether someone else wants it to be cancelled; looked at now and then.
        offer: how much the machine has of slots, CPUs, memory and GPUs.
        fast: whether a failed task keeps others from starting.
    """

    pipeline: Pipeline
    leaves: Leaves
    inputs: Values
    ref: Callable[[str], Ref]
    placeholder: Callable[[str, str], Any]
    changed: Callable[[TaskRecord], None]
    unwanted: Callable[[], bool]
    offer: Mapping[str, float]
    fast: bool = False
    _records: dict[str, TaskRecord] = field(default_factory=dict)
    _failing: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Future[Walked]:
        """Begin, in a thread of its own."""
        outcome: Future[Walked] = Future()
        context = contextvars.copy_context()  # the active run is a context variable

        def work() -> None:
            try:
                outcome.set_result(context.run(asyncio.run, self._walk()))
            except BaseException as error:  # noqa: BLE001  whoever waits gets it
                outcome.set_exception(error)

        threading.Thread(target=work, name="pipeline").start()
        return outcome

    def cancel(self) -> None:
        """Start nothing more, and stop what runs."""
        self._stopped.set()
        self.leaves.cancel()

    @property
    def tasks(self) -> dict[str, TaskRecord]:
        """The tasks and groups as they are now."""
        return self._records.copy()

    async def _walk(self) -> Walked:
        self._room = Room(self.offer)
        error = ""
        watch = asyncio.create_task(self._watch())
        try:
            job = partial(self.placeholder, "")
            given = with_defaults(self.pipeline.root, self.inputs.parameters, job)
            values = Values(given, self.inputs.artifacts)
            made = await self._graph(self.pipeline.root, values, Place())
        except Exception as wrong:  # noqa: BLE001  a default that cannot be bound
            made, error = Values(), str(wrong)
        watch.cancel()
        return Walked(self._records, made, self._stopped.is_set(), error)

    async def _watch(self) -> None:
        """See whether another process wants the job to be cancelled."""
        while not self._stopped.is_set():
            if self.unwanted():
                threading.Thread(target=self.cancel, daemon=True).start()
            await asyncio.sleep(_GLANCE)

    async def _graph(self, component: Component, inputs: Values, place: Place) -> Values:
        """Run the tasks of a graph, and return what the graph gives out."""
        done: dict[str, asyncio.Task[TaskRecord]] = {}
        for name, task in component.tasks.items():
            done[name] = asyncio.create_task(self._settle(task, done, inputs, place))
        return select(component, {name: await ended for name, ended in done.items()})

    async def _settle(
        self,
        task: Task,
        done: Mapping[str, asyncio.Task[TaskRecord]],
        outer: Values,
        place: Place,
    ) -> TaskRecord:
        """Wait for the tasks before this one, run it if its turn comes, and tell how it ended."""
        before = {name: await done[name] for name in sorted(task.after)}
        record = self._pending(task, place)
        try:
            ended = await self._attempt(task, record, before, outer, place)
        except Exception as error:  # noqa: BLE001  whatever it is, it fails this task only
            ended = self._close(task, record, place, "FAILED", str(error) or type(error).__name__)
        if ended.state == "FAILED" and not place.retried:
            self._failing = True
        return ended

    async def _attempt(
        self,
        task: Task,
        record: TaskRecord,
        before: Mapping[str, TaskRecord],
        outer: Values,
        place: Place,
    ) -> TaskRecord:
        if self._stopped.is_set():
            return self._close(task, record, place, "CANCELLED")
        failed = any(item.state not in _GOOD for item in before.values())
        if not task.always and (failed or (self.fast and self._failing)):
            return self._close(task, record, place, "NOT_TRIGGERED")
        job = partial(self.placeholder, record.name)
        inputs = receive(task, before, outer, job)
        if task.condition and not task.condition.holds(inputs.parameters):
            return self._close(task, record, place, "NOT_TRIGGERED")
        taken = [name for name in inputs.parameters if name in task.component.parameters]
        record = replace(
            record,
            inputs={name: inputs.parameters[name] for name in taken},
            received=inputs.artifacts,
        )
        return await self._tries(task, record, inputs, place, job)

    async def _tries(
        self, task: Task, record: TaskRecord, inputs: Values, place: Place, job: Lookup
    ) -> TaskRecord:
        """Run it, and again where it fails and is to be retried."""
        again = task.retry.times
        inner = replace(place, retried=place.retried or bool(again))
        for tries in range(1, again + 2):
            if task.loop:
                ended = await self._loop(task, record, inputs, inner, job)
            elif task.component.executor is None:
                ended = await self._group(task, record, inputs, inner)
            else:
                ended = await self._leaf(task, record, inputs, job)
            if ended.state != "FAILED" or tries > again or self._stopped.is_set():
                break
            record = replace(ended, state="PENDING", error="", ended=None)
            await self._pause(task.retry.delay(tries))
            self._forget(record.name)
        return ended

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the job is cancelled."""
        end = time.monotonic() + seconds
        while not self._stopped.is_set() and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2))

    async def _loop(
        self, task: Task, record: TaskRecord, inputs: Values, place: Place, job: Lookup
    ) -> TaskRecord:
        """Run a component once for each item."""
        assert task.loop is not None
        each = iterations(task, inputs, job)
        limit = asyncio.Semaphore(task.loop.limit or len(each) or 1)
        self._keep(replace(record, state="RUNNING", started=time.time()))

        async def iteration(number: int, values: Values) -> TaskRecord:
            inner = replace(place, group=record.name, numbers=(*place.numbers, number))
            async with limit:
                one = replace(self._pending(task, inner), within=record.name)
                return await self._group(task, one, values, inner)

        runs: list[Awaitable[TaskRecord]] = [iteration(*item) for item in enumerate(each)]
        ended = await asyncio.gather(*runs)
        return self._sum(record, ended, gather(task.component, ended))

    async def _group(
        self, task: Task, record: TaskRecord, inputs: Values, place: Place
    ) -> TaskRecord:
        """Run the graph of a condition, a nested pipeline or an iteration."""
        self._keep(replace(record, state="RUNNING", started=time.time()))
        made = await self._graph(task.component, inputs, replace(place, group=record.name))
        inner = [self._records[self._name(item, place)] for item in task.component.tasks.values()]
        return self._sum(record, inner, made)

    async def _leaf(
        self, task: Task, record: TaskRecord, inputs: Values, job: Lookup
    ) -> TaskRecord:
        """Run a component when there is room for it."""
        raw = (task.component.executor or {}).get("container", {}).get("resources", {})
        wanted = resources(fill(raw, with_inputs(inputs.parameters, job)))
        async with self._room.taken(wanted):
            if self._stopped.is_set():
                return self._keep(replace(record, state="CANCELLED"))
            begun = self._keep(replace(record, state="RUNNING", started=time.time()))
            try:
                ended = await in_thread(partial(self.leaves.run, task, begun, inputs, job))
            except Exception as error:  # noqa: BLE001  it fails this task only
                said = str(error) or type(error).__name__
                tries = begun.tries + 1
                ended = replace(begun, state="FAILED", error=said, tries=tries, ended=time.time())
        return self._keep(ended)

    def _sum(self, record: TaskRecord, inner: Sequence[TaskRecord], made: Values) -> TaskRecord:
        """A group's record from those of what is in it."""
        failed = next((item for item in inner if item.state == "FAILED"), None)
        stopped = any(item.state == "CANCELLED" for item in inner)
        state: TaskState = "FAILED" if failed else "CANCELLED" if stopped else "SUCCEEDED"
        return self._keep(
            replace(
                self._records[record.name],
                state=state,
                parameters=made.parameters,
                artifacts=made.artifacts,
                error=f"task {failed.name!r} in it failed" if failed else "",
                ended=time.time(),
            )
        )

    def _close(
        self, task: Task, record: TaskRecord, place: Place, state: TaskState, error: str = ""
    ) -> TaskRecord:
        """Record a task that ends without a result, and what is in it and never ran."""
        for item in self._inside(task, place):
            if item.name not in self._records:
                self._keep(replace(item, state="NOT_TRIGGERED"))
        return self._keep(replace(record, state=state, error=error))

    def _inside(self, task: Task, place: Place) -> Iterator[TaskRecord]:
        """The tasks below a group; of a loop that never began, there are none."""
        if task.loop:
            return
        inner = replace(place, group=self._name(task, place))
        for item in task.component.tasks.values():
            yield self._pending(item, inner)
            yield from self._inside(item, inner)

    def _forget(self, group: str) -> None:
        """Drop what an earlier try of a group left."""
        gone = {group}
        for name, record in list(self._records.items()):  # groups stand before what is in them
            if record.within in gone:
                gone.add(name)
                del self._records[name]

    def _pending(self, task: Task, place: Place) -> TaskRecord:
        name = self._name(task, place)
        return TaskRecord(ref=self.ref(name), name=name, state="PENDING", within=place.group)

    def _name(self, task: Task, place: Place) -> str:
        return self.pipeline.names[task.path] + "".join(f"[{number}]" for number in place.numbers)

    def _keep(self, record: TaskRecord) -> TaskRecord:
        self._records[record.name] = record
        self.changed(record)
        return record
