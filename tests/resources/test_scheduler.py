"""The scheduler on real jobs, with a clock that is told the time."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from unified_mlops.config import Config
from unified_mlops.current import use_session
from unified_mlops.pipelines.schedule import Schedule
from unified_mlops.pipelines.timetable import Timetable
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.resources.scheduler import AGAIN, Scheduler, scheduled_job
from unified_mlops.resources.schedules import PipelineJobSchedule
from unified_mlops.session import Session

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11")
    def count(steps: int, due: str) -> str:
        if steps < 0:
            raise ValueError("negative")
        return f"{steps + 1} {due}"

    @dsl.pipeline(name="counting")
    def counting(steps: int = 1) -> str:
        due = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
        return count(steps=steps, due=due).output

    path = tmp_path_factory.mktemp("compiled") / "counting.yaml"
    compiler.Compiler().compile(counting, str(path))
    return path


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = use_session(Session(Config(workspace=tmp_path / "w", providers={"task": "kfp"})))
    yield session
    session.close()


class World:
    """A schedule that is due every minute, and a scheduler whose clock stands still."""

    def __init__(self, session: Session, compiled: Path, steps: int = 4, **given: Any) -> None:
        job = PipelineJob("counting", compiled, parameter_values={"steps": steps}, session=session)
        self.session = session
        self.schedule = PipelineJobSchedule(job, "Each minute")
        self.start = datetime.now(timezone.utc).replace(second=0, microsecond=0) + MINUTE
        self.schedule.create("* * * * *", start_time=self.start, **given)
        self.now = self.start
        self.told: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.scheduler = Scheduler(self.session, now=lambda: self.now, tell=self.told.append)

    def due(self, number: int = 0) -> datetime:
        return self.start + number * MINUTE

    def at(self, number: float) -> Schedule:
        """Look so many minutes after the start, and let what was begun end."""
        self.now = self.start + number * MINUTE
        self.scheduler.look()
        deadline = time.monotonic() + 60
        while self.scheduler.busy:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.scheduler.look(start=False)
        return self.schedule.record

    @property
    def jobs(self) -> list[str]:
        return [job.job_id for job in self.schedule.list_jobs()]

    def ids(self, *numbers: int) -> list[str]:
        return [self.schedule.record.job_id(self.due(number)) for number in numbers]


@pytest.fixture
def world(session: Session, compiled: Path) -> World:
    return World(session, compiled)


def test_each_due_time_becomes_one_job_that_has_its_parameters_and_knows_when_it_was_due(
    world: World,
) -> None:
    world.at(-0.5)
    assert world.jobs == []
    for number in (0, 0.5, 1):
        world.at(number)
    assert world.jobs == world.ids(0, 1), world.told
    for job, number in zip(world.schedule.list_jobs(), (0, 1), strict=True):
        assert job.state == "PIPELINE_STATE_SUCCEEDED"
        assert job.outputs == {"Output": f"5 {world.due(number):%Y-%m-%dT%H:%M:%SZ}"}
        assert job.display_name == f"Each minute-{world.due(number):%Y%m%dT%H%M%S}"
    record = world.schedule.record
    assert (record.running, record.started_run_count, record.skipped_run_count) == ((), 2, 0)
    assert world.schedule.last_scheduled_run_response["job_id"] == world.jobs[-1]


def test_what_waits_is_run_one_after_another(session: Session, compiled: Path) -> None:
    world = World(session, compiled, catch_up=True)
    assert [len(world.at(4.5).queue) for _ in range(3)] == [3, 2, 1]
    assert world.jobs == world.ids(0, 1, 2)


def test_a_paused_schedule_runs_nothing(world: World) -> None:
    world.schedule.pause()
    world.at(3)
    assert world.jobs == []


def test_a_failed_job_is_over_and_its_error_is_kept(session: Session, compiled: Path) -> None:
    world = World(session, compiled, steps=-1)
    assert "negative" in world.at(0).last_run["error"]
    world.at(1)
    assert [job.state for job in world.schedule.list_jobs()] == ["PIPELINE_STATE_FAILED"] * 2


def test_killed_before_the_job_was_made_it_is_made_by_the_next(world: World) -> None:
    timetable = Timetable(world.session.config.workspace)
    timetable.change(world.schedule.name, lambda schedule: schedule.look(world.start))
    world.restart()
    assert world.at(0.5).running == ()
    assert world.jobs == world.ids(0)


def test_killed_while_the_folder_of_the_job_was_made_it_is_made_by_the_next(world: World) -> None:
    [job_id] = world.ids(0)
    (world.session.config.workspace / "pipelines" / "counting" / job_id).mkdir(parents=True)
    world.at(0)
    world.at(0.6)
    assert [job.state for job in world.schedule.list_jobs()] == ["PIPELINE_STATE_SUCCEEDED"]
    assert world.schedule.record.running == ()


def test_killed_after_the_job_has_ended_there_is_no_second(world: World) -> None:
    timetable = Timetable(world.session.config.workspace)
    schedule = timetable.change(world.schedule.name, lambda schedule: schedule.look(world.start))
    job = scheduled_job(world.session, schedule, world.due())
    job.run()
    world.restart()
    assert world.at(0.5).running == ()
    [found] = world.schedule.list_jobs()
    assert found.end_time == job.end_time


def test_a_job_that_another_process_runs_is_left_to_it_and_taken_over_when_that_dies(
    world: World,
) -> None:
    world.at(0)
    [job_id] = world.jobs
    folder = world.session.config.workspace / "pipelines" / "counting" / job_id
    journal = folder / "job.json"
    ended = "PIPELINE_STATE_SUCCEEDED"
    journal.write_text(journal.read_text().replace(ended, "PIPELINE_STATE_RUNNING"))
    timetable = Timetable(world.session.config.workspace)
    timetable.change(world.schedule.name, lambda it: replace_running(it, world.due()))
    world.restart()
    with FileLock(folder / "job.lock"):
        assert world.at(0.1).running == (world.due(),)
    assert world.at(0.2 + AGAIN / MINUTE).running == ()
    assert world.schedule.list_jobs()[0].state == ended
    assert world.jobs == [job_id]


def replace_running(schedule: Schedule, due: datetime) -> Schedule:
    from dataclasses import replace

    return replace(schedule, running=(due,))


def test_where_the_store_is_broken_it_is_tried_again(world: World) -> None:
    place = world.session.config.workspace / "pipelines"
    place.parent.mkdir(exist_ok=True)
    place.write_text("in the way")
    assert world.at(0).running == (world.due(),)
    place.unlink()
    assert world.at(0.1).running == (world.due(),)
    assert world.at(0.1 + AGAIN / MINUTE).running == ()
    assert world.jobs == world.ids(0)


def test_a_damaged_schedule_is_told_once_and_the_others_are_run(
    session: Session, compiled: Path
) -> None:
    broken, world = World(session, compiled), World(session, compiled)
    path = session.config.workspace / "schedules" / f"{broken.schedule.name}.schedule.json"
    path.write_text("{")
    for number in (0, 1):
        world.at(number)
    assert len(world.jobs) == 2
    assert len([line for line in world.told if "cannot be read" in line]) == 1


def test_a_schedule_deleted_while_its_job_runs_lets_it_end(world: World) -> None:
    [job_id] = world.ids(0)
    world.now = world.start
    world.scheduler.look()
    world.schedule.delete()
    job = PipelineJob.get(job_id)
    assert job is not None
    job.wait(60)
    world.scheduler.look()
    assert job.state == "PIPELINE_STATE_SUCCEEDED"
    assert not world.scheduler.busy
