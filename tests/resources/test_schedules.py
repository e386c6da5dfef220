"""Schedules as their users see them, and the scheduler with a clock that is told the time."""

import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    BackendError,
    NotFoundError,
)
from unified_mlops.pipelines.timetable import Timetable
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.resources.schedules import PipelineJobSchedule
from unified_mlops.session import Session


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11")
    def count(steps: int) -> int:
        if steps < 0:
            raise ValueError("negative")
        return steps + 1

    @dsl.pipeline(name="counting")
    def counting(steps: int = 1) -> int:
        return count(steps=steps).output

    path = tmp_path_factory.mktemp("compiled") / "counting.yaml"
    compiler.Compiler().compile(counting, str(path))
    return path


@pytest.fixture
def job(session: Session, compiled: Path) -> PipelineJob:
    return PipelineJob("counting", compiled, runner="memory", session=session)


@pytest.fixture
def schedule(job: PipelineJob) -> PipelineJobSchedule:
    schedule = PipelineJobSchedule(job, "Nightly run")
    schedule.create("TZ=Europe/Berlin 0 6 * * *")
    return schedule


def test_a_schedule_is_found_by_its_id_and_by_its_display_name(
    schedule: PipelineJobSchedule,
) -> None:
    for name in (schedule.name, "Nightly run"):
        assert PipelineJobSchedule.get(name).name == schedule.name
    assert schedule.name.startswith("nightly-run-")
    with pytest.raises(NotFoundError, match="no schedule 'other'"):
        PipelineJobSchedule.get("other")


def test_of_two_schedules_with_one_display_name_neither_is_meant(
    schedule: PipelineJobSchedule, session: Session, compiled: Path
) -> None:
    second = PipelineJobSchedule(
        PipelineJob("counting", compiled, runner="memory", session=session), "Nightly run"
    )
    second.create("0 6 * * *")
    with pytest.raises(NotFoundError, match="2 schedules are called 'Nightly run'") as refused:
        PipelineJobSchedule.get("Nightly run")
    assert schedule.name in str(refused.value.hint)


def test_schedules_are_listed_filtered_and_ordered(
    session: Session, compiled: Path, schedule: PipelineJobSchedule
) -> None:
    other = PipelineJobSchedule(
        PipelineJob("counting", compiled, runner="memory", session=session), "a-test"
    )
    other.create("0 6 * * *")
    other.pause()
    listed = PipelineJobSchedule.list
    assert [found.name for found in listed()] == [schedule.name, other.name]
    assert [found.name for found in listed(order_by="display_name")] == [schedule.name, other.name]
    assert [found.name for found in listed("state=PAUSED")] == [other.name]
    assert [found.name for found in listed('display_name="night*"')] == []
    with pytest.raises(ArgumentError):
        listed("colour=red")


def test_the_next_run_is_by_the_clocks_of_the_zone(schedule: PipelineJobSchedule) -> None:
    from zoneinfo import ZoneInfo

    due = schedule.next_run_time
    assert due is not None
    assert (due.astimezone(ZoneInfo("Europe/Berlin")).hour, due.utcoffset()) == (6, timedelta(0))


def test_a_schedule_is_paused_and_resumed(schedule: PipelineJobSchedule) -> None:
    assert schedule.state == "ACTIVE"
    schedule.pause()
    assert (schedule.state, schedule.next_run_time) == ("PAUSED", None)
    schedule.resume()
    assert schedule.state == "ACTIVE"
    assert schedule.record.catch_up
    schedule.pause()
    schedule.resume(catch_up=False)
    assert not schedule.record.catch_up


def test_what_is_updated_is_changed_and_the_rest_stays(schedule: PipelineJobSchedule) -> None:
    schedule.update(cron="0 7 * * *", max_run_count=3, display_name="Morning")
    kept = PipelineJobSchedule.get("Morning").record
    assert (kept.cron, kept.max_run_count, kept.max_concurrent_run_count) == ("0 7 * * *", 3, 1)
    with pytest.raises(ArgumentError, match="no time specification"):
        schedule.update(cron="often")
    assert schedule.record.cron == "0 7 * * *"


