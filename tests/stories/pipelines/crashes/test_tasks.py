"""Tasks that are killed, leave processes behind, write too much or do not want to end."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from tests.stories.pipelines.crashes import faults
from tests.stories.pipelines.crashes.faults import single
from tests.stories.pipelines.crashes.machine import finished, folder, gone, pids, until

from unified_mlops.errors import TaskFailedError
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.pipelines.job import Job
from unified_mlops.pipelines.plan import Plan

pytestmark = pytest.mark.story
SUCCEEDED, FAILED = "PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"
CANCELLED, PAUSED = "PIPELINE_STATE_CANCELLED", "PIPELINE_STATE_PAUSED"


def test_a_killed_task_fails_alone_and_is_tried_again_where_it_is_to_be(job, tmp_path):
    made = job(
        faults.neighbours, "k", **{name: tmp_path / name for name in ("place", "once", "lines")}
    )
    made.submit()
    for name in ("place", "once"):
        os.kill(pids(tmp_path / name)[0], signal.SIGKILL)
    with pytest.raises(TaskFailedError, match="task 'hang' failed: killed by SIGKILL"):
        made.wait()
    told = {name: (task.state, task.tries) for name, task in made.task_details.items()}
    assert told == {
        "hang": ("FAILED", 1),
        "hang-2": ("SUCCEEDED", 2),
        "step": ("NOT_TRIGGERED", 0),
        "step-2": ("SUCCEEDED", 1),
    }
    assert made.task_details["hang-2"].parameters == {"Output": "awake"}


def test_where_the_fork_server_dies_its_tasks_fail_and_those_to_be_tried_again_are(job, tmp_path):
    given = {name: tmp_path / name for name in ("place", "once", "lines")}
    made = job(faults.neighbours, "server", **given)
    made.submit()
    left = [*pids(tmp_path / "place"), *pids(tmp_path / "once")]
    until(lambda: made.task_details["step-2"].state == "SUCCEEDED")
    psutil.Process(left[0]).parent().kill()
    with pytest.raises(TaskFailedError, match="task 'hang' failed: the fork server ended"):
        made.wait()
    assert all(map(gone, left))
    told = {name: (task.state, task.tries) for name, task in made.task_details.items()}
    assert (told["hang"], told["hang-2"]) == (("FAILED", 1), ("SUCCEEDED", 2))


class Broken:
    """An observer that fails when a task has ended."""

    def environment(self, task):
        return {}

    def changed(self, task):
        if task.name == "step-2" and task.state == "SUCCEEDED":
            raise RuntimeError("no more room to look")


@pytest.mark.filterwarnings("ignore:nobody was told of task 'step-2'. no more room to look")
def test_a_job_goes_on_though_nobody_can_be_told_of_it_any_more(session, tmp_path):
    pipeline = session.ask(PipelineHooks.mlops_load_pipeline, template=faults.neighbours)
    (tmp_path / "once").touch()
    given = {name: str(tmp_path / name) for name in ("place", "once", "lines")}
    job = Job(session, Plan(pipeline, "untold", str(tmp_path), given), Broken())
    job.open()
    ended = job.start()
    os.kill(pids(tmp_path / "place")[0], signal.SIGKILL)
    result = ended.result(10)
    states = {name: task.state for name, task in result.tasks.items()}
    assert (states["step-2"], states["hang-2"], states["hang"]) == (*["SUCCEEDED"] * 2, "FAILED")


def test_what_a_task_leaves_running_is_gone_when_it_has_ended(job, tmp_path):
    made = job(single(faults.scatter, "scatter"), place=tmp_path / "pids")
    made.run()
    assert made.state == SUCCEEDED
    left = pids(tmp_path / "pids")
    assert len(left) == 3
    assert all(map(gone, left))


def test_a_task_that_floods_its_log_takes_no_memory_here_and_its_last_lines_are_kept(job):
    made, own = job(single(faults.flood, "flood"), number=100), psutil.Process()
    before = most = own.memory_info().rss
    made.submit()
    while not made.done():
        most = max(most, own.memory_info().rss)
        time.sleep(0.005)
    made.wait()
    (task,) = made.task_details.values()
    assert (made.state, task.log[-14:]) == (SUCCEEDED, "the last line\n")
    assert most - before < 40 * 2**20
    log = Path(task.folder, "log.txt")
    assert log.stat().st_size > 95 * 2**20
    log.unlink()


def test_a_task_that_fills_its_folder_fails_and_says_so(job):
    made = job(single(faults.fill, "fill"), number=200_000)
    with pytest.raises(TaskFailedError, match="File too large"):
        made.run()
    (task,) = made.task_details.values()
    assert (task.state, task.parameters) == ("FAILED", {})
    assert "File too large" in task.log


def test_a_task_that_is_deaf_ends_within_four_seconds_when_cancelled(job, tmp_path):
    made = job(single(faults.deaf, "deaf"), place=tmp_path / "pids")
    made.submit()
    left = pids(tmp_path / "pids")
    began = time.monotonic()
    made.cancel()
    assert time.monotonic() - began < 4
    assert made.state == CANCELLED
    assert all(map(gone, left))


def test_a_job_that_waits_to_try_again_is_cancelled_at_once(job, session):
    made = job(single(faults.fail, "failing", wait="60s", times=3), "waiting")
    made.submit()
    until(lambda: finished(folder(session, "failing", "waiting"), "FAILED"))
    time.sleep(0.2)
    began = time.monotonic()
    made.cancel()
    assert time.monotonic() - began < 2
    assert made.state == CANCELLED
    assert {task.state for task in made.task_details.values()} == {"CANCELLED"}
