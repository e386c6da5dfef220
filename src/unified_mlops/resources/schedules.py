"""Schedules: pipeline jobs that are run again and again, by `umlops scheduler`."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError
from unified_mlops.filters import parse, parse_order
from unified_mlops.pipelines.cron import moment
from unified_mlops.pipelines.schedule import JOB_NAME, Schedule, ScheduleState
from unified_mlops.pipelines.timetable import Timetable
from unified_mlops.resources.job_view import JobView
from unified_mlops.session import Session

_FIELDS = {
    **dict.fromkeys(["name", "display_name", "cron", "state"], str),
    **dict.fromkeys(["create_time", "update_time", "start_time", "end_time"], datetime),
    **dict.fromkeys(["started_run_count", "max_run_count", "max_concurrent_run_count"], float),
    **dict.fromkeys(["allow_queueing", "catch_up"], bool),
}


class PipelineJobSchedule:
    """A pipeline that is run by the clock.

    Args:
        pipeline_job: what is run; itself it need not be run.
        display_name: what the schedule is called.
        session: the session; the job's if left out.

    Raises:
        ArgumentError: the name is empty.
    """

    def __init__(
        self, pipeline_job: JobView, display_name: str, *, session: Session | None = None
    ) -> None:
        if not display_name:
            raise ArgumentError("a schedule needs a name", hint="display_name='nightly'")
        self.session = session or pipeline_job.session
        self.display_name = display_name
        self.name = _id(display_name)
        self._pipeline_job: JobView | None = pipeline_job

    def create(
        self,
        cron: str,
        *,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        allow_queueing: bool = False,
        max_run_count: int | None = None,
        max_concurrent_run_count: int = 1,
        catch_up: bool = False,
        experiment: str | None = None,
        job_name_template: str = JOB_NAME,
    ) -> None:
        """Begin: `umlops scheduler` runs what is due from now on.

        Args:
            cron: when, such as `0 6 * * *` in UTC, or `TZ=Europe/Berlin 0 6 * * *`.
            start_time: no run is due before; now if left out. ISO 8601 with a time zone.
            end_time: no run is due after. ISO 8601 with a time zone.
            allow_queueing: let what is due while there is no room wait instead of skipping it.
            max_run_count: so many runs, then the schedule is completed.
            max_concurrent_run_count: so many of its runs are not finished at once.
            catch_up: run everything that was due since a start in the past, and later all that is
                missed while no scheduler runs; otherwise of what was missed only the last is run.
            experiment: the experiment of the runs; the session's if left out.
            job_name_template: what each job is called; may name `{display_name}`, `{pipeline}`
                and `{time}`, when it was due, also as in `{time:%Y-%m-%d}`.

        Raises:
            ArgumentError: a setting cannot be used, or the schedule is there. Nothing was written.
        """
        if self._pipeline_job is None:
            fact = f"schedule {self.name!r} is there already"
            raise ArgumentError(fact, hint="change it with update(…)")
        job = _job(self._pipeline_job, experiment, job_name_template)
        schedule = Schedule.new(
            self.name,
            now=_now(),
            display_name=self.display_name,
            cron=cron,
            start_time=moment(start_time, "start_time"),
            end_time=moment(end_time, "end_time"),
            allow_queueing=allow_queueing,
            max_run_count=max_run_count,
            max_concurrent_run_count=max_concurrent_run_count,
            catch_up=catch_up,
            job=job,
        )
        self._timetable.add(schedule, self._pipeline_job.pipeline.spec)
        self._pipeline_job = None

    @classmethod
    def get(cls, name: str, *, session: Session | None = None) -> PipelineJobSchedule:
        """The schedule of an id, or of a display name that only one has.

        Raises:
            NotFoundError: there is none, or several have the display name.
        """
        session = session or current_session()
        return cls._of(Timetable(session.config.workspace).find(name), session)

    @classmethod
    def list(
        cls,
        filter: str | None = None,  # noqa: A002  Vertex's name
        order_by: str | None = None,
        *,
        session: Session | None = None,
    ) -> builtins.list[PipelineJobSchedule]:
        """The schedules of the workspace, oldest first.

        Args:
            filter: such as `display_name="nightly*" AND state=ACTIVE`; all if left out.
            order_by: such as `create_time desc`.
            session: the session; the current one if left out.

        Raises:
            ArgumentError: the filter or the order cannot be read.
        """
        session = session or current_session()
        passes, order = parse(filter or "", _FIELDS), parse_order(order_by or "", _FIELDS)
        found = [
            item for item in Timetable(session.config.workspace).all() if passes.matches(vars(item))
        ]
        return [cls._of(item, session) for item in order.sort(found, vars)]

    @classmethod
    def _of(cls, schedule: Schedule, session: Session) -> PipelineJobSchedule:
        found = object.__new__(cls)
        found.session, found._pipeline_job = session, None
        found.name, found.display_name = schedule.name, schedule.display_name
        return found

    def pause(self) -> None:
        """Start no more runs; those that run go on."""
        self._change(lambda schedule: schedule.paused(_now()))

    def resume(self, catch_up: bool = True) -> None:
        """Go on after a pause.

        Args:
            catch_up: run everything that was missed, in order and as there is room, now and
                whenever no scheduler runs; otherwise what was missed is skipped.

        Raises:
            ArgumentError: it is not paused.
        """
        self._change(lambda schedule: schedule.resumed(_now(), catch_up=catch_up))

    def update(
        self,
        *,
        display_name: str | None = None,
        cron: str | None = None,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        allow_queueing: bool | None = None,
        max_run_count: int | None = None,
        max_concurrent_run_count: int | None = None,
    ) -> None:
        """Change settings, as `create` takes them; what is left out stays.

        Raises:
            ArgumentError: a setting cannot be used, or the schedule is completed.
        """
        given = {
            "display_name": display_name,
            "cron": cron,
            "start_time": moment(start_time, "start_time"),
            "end_time": moment(end_time, "end_time"),
            "allow_queueing": allow_queueing,
            "max_run_count": max_run_count,
            "max_concurrent_run_count": max_concurrent_run_count,
        }
        changed = {key: value for key, value in given.items() if value is not None}
        self._change(lambda schedule: schedule.updated(_now(), **changed))
        self.display_name = display_name or self.display_name

    def delete(self) -> None:
        """Forget the schedule; the jobs that it has started stay, and those that run go on."""
        self._timetable.delete(self.name)

    def list_jobs(self) -> builtins.list[JobView]:
        """The jobs that it has started, oldest first."""
        mine = f'job_id = "{self.name}-*"'
        found = JobView.list(mine, "job_id", session=self.session, **where(self.record))
        stamp = re.compile(rf"{re.escape(self.name)}-\d{{8}}t\d{{6}}")
        return [job for job in found if stamp.fullmatch(job.job_id)]

    @property
    def state(self) -> ScheduleState:
        """`ACTIVE`, `PAUSED` or `COMPLETED`."""
        return self.record.state

    @property
    def next_run_time(self) -> datetime | None:
        """When the next run is due, in UTC; in the past where it waits. None if there is none."""
        return self.record.next_run_time

    @property
    def started_run_count(self) -> int:
        """How many runs were started."""
        return self.record.started_run_count

    @property
    def last_scheduled_run_response(self) -> Mapping[str, str]:
        """`due`, `job_id` and `error` of the run that was last started; empty before the first."""
        return self.record.last_run

    @property
    def record(self) -> Schedule:
        """All its settings and how far it is, as they are now.

        Raises:
            NotFoundError: it has not been created, or is deleted.
        """
        return self._timetable.read(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def _timetable(self) -> Timetable:
        return Timetable(self.session.config.workspace)

    def _change(self, step: Callable[[Schedule], Schedule]) -> None:
        self._timetable.change(self.name, step)


def _job(job: JobView, experiment: str | None, template: str) -> dict[str, Any]:
    """What every run's job is made from, as the schedule keeps it."""
    found = {
        "pipeline": job.pipeline.name,
        "name_template": template,
        "experiment": experiment or job.session.config.experiment,
        "options": _options(job),
    }
    try:
        kept: dict[str, Any] = json.loads(json.dumps(found))
    except (TypeError, ValueError) as error:
        fact = f"the parameters of this job cannot be kept: {error}"
        raise ArgumentError(fact, hint="give plain values") from error
    return kept


def _options(job: JobView) -> dict[str, Any]:
    """The arguments by which another job like this one is made."""
    plan = job._run.plan
    folder = plan.root and "://" not in plan.root
    return {
        "parameter_values": plan.parameters,
        "input_artifacts": plan.artifacts,
        "pipeline_root": str(Path(plan.root).absolute()) if folder else plan.root or None,
        "runner": job.runner,
        "enable_caching": plan.options.caching,
        "cache_max_age": plan.options.max_age,
        "failure_policy": plan.options.failure_policy,
        "labels": plan.labels,
    }


def where(schedule: Schedule) -> dict[str, Any]:
    """The arguments by which the jobs of a schedule are found."""
    return {name: schedule.job["options"][name] for name in ("runner", "pipeline_root")}


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _id(display_name: str) -> str:
    """An id as jobs may have it at the start of theirs, unique also where names are not."""
    words = re.sub("[^a-z0-9]+", "-", display_name.lower()).strip("-")
    start = words if words[:1].isalpha() else f"schedule-{words}".rstrip("-")
    return f"{start[:60].rstrip('-')}-{uuid4().hex[:8]}"
