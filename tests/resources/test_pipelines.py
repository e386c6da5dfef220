# The bodies and signatures of components and pipelines are what users write.
# ruff: noqa: PTH123, PTH110
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from kfp import dsl

from unified_mlops.config import Config
from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    PluginNotFoundError,
    TaskFailedError,
)
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.session import Session

component = partial(dsl.component, base_image="python:3.11")
SUCCEEDED = "PIPELINE_STATE_SUCCEEDED"


@component
def tally(place: str) -> int:
    """Write a line into a file, and say how many there are."""
    with open(place, "a") as file:
        file.write("x\n")
    with open(place) as file:
        return len(file.readlines())


@component
def need(place: str, seconds: float = 0.0) -> str:
    """Wait a while for a file to be there; fail where it is not."""
    import os
    import time

    end = time.time() + seconds
    while not os.path.exists(place):
        assert time.time() < end, "it is not there"
        time.sleep(0.02)
    return "there"


@dsl.pipeline(name="Two Steps")
def two_steps(lines: str, flag: str, seconds: float = 0.0) -> str:
    first = tally(place=lines).set_caching_options(False)
    return need(place=flag, seconds=seconds).after(first).set_caching_options(False).output


@pytest.fixture
def session(tmp_path):
    session = Session(Config(workspace=tmp_path / "w"))
    yield session
    session.close()


@pytest.fixture
def job(session, tmp_path):
    def job(job_id="job-1", seconds=0.0, **settings):
        given = {"lines": str(tmp_path / "lines"), "flag": str(tmp_path / "flag")}
        given["seconds"] = seconds
        return PipelineJob(
            "shown", two_steps, parameter_values=given, job_id=job_id, session=session, **settings
        )

    return job


def lines(tmp_path):
    return len((tmp_path / "lines").read_text().splitlines())


def test_a_submitted_job_runs_beside_and_is_waited_for(job, tmp_path):
    made = job(seconds=30.0)
    assert made.state == "PIPELINE_STATE_PENDING"
    made.submit()
    assert made.state == "PIPELINE_STATE_RUNNING"
    with pytest.raises(TimeoutError):
        made.wait(0.1)
    (tmp_path / "flag").touch()
    made.wait()
    assert (made.state, made.done(), made.outputs) == (SUCCEEDED, True, {"Output": "there"})
    assert made.create_time <= made.end_time


def test_a_job_that_failed_says_which_task_and_where_its_log_is(job):
    made = job()
    with pytest.raises(TaskFailedError, match="'need' failed: AssertionError: it is not") as caught:
        made.run()
    log = Path(caught.value.hint.removeprefix("see ")).read_text()
    assert log.endswith("AssertionError: it is not there\n")
    assert made.state == "PIPELINE_STATE_FAILED"


def test_a_new_job_begins_where_one_failed(job, session, tmp_path):
    failed = job()
    with pytest.raises(TaskFailedError):
        failed.run()
    (tmp_path / "flag").touch()
    again = failed.rerun("job-2")
    again.wait()
    assert (again.job_id, again.state, lines(tmp_path)) == ("job-2", SUCCEEDED, 1)
    assert again.task_details["tally"].state == "SKIPPED"
    session.lineage.collect()
    walk = session.lineage.upstream(again.task_details["need"].ref.uri)
    assert again.uri in walk.nodes


def test_a_failed_job_is_resumed_under_its_own_id(job, session, tmp_path):
    with pytest.raises(TaskFailedError):
        job().run()
    (tmp_path / "flag").touch()
    found = PipelineJob.get("job-1", session=session)
    found.resume()
    found.wait()
    assert (found.state, lines(tmp_path)) == (SUCCEEDED, 1)
    with pytest.raises(ArgumentError, match="'job-1' has succeeded"):
        found.resume()


def test_jobs_of_other_processes_are_found_and_filtered(job, session, tmp_path):
    (tmp_path / "flag").touch()
    job("job-1", labels={"team": "risk"}).run()
    job("job-2").run()
    (tmp_path / "flag").unlink()
    with pytest.raises(TaskFailedError):
        job("job-3").run()
    listed = partial(PipelineJob.list, session=session)
    assert [one.job_id for one in listed(order_by="job_id")] == ["job-1", "job-2", "job-3"]
    assert [one.job_id for one in listed('state = "PIPELINE_STATE_FAILED"')] == ["job-3"]
    assert [one.job_id for one in listed('labels.team = "risk"')] == ["job-1"]
    with pytest.raises(ArgumentError, match="stat"):
        listed('stat = "x"')
    found = PipelineJob.get("job-1", session=session)
    assert (found.state, found.outputs, found.labels) == (
        SUCCEEDED,
        {"Output": "there"},
        {"team": "risk"},
    )
    assert found.task_details["tally"].parameters == {"Output": 1}
    assert PipelineJob.get("job-9", session=session) is None


