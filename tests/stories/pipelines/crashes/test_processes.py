"""The process that runs a job is killed, interrupted, or is not alone: nothing finished is lost."""

import random
import signal
import time

import pytest
from tests.stories.pipelines.crashes import faults
from tests.stories.pipelines.crashes.machine import (
    beginnings,
    finished,
    folder,
    go,
    gone,
    kill,
    lines,
    pids,
    strays,
    until,
)

from unified_mlops.errors import AlreadyExistsError, BackendError

pytestmark = pytest.mark.story
SUCCEEDED, FAILED = "PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"
CANCELLED, PAUSED = "PIPELINE_STATE_CANCELLED", "PIPELINE_STATE_PAUSED"


@pytest.mark.parametrize("seed", range(5))
def test_a_job_killed_again_and_again_keeps_what_it_finished_and_ends_as_if_it_had_not_been(
    machine, session, found, tmp_path, uninterrupted, seed
):
    place, chance, job_id = tmp_path / "lines", random.Random(seed), f"killed-{seed}"
    files, kept, begun, kills = folder(session, "diamond", job_id), {}, {}, 0
    while kills < 4 and not (found(job_id) and found(job_id).done()):
        how = "resume" if found(job_id) else "submit"
        process = machine.start(faults.diamond, job_id, {"lines": str(place)}, how)
        wanted = lines(place).total() + chance.randint(1, 7)
        go(process)
        until(lambda p=process, n=wanted: lines(place).total() >= n or p.poll() is not None)
        time.sleep(chance.random() * 0.05)
        assert kill(process) == ""
        kills += 1
        until(lambda: not strays(machine.mark), seconds=5)
        assert kept.items() <= finished(files).items()
        began = beginnings(place)
        assert begun.items() <= began.items()
        kept = finished(files)
        begun = {name: began[name] for name in kept}
    job = found(job_id)
    assert kills
    if not job.done():  # a quick machine may be through before the last kill
        assert job.state == PAUSED
        job.resume()
        job.wait()
    outputs, expected = uninterrupted
    assert (job.state, job.outputs) == (SUCCEEDED, outputs)
    assert kept.items() <= finished(files).items()
    assert begun.items() <= beginnings(place).items()
    assert set(lines(place)) == expected
    assert max(lines(place).values()) <= kills + 1
    assert {task.state for task in job.task_details.values()} == {"SUCCEEDED"}


def test_a_folder_left_by_a_process_that_was_killed_as_it_made_it_is_used(job, session, tmp_path):
    left = folder(session, "diamond", "left")
    left.mkdir(parents=True)
    (left / "job.lock").touch()
    (left / ".job.json.1").write_text('{"jobId": "le')
    made = job(faults.diamond, "left", lines=tmp_path / "lines")
    made.run()
    assert made.state == SUCCEEDED
    with pytest.raises(AlreadyExistsError, match="'left'"):
        job(faults.diamond, "left", lines=tmp_path / "lines").run()


@pytest.mark.parametrize(
    ("how", "number", "states"),
    [
        ("run", signal.SIGINT, {CANCELLED}),
        ("run", signal.SIGTERM, {PAUSED}),
        ("submit", signal.SIGINT, {PAUSED, CANCELLED}),
    ],
)
def test_an_interrupted_script_leaves_no_process_and_a_job_that_can_go_on(
    machine, found, tmp_path, how, number, states
):
    job_id = f"{how}-{number.name.lower()}"
    given = {name: str(tmp_path / name) for name in ("place", "once", "lines")}
    process = machine.start(faults.neighbours, job_id, given, how)
    go(process)
    pid = pids(tmp_path / "place")[0], pids(tmp_path / "once")[0]
    until(lambda: lines(tmp_path / "lines")["end", "step-2"])
    time.sleep(0.2)
    said = kill(process, number)
    until(lambda: all(map(gone, pid)) and not strays(machine.mark), seconds=4)
    job = found(job_id)
    assert job.state in states, said
    assert job.task_details["step-2"].state == "SUCCEEDED"
    job.resume()
    until(lambda: job.task_details.get("hang") and job.task_details["hang"].state == "RUNNING")
    job.cancel()
    assert beginnings(tmp_path / "lines") == {"step-2": 1}


def test_a_job_goes_on_though_nobody_reads_what_it_shows(machine, found, tmp_path, uninterrupted):
    process = machine.start(faults.diamond, "unread", {"lines": str(tmp_path / "lines")})
    go(process)
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    process.wait(timeout=40)
    assert (found("unread").state, found("unread").outputs) == (SUCCEEDED, uninterrupted[0])


# --- two at once ---


def test_two_processes_run_two_jobs_of_one_pipeline_in_one_workspace(
    machine, found, tmp_path, uninterrupted
):
    places = {f"beside-{n}": tmp_path / f"{n}" for n in range(2)}
    processes = [
        machine.start(faults.diamond, job_id, {"lines": str(place)})
        for job_id, place in places.items()
    ]
    go(*processes)
    assert [process.communicate(timeout=40)[1] for process in processes] == ["", ""]
    for job_id, place in places.items():
        assert (found(job_id).state, found(job_id).outputs) == (SUCCEEDED, uninterrupted[0])
        assert lines(place) == dict.fromkeys(uninterrupted[1], 1)


def test_of_two_processes_that_begin_the_same_job_one_wins(machine, found, tmp_path, uninterrupted):
    given = {"lines": str(tmp_path / "lines")}
    processes = [machine.start(faults.diamond, "same", given) for _ in range(2)]
    go(*processes)
    said = sorted(process.communicate(timeout=40)[1] for process in processes)
    assert said[0] == ""
    assert "AlreadyExistsError: there is a job 'same' already" in said[1]
    assert (found("same").state, found("same").outputs) == (SUCCEEDED, uninterrupted[0])
    assert lines(tmp_path / "lines") == dict.fromkeys(uninterrupted[1], 1)


def test_of_two_that_resume_the_same_job_one_wins(job, found, tmp_path):
    made = job(faults.neighbours, "twice", **{n: tmp_path / n for n in ("place", "once", "lines")})
    made.submit()
    pids(tmp_path / "place")
    with pytest.raises(BackendError, match="'twice' is running in another process"):
        found("twice").resume()
    made.cancel()
    one, other = found("twice"), found("twice")
    one.resume()
    with pytest.raises(BackendError, match="'twice' is running in another process"):
        other.resume()
    one.cancel()
    assert other.state == CANCELLED
