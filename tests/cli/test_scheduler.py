"""`umlops scheduler` as a process that is killed at any moment, and `umlops schedule`."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.config import Config
from unified_mlops.pipelines.schedule import Schedule
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.resources.schedules import PipelineJobSchedule
from unified_mlops.session import Session

UMLOPS = str(Path(sys.executable).parent / "umlops")
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11")
    def note(job: str, word: str, file: str, seconds: float) -> str:
        import os
        import time

        def write(text: str) -> None:
            with open(file, "a") as out:  # noqa: PTH123  a component stands alone
                out.write(f"{job} {word} {text} {os.getpid()}\n")

        write("begins")
        time.sleep(seconds)
        write("ends")
        return word

    @dsl.pipeline(name="noting")
    def noting(file: str, seconds: float = 0.1) -> str:
        job = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
        first = note(job=job, word="one", file=file, seconds=seconds)
        second = note(job=job, word="two", file=file, seconds=seconds).after(first)
        return second.output

    path = tmp_path_factory.mktemp("compiled") / "noting.yaml"
    compiler.Compiler().compile(noting, str(path))
    return path


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """The session of a project whose commands are run in the test's folder."""
    (tmp_path / "unified_mlops.toml").write_text('[providers]\ntask = "kfp"\n')
    session = Session(Config.load())
    yield session
    session.close()


def scheduled(
    session: Session, compiled: Path, missed: int, *, seconds: float = 0.1, **given: Any
) -> PipelineJobSchedule:
    """A schedule of which so many runs are due, and no more will be."""
    now = datetime.now(timezone.utc)
    last = now.replace(second=0, microsecond=0)
    values = {"file": str(session.config.workspace.parent / "notes"), "seconds": seconds}
    job = PipelineJob("noting", compiled, parameter_values=values, session=session)
    schedule = PipelineJobSchedule(job, "noting")
    times = {"start_time": last - (missed - 0.5) * MINUTE, "end_time": last}
    schedule.create("* * * * *", catch_up=True, **times, **given)
    return schedule


