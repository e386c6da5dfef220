"""Runs what the schedules of a workspace have due.

A due time is written down as running before its job is made, and the job's id follows from it.
So whenever this process is killed, the next one finds every due time that has begun: a job that is
not there yet is made, one that was interrupted is resumed, one that has ended is taken off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from unified_mlops.errors import BackendError, NotFoundError, UnifiedMLOpsError
from unified_mlops.pipelines.schedule import Schedule
from unified_mlops.pipelines.timetable import Timetable
from unified_mlops.resources.job_settings import SERVER
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.resources.schedules import where
from unified_mlops.session import Session

logger = logging.getLogger("unified_mlops")

AGAIN = timedelta(seconds=30)
"""When to try again where a tool or a store was broken or away."""

PAUSE = timedelta(seconds=10)
"""When to ask a server again how far a job is."""


def _clock() -> datetime:
    return datetime.now(timezone.utc)


class Scheduler:
    """Starts the runs that are due, and follows them.

    Args:
        session: whose workspace, and where the jobs run.
        now: tells the time.
        tell: told what happens, a line each.
    """

    def __init__(
        self,
        session: Session,
        *,
        now: Callable[[], datetime] = _clock,
        tell: Callable[[str], None] = logger.info,
    ) -> None:
        self._session = session
        self._timetable = Timetable(session.config.workspace)
        self._now = now
        self._tell = tell
        self._jobs: dict[str, PipelineJob] = {}
        self._later: dict[str, datetime] = {}
        self._troubles: dict[str, str] = {}

    @property
    def busy(self) -> bool:
        """Whether a job that runs here has not ended."""
        here = [job for job in self._jobs.values() if job.runner != SERVER]
        return not all(job.done() for job in here)

    def look(self, *, start: bool = True) -> None:
        """Start what is due and take off what has ended, without waiting for any job.

        Args:
            start: whether to start new runs; else those that run are followed only.
        """
        for name in self._timetable.names():
            try:
                schedule = self._timetable.read(name)
                if start:
                    schedule = self._timetable.change(name, lambda it: it.look(self._now()))
                for due in schedule.running:
                    if start or schedule.job_id(due) in self._jobs:
                        self._follow(schedule, due)
                self._troubles.pop(name, None)
            except NotFoundError:
                continue  # deleted meanwhile
            except UnifiedMLOpsError as error:
                self._trouble(name, error)

    def _follow(self, schedule: Schedule, due: datetime) -> None:
        """See that a running due time has its job, and whether that has ended."""
        job_id = schedule.job_id(due)
        if self._later.get(job_id, self._now()) > self._now():
            return
        try:
            if job_id not in self._jobs:
                self._jobs[job_id] = self._begin(schedule, due)
            job = self._jobs[job_id]
            if not job.done():
                if job.runner == SERVER:
                    self._later[job_id] = self._now() + PAUSE
                return
            error = job.error
        except BackendError as wrong:
            self._jobs.pop(job_id, None)
            self._later[job_id] = self._now() + AGAIN
            self._trouble(job_id, wrong)
            return
        except Exception as wrong:  # noqa: BLE001  whatever it is, it ends this run only
            error = str(wrong) or type(wrong).__name__
        self._end(schedule, due, error)

    def _begin(self, schedule: Schedule, due: datetime) -> PipelineJob:
        """Make the job of a due time, or go on with it.

        Raises:
            BackendError: another process runs it, or a tool is away.
        """
        job_id = schedule.job_id(due)
        job = PipelineJob.get(job_id, session=self._session, **where(schedule))
        if job is None:
            job = scheduled_job(self._session, schedule, due)
            job.submit(experiment=schedule.job["experiment"])
            self._tell(f"{job.job_id} is started, due {due.isoformat()}")
        elif job.runner != SERVER and not job.done():
            job.resume()
            self._tell(f"{job.job_id} was interrupted and is resumed")
        return job

    def _end(self, schedule: Schedule, due: datetime, error: str) -> None:
        job_id = schedule.job_id(due)
        self._jobs.pop(job_id, None)
        self._tell(f"{job_id} has failed: {error}" if error else f"{job_id} has ended")
        self._timetable.change(schedule.name, lambda it: it.ended(due, error))

    def _trouble(self, about: str, error: UnifiedMLOpsError) -> None:
        """Tell of a trouble once, until it is another."""
        if self._troubles.get(about) != error.fact:
            self._troubles[about] = error.fact
            self._tell(f"{about}: {error}")


def scheduled_job(session: Session, schedule: Schedule, due: datetime) -> PipelineJob:
    """The job of a due time, new: whether there is one already is not asked.

    Args:
        session: where it is to run.
        schedule: whose run it is.
        due: when it was due.

    Raises:
        UnifiedMLOpsError: the pipeline cannot be run here.
    """
    job = PipelineJob(
        schedule.job_name(due),
        Timetable(session.config.workspace).template(schedule.name),
        job_id=schedule.job_id(due),
        session=session,
        **schedule.job["options"],
    )
    job._run.plan = replace(job._run.plan, scheduled=f"{due:%Y-%m-%dT%H:%M:%SZ}")
    return job