def test_a_clone_has_the_same_inputs_but_for_those_given(job, tmp_path):
    (tmp_path / "other").touch()
    made = job().clone(job_id="job-2", parameter_values={"flag": str(tmp_path / "other")})
    made.run()
    assert (made.state, lines(tmp_path)) == (SUCCEEDED, 1)
    assert made.parameter_values["lines"] == str(tmp_path / "lines")
    assert made.display_name == "shown"


def test_a_cancelled_job_leaves_no_process_and_says_so(job, session):
    made = job(seconds=60.0)
    made.submit()
    until(lambda: made.task_details.get("need") and made.task_details["need"].state == "RUNNING")
    made.cancel()
    assert made.state == "PIPELINE_STATE_CANCELLED"
    assert made.task_details["need"].state == "CANCELLED"
    with pytest.raises(ArgumentError, match="is running"):
        running = job("job-2", seconds=60.0)
        running.submit()
        try:
            running.delete()
        finally:
            running.cancel()
    made.delete()
    assert PipelineJob.get("job-1", session=session) is None


def test_a_job_knows_its_experiment_also_when_it_is_found_again(job, session, tmp_path):
    (tmp_path / "flag").touch()
    job().run(experiment="trials")
    found = PipelineJob.list(session=session)[0]
    assert found.get_associated_experiment().name == "trials"
    assert "job-1" in set(found.get_associated_experiment().get_data_frame().run_name)


@pytest.mark.parametrize("job_id", ["Job", "1st", "a/b", "a" * 129, "../x"])
def test_a_job_id_is_refused_before_anything_is_written(job, tmp_path, job_id):
    with pytest.raises(ArgumentError, match="is no job id"):
        job(job_id)
    assert not (tmp_path / "w" / "pipelines").exists()


def test_a_made_up_id_follows_the_rules(job):
    assert job(None).job_id.startswith("two-steps-2")


def test_an_id_is_used_once_and_an_unknown_runner_is_named(job, tmp_path):
    (tmp_path / "flag").touch()
    job().run()
    with pytest.raises(AlreadyExistsError, match="'job-1'"):
        job().run()
    with pytest.raises(PluginNotFoundError, match="'moon'"):
        job("job-2", runner="moon")
    with pytest.raises(ArgumentError, match="failure_policy is 'quick'"):
        job("job-2", failure_policy="quick")


SCRIPT = """
import sys
import unified_mlops as umlops

umlops.init(workspace=sys.argv[1])
job = umlops.PipelineJob.get(sys.argv[2]) if len(sys.argv) == 3 else umlops.PipelineJob(
    "x", sys.argv[3], job_id=sys.argv[2],
    parameter_values={"lines": sys.argv[4], "flag": sys.argv[5], "seconds": 60.0})
job.submit()
"""


def test_a_job_whose_process_was_killed_goes_on_where_it_was(session, tmp_path, job):
    compiled = tmp_path / "two.yaml"
    from kfp.compiler import Compiler

    Compiler().compile(two_steps, str(compiled))
    where = [str(tmp_path / name) for name in ("w", "lines", "flag")]
    order = [sys.executable, "-c", SCRIPT, where[0], "job-1", str(compiled), *where[1:]]
    process = subprocess.Popen(order)
    seen = PipelineJob.get
    until(lambda: seen("job-1", session=session) is not None)
    found = PipelineJob.get("job-1", session=session)
    until((tmp_path / "w/pipelines/two-steps/job-1/need").exists)
    assert found.state == "PIPELINE_STATE_RUNNING"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert found.state == "PIPELINE_STATE_PAUSED"
    assert found.error == "the process that ran it is gone"
    (tmp_path / "flag").touch()
    found.resume()
    found.wait()
    assert (found.state, lines(tmp_path)) == (SUCCEEDED, 1)


def test_a_process_goes_on_until_its_submitted_jobs_have_ended(session, tmp_path):
    from kfp.compiler import Compiler

    compiled = tmp_path / "two.yaml"
    Compiler().compile(two_steps, str(compiled))
    (tmp_path / "flag").touch()
    where = [str(tmp_path / name) for name in ("w", "lines", "flag")]
    order = [sys.executable, "-c", SCRIPT, where[0], "job-1", str(compiled), *where[1:]]
    ended = subprocess.run(order, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert PipelineJob.get("job-1", session=session).state == SUCCEEDED


def until(holds, seconds=40):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_config_says_where_pipelines_run_unless_they_say(tmp_path):
    config = Config(workspace=tmp_path / "w", pipelines={"runner": "kfp"})
    session = Session(config)
    given = {"lines": "a", "flag": "b"}
    make = partial(PipelineJob, "x", two_steps, parameter_values=given, session=session)
    assert make().runner == "kfp"
    assert make(runner="embedded").runner == "embedded"
    with pytest.raises(ArgumentError, match="'flag' is missing"):
        PipelineJob("x", two_steps, parameter_values={"lines": "a"}, session=session)