@contextmanager
def scheduler(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [UMLOPS, "scheduler", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()


def umlops(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UMLOPS, *words], capture_output=True, text=True, check=False)


def until(holds: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.05)


def notes(tmp_path: Path) -> list[list[str]]:
    path = tmp_path / "notes"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def over(schedule: PipelineJobSchedule) -> bool:
    record = schedule.record
    return record.state == "COMPLETED" and not record.running


def due_times(record: Schedule) -> list[datetime]:
    assert record.end_time is not None
    count = round((record.end_time - record.start_time) / MINUTE + 0.5)
    return [record.end_time - number * MINUTE for number in reversed(range(count))]


@pytest.mark.parametrize("seed", range(2))
def test_a_scheduler_killed_at_any_moment_loses_no_run_and_doubles_none(
    session: Session, compiled: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    schedule = scheduled(session, compiled, 8, max_concurrent_run_count=3)
    kills = 0
    while not over(schedule) and kills < 12:
        with scheduler() as process:
            # At times before it has begun, at times in the middle of its jobs.
            time.sleep(chance.choice([0.3, 1]) + chance.random() * 1.5)
            process.send_signal(signal.SIGKILL)
            kills += 1
    assert kills > 2
    with scheduler():
        until(lambda: over(schedule))
    record = schedule.record
    wanted = [record.job_id(due) for due in due_times(record)]
    jobs = schedule.list_jobs()
    assert [job.job_id for job in jobs] == wanted
    assert {job.state for job in jobs} == {"PIPELINE_STATE_SUCCEEDED"}
    assert record.started_run_count == len(wanted)
    begun = Counter(tuple(words[:3]) for words in notes(tmp_path))
    assert set(begun) == {
        (job, word, text)
        for job in wanted
        for word in ("one", "two")
        for text in ("begins", "ends")
    }
    # A task that was interrupted begins again; there are no more of them than kills leave open.
    assert sum(begun.values()) - len(begun) <= kills * 2 * 3


KILLED = """
import os, signal, sys
left, place = int(sys.argv[1]), sys.argv[2]

def see(event, arguments):
    global left
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if (writes or event in ("os.mkdir", "os.rename", "os.remove")) and place in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(see)
from unified_mlops.cli import cli
cli(["scheduler"])
"""


def test_it_may_be_killed_at_any_write(session: Session, compiled: Path) -> None:
    schedule = scheduled(session, compiled, 9, seconds=0, max_concurrent_run_count=2)
    place = str(session.config.workspace)
    for write in (7, 8, 9, 11, 12, 14, 15, 17, 18, 20, 30, 45):
        command = [sys.executable, "-c", KILLED, str(write), place]
        died = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert died.returncode == -signal.SIGKILL, died.stderr
    with scheduler():
        until(lambda: over(schedule))
    jobs = schedule.list_jobs()
    assert [job.job_id for job in jobs] == [
        schedule.record.job_id(due) for due in due_times(schedule.record)
    ]
    assert {job.state for job in jobs} == {"PIPELINE_STATE_SUCCEEDED"}


def test_on_a_terminal_it_says_lines_and_draws_nothing(session: Session, compiled: Path) -> None:
    import pty

    schedule = scheduled(session, compiled, 3, max_concurrent_run_count=3)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([UMLOPS, "scheduler"], stdout=theirs, stderr=theirs)
    try:
        until(lambda: over(schedule))
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert said.count("is started") == 3
    assert "\x1b" not in said


def test_a_run_that_was_interrupted_goes_on_after_its_last_finished_task(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    schedule = scheduled(session, compiled, 1, seconds=1.5)
    with scheduler():
        until(lambda: [words[1:3] for words in notes(tmp_path)][-1:] == [["two", "begins"]])
    with scheduler():
        until(lambda: over(schedule))
    assert Counter(tuple(words[1:3]) for words in notes(tmp_path)) == {
        ("one", "begins"): 1,
        ("one", "ends"): 1,
        ("two", "begins"): 2,
        ("two", "ends"): 1,
    }


def test_a_killed_scheduler_leaves_no_process_behind(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    scheduled(session, compiled, 1, seconds=60)
    with scheduler():
        until(lambda: len(notes(tmp_path)) == 1)
    [words] = notes(tmp_path)
    until(lambda: not Path(f"/proc/{words[3]}").exists())


def test_at_the_end_running_jobs_get_their_grace_and_nothing_new_is_started(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    schedule = scheduled(session, compiled, 3, seconds=0.7)
    with scheduler() as process:
        until(lambda: len(notes(tmp_path)) == 1)
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert [words[1:3] for words in notes(tmp_path)][-1] == ["two", "ends"]
    assert [job.state for job in schedule.list_jobs()] == ["PIPELINE_STATE_SUCCEEDED"]
    assert len(schedule.record.queue) == 2


def test_what_outlasts_the_grace_is_interrupted_and_resumed_by_the_next(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    schedule = scheduled(session, compiled, 1, seconds=2)
    with scheduler("--grace", "0") as process:
        until(lambda: len(notes(tmp_path)) == 1)
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert process.stdout is not None
        assert "interrupted" in process.stdout.read()
    assert [words[2] for words in notes(tmp_path)] == ["begins"]
    with scheduler():
        until(lambda: over(schedule))
    assert [job.state for job in schedule.list_jobs()] == ["PIPELINE_STATE_SUCCEEDED"]


def test_a_second_scheduler_is_refused(session: Session, compiled: Path, tmp_path: Path) -> None:
    scheduled(session, compiled, 1)
    with scheduler():
        until(lambda: notes(tmp_path))
        second = umlops("scheduler")
    assert second.returncode == 2
    assert "runs on" in second.stderr


def test_a_pause_from_another_process_is_seen(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    schedule = scheduled(session, compiled, 5, seconds=0.5)
    with scheduler():
        until(lambda: notes(tmp_path))
        assert umlops("schedule", "pause", "noting").returncode == 0
        until(lambda: not schedule.record.running)
        count = len(schedule.list_jobs())
        time.sleep(1.5)
        assert (schedule.state, len(schedule.list_jobs())) == ("PAUSED", count)
        assert count < 5
        assert umlops("schedule", "resume", "noting").returncode == 0
        until(lambda: over(schedule))
    assert len(schedule.list_jobs()) == 5


def test_the_list_shows_each_schedule_with_its_next_and_last_run(
    session: Session, compiled: Path
) -> None:
    values = {"file": str(session.config.workspace / "missing" / "notes")}
    job = PipelineJob("noting", compiled, parameter_values=values, session=session)
    schedule = PipelineJobSchedule(job, "each morning")
    schedule.create("TZ=Europe/Berlin 0 6 * * *", max_run_count=9)
    shown = umlops("schedule", "list").stdout
    for text in (schedule.name, "each morning", "ACTIVE", "TZ=Europe/Berlin 0 6 * * *", "0 of 9"):
        assert text in shown
    assert " 06:00 CE" in shown


def test_a_failed_run_is_shown_and_the_next_one_is_run(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    values = {"file": str(tmp_path / "missing" / "notes")}
    job = PipelineJob("noting", compiled, parameter_values=values, session=session)
    schedule = PipelineJobSchedule(job, "failing")
    start = datetime.now(timezone.utc) - 5 * MINUTE
    schedule.create("* * * * *", start_time=start, max_run_count=2, catch_up=True)
    with scheduler():
        until(lambda: over(schedule))
    assert [job.state for job in schedule.list_jobs()] == ["PIPELINE_STATE_FAILED"] * 2
    assert "missing" in umlops("schedule", "list").stdout


def test_a_run_that_cannot_be_started_is_told_and_ends(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    schedule = scheduled(session, compiled, 2)
    template = session.config.workspace / "schedules" / f"{schedule.name}.pipeline.json"
    spec = json.loads(template.read_text())
    spec["root"]["inputDefinitions"]["parameters"]["new"] = {"parameterType": "STRING"}
    template.write_text(json.dumps(spec))
    with scheduler():
        until(lambda: over(schedule))
    assert "'new' is missing" in schedule.last_scheduled_run_response["error"]
    assert schedule.list_jobs() == []


def test_runs_belong_to_the_experiment_and_are_named_by_the_template(
    session: Session, compiled: Path
) -> None:
    schedule = scheduled(
        session, compiled, 1, experiment="nightly", job_name_template="{pipeline} {time:%d.%m.%Y}"
    )
    with scheduler():
        until(lambda: over(schedule), 120)
    [job] = schedule.list_jobs()
    due = due_times(schedule.record)[0]
    assert job.display_name == f"noting {due:%d.%m.%Y}"
    run = job.get_associated_experiment()
    assert run is not None


def test_a_schedule_is_deleted_and_nobody_knows_it_any_more(
    session: Session, compiled: Path
) -> None:
    schedule = scheduled(session, compiled, 1)
    assert umlops("schedule", "delete", schedule.name).returncode == 0
    again = umlops("schedule", "delete", schedule.name)
    assert again.returncode == 2
    assert f"there is no schedule '{schedule.name}'" in again.stderr


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    assert os.environ["PYTHONUNBUFFERED"] == "1"
