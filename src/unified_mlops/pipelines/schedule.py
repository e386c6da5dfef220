"""When the runs of a schedule are due and which of them are run: no clock, no file, no job.

A due time is decided once: skipped, or put into the queue. From there it is moved to the running
ones, where it stays until its job has ended. Who keeps the schedule after each step and makes sure
that every running due time has its job, whose id follows from it, loses and doubles no run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any, Literal

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines.cron import Cron

ScheduleState = Literal["ACTIVE", "PAUSED", "COMPLETED"]

LATE = timedelta(minutes=1)
"""A due time that is first seen so late was missed: nobody looked when it was due."""

LONGEST = 1000
"""So many due times wait in a queue at most; later ones are not decided before there is room."""

JOB_NAME = "{display_name}-{time:%Y%m%dT%H%M%S}"
"""What the runs of a schedule are called unless it says otherwise."""

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule and how far it is.

    Args:
        name: its id.
        display_name: what people call it.
        cron: when runs are due, as `Cron` reads it.
        start_time: no run is due before.
        end_time: no run is due after.
        max_run_count: so many runs are started, then it is complete.
        max_concurrent_run_count: so many of its runs are not finished at once.
        allow_queueing: whether what is due while there is no room waits; else it is skipped.
        catch_up: whether every run that was missed is run; else the last of them at most.
        job: what the job of each run is made from.
        create_time: when it was made.
        update_time: when someone last changed it.
        state: whether it goes on.
        last_pause_time: when it was last paused.
        last_resume_time: when it was last resumed.
        seen: every due time up to here is decided.
        queue: the due times that are to be run when there is room.
        running: the due times whose jobs are not known to have ended.
        started_run_count: how many runs were started.
        skipped_run_count: how many due times were skipped because there was no room.
        last_run: the due time, job id and error of the run that was last started.
    """

    name: str
    display_name: str
    cron: str
    start_time: datetime
    end_time: datetime | None = None
    max_run_count: int | None = None
    max_concurrent_run_count: int = 1
    allow_queueing: bool = False
    catch_up: bool = False
    job: Mapping[str, Any] = field(default_factory=dict)
    create_time: datetime
    update_time: datetime
    state: ScheduleState = "ACTIVE"
    last_pause_time: datetime | None = None
    last_resume_time: datetime | None = None
    seen: datetime
    queue: tuple[datetime, ...] = ()
    running: tuple[datetime, ...] = ()
    started_run_count: int = 0
    skipped_run_count: int = 0
    last_run: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("max_run_count", "max_concurrent_run_count"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ArgumentError(f"{name} is {value!r}", hint=f"{name}=1, or more")
        if self.end_time and self.end_time <= self.start_time:
            fact = f"end_time {self.end_time.isoformat()} is not after start_time"
            raise ArgumentError(fact, hint=f"give one after {self.start_time.isoformat()}")

    @classmethod
    def new(
        cls, name: str, *, now: datetime, start_time: datetime | None, **given: Any
    ) -> Schedule:
        """A new schedule; what was due before now counts as missed.

        Args:
            name: its id.
            now: the time.
            start_time: no run is due before; now if left out.
            given: its other settings.

        Raises:
            ArgumentError: a setting cannot be used.
        """
        start = start_time or now
        seen = start if given.get("catch_up") else max(start, now)
        Cron(given["cron"]).check()
        new = cls(
            name=name,
            start_time=start,
            create_time=now,
            update_time=now,
            seen=seen - _INSTANT,
            **given,
        )
        new.job_name(now)
        return new

    @property
    def next_run_time(self) -> datetime | None:
        """When the next run is due, in UTC; in the past where it waits. None if there is none."""
        if self.state != "ACTIVE":
            return None
        due = self.queue[0] if self.queue else next(Cron(self.cron).after(self.seen))
        return None if self.end_time and due > self.end_time else due

    def job_id(self, due: datetime) -> str:
        """The id of the job of a due time."""
        return f"{self.name}-{due.astimezone(timezone.utc):%Y%m%dt%H%M%S}"

    def job_name(self, due: datetime) -> str:
        """What the job of a due time is called; the time is of the schedule's time zone.

        Raises:
            ArgumentError: the template cannot be filled in.
        """
        template = self.job.get("name_template", JOB_NAME)
        values = {"display_name": self.display_name, "pipeline": self.job.get("pipeline", "")}
        try:
            named: str = template.format(**values, time=due.astimezone(Cron(self.cron).zone))
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            hint = "use {display_name}, {pipeline} and {time} or {time:%Y-%m-%d}"
            raise ArgumentError(
                f"job_name_template {template!r} is wrong: {error}", hint=hint
            ) from error
        return named

    def look(self, now: datetime) -> Schedule:
        """Decide what has become due, and start what there is room for."""
        if self.state != "ACTIVE":
            return self
        return self._decided(now)._started()._completed(now)

    def ended(self, due: datetime, error: str = "") -> Schedule:
        """The job of a due time is over, or cannot be made; then the error says why."""
        last = self.last_run
        if error and last.get("job_id") == self.job_id(due):
            last = {**last, "error": error}
        running = tuple(item for item in self.running if item != due)
        return replace(self, running=running, last_run=last)

    def paused(self, now: datetime) -> Schedule:
        """Start nothing from here on; what runs goes on.

        Raises:
            ArgumentError: it is completed.
        """
        self._check_open()
        if self.state == "PAUSED":
            return self
        return replace(self, state="PAUSED", last_pause_time=now, update_time=now)

    def resumed(self, now: datetime, *, catch_up: bool) -> Schedule:
        """Go on, with what was missed or without.

        Raises:
            ArgumentError: it is not paused.
        """
        self._check_open()
        if self.state != "PAUSED":
            fact = f"schedule {self.name!r} is not paused"
            raise ArgumentError(fact, hint=f"umlops schedule pause {self.name}")
        new = replace(
            self, state="ACTIVE", catch_up=catch_up, last_resume_time=now, update_time=now
        )
        return new if catch_up else replace(new, queue=(), seen=max(self.seen, now))

    def updated(self, now: datetime, **given: Any) -> Schedule:
        """Change settings; another `cron` or `start_time` counts from now on."""
        self._check_open()
        Cron(given.get("cron", self.cron)).check()
        new = replace(self, **given, update_time=now)
        if "cron" in given or "start_time" in given:
            new = replace(new, seen=max(new.start_time - _INSTANT, now))
        new.job_name(now)
        return new

    def _check_open(self) -> None:
        if self.state == "COMPLETED":
            fact = f"schedule {self.name!r} is completed"
            raise ArgumentError(fact, hint="create another with PipelineJob.create_schedule(…)")

    def _decided(self, now: datetime) -> Schedule:
        queue, seen, skipped = list(self.queue), self.seen, self.skipped_run_count
        since = self.last_resume_time or self.create_time
        for due in self._due(now):
            if self.max_run_count and self.started_run_count + len(queue) >= self.max_run_count:
                break
            missed = self.catch_up and (due <= since or now - due > LATE)
            room = len(self.running) + len(queue) < self.max_concurrent_run_count
            if missed or room or self.allow_queueing:
                queue.append(due)
            else:
                skipped += 1
            seen = due
        return replace(self, queue=tuple(queue), seen=seen, skipped_run_count=skipped)

    def _due(self, now: datetime) -> Iterator[datetime]:
        """The due times that are to be decided: of several the last, unless all are caught up."""
        until = min(now, self.end_time or now)
        room = max(0, LONGEST - len(self.queue))
        if self.catch_up:
            yield from islice(Cron(self.cron).between(self.seen, until), room)
        elif room and (last := Cron(self.cron).latest(self.seen, until)):
            yield last

    def _started(self) -> Schedule:
        room = max(0, self.max_concurrent_run_count - len(self.running))
        new, queue = self.queue[:room], self.queue[room:]
        if not new:
            return self
        last = {"due": new[-1].isoformat(), "job_id": self.job_id(new[-1]), "error": ""}
        count = self.started_run_count + len(new)
        running = (*self.running, *new)
        return replace(self, queue=queue, running=running, started_run_count=count, last_run=last)

    def _completed(self, now: datetime) -> Schedule:
        enough = self.max_run_count and self.started_run_count >= self.max_run_count
        over = self.end_time and now > self.end_time and not any(self._due(now))
        return replace(self, state="COMPLETED") if not self.queue and (enough or over) else self


_TIMES = {item.name for item in fields(Schedule) if "datetime" in str(item.type)}


def as_dict(schedule: Schedule) -> dict[str, Any]:
    """A schedule as JSON takes it."""
    found = {item.name: getattr(schedule, item.name) for item in fields(schedule)}
    for name in _TIMES:
        value = found[name]
        texts = [each.isoformat() for each in value] if isinstance(value, tuple) else None
        found[name] = texts if texts is not None else value and value.isoformat()
    return found


def from_dict(stored: Mapping[str, Any]) -> Schedule:
    """The schedule that `as_dict` wrote."""
    found = dict(stored)
    for name in _TIMES & set(found):
        value = found[name]
        times = tuple(map(datetime.fromisoformat, value)) if isinstance(value, list) else None
        found[name] = times if times is not None else value and datetime.fromisoformat(value)
    return Schedule(**found)