def test_a_deleted_schedule_is_gone_with_its_files(
    schedule: PipelineJobSchedule, session: Session
) -> None:
    schedule.delete()
    assert PipelineJobSchedule.list() == []
    left = {path.name for path in (session.config.workspace / "schedules").iterdir()}
    assert left <= {"schedules.lock"}
    for act in (schedule.delete, schedule.pause, lambda: schedule.state):
        with pytest.raises(NotFoundError):
            act()


def test_a_schedule_that_was_not_created_has_no_state(job: PipelineJob, session: Session) -> None:
    schedule = PipelineJobSchedule(job, "nightly")
    with pytest.raises(NotFoundError):
        schedule.state  # noqa: B018
    assert not (session.config.workspace / "schedules").exists()


def test_a_schedule_is_created_once(schedule: PipelineJobSchedule) -> None:
    for again in (schedule, PipelineJobSchedule.get(schedule.name)):
        with pytest.raises(ArgumentError, match="is there already"):
            again.create("0 6 * * *")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cron": "often"}, "no time specification"),
        ({"cron": None}, "no time specification"),
        ({"max_run_count": "3"}, "max_run_count is '3'"),
        ({"start_time": "2026-01-01T00:00:00"}, "names no time zone"),
        ({"end_time": "soon"}, "no moment"),
        ({"end_time": "2020-01-01T00:00:00Z"}, "not after start_time"),
        ({"max_run_count": 0}, "max_run_count is 0"),
        ({"max_concurrent_run_count": -1}, "max_concurrent_run_count is -1"),
        ({"job_name_template": "{day}"}, "job_name_template"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    job: PipelineJob, session: Session, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(ArgumentError, match=says):
        PipelineJobSchedule(job, "nightly").create(**{"cron": "0 6 * * *"} | given)
    assert not (session.config.workspace / "schedules").exists()


def test_a_schedule_needs_a_name(job: PipelineJob) -> None:
    with pytest.raises(ArgumentError, match="needs a name"):
        PipelineJobSchedule(job, "")


@pytest.mark.parametrize("name", ["42", "Ünïcode", "../../etc", "a" * 200, "日本"])
def test_any_name_gives_an_id_that_a_job_may_begin_with(job: PipelineJob, name: str) -> None:
    import re

    schedule = PipelineJobSchedule(job, name)
    schedule.create("0 6 * * *")
    job_id = schedule.record.job_id(datetime.now(timezone.utc))
    assert re.fullmatch("[a-z][-a-z0-9]{0,127}", job_id)


def test_a_damaged_schedule_is_named_with_its_file(
    schedule: PipelineJobSchedule, session: Session
) -> None:
    path = session.config.workspace / "schedules" / f"{schedule.name}.schedule.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(BackendError, match=schedule.name):
        schedule.state  # noqa: B018


def test_changes_from_several_threads_are_all_kept(schedule: PipelineJobSchedule) -> None:
    def change(**given: Any) -> None:
        for _ in range(20):
            schedule.update(**given)

    settings: list[dict[str, Any]] = [
        {"cron": "1 1 * * *"},
        {"max_run_count": 7},
        {"max_concurrent_run_count": 5},
        {"allow_queueing": True},
    ]
    threads = [threading.Thread(target=change, kwargs=given) for given in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = schedule.record
    assert {key: getattr(kept, key) for given in settings for key in given} == {
        key: value for given in settings for key, value in given.items()
    }


def test_one_scheduler_runs_on_a_workspace(session: Session) -> None:
    timetable = Timetable(session.config.workspace)
    with timetable.run(), pytest.raises(AlreadyExistsError, match="already"), timetable.run():
        pass
    with timetable.run():
        pass
